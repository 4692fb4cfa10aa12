"""Connections of browsers to names of this host, brought by relays: TLS ends here, and the service gets what is inside.

    Joined ─▶ its ClientHello ─┬─ another name, no certificate ──▶ an alert
                               ├─ acme-tls/1 ──▶ the proof, where one is wanted, and the end
                               └─▶ TLS ─▶ who may? (guard.py) ─▶ the service ─▶ bytes both ways

For which name somebody comes follows from the registration by which he was brought; what he says has to be that, too.
Source: docs/PROTOCOL.md, section 9.8.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from OpenSSL import SSL

from hardline import log
from hardline.allowance import Allowance
from hardline.errors import ConnectionLost, HardlineError, LimitReached, ServiceFailed
from hardline.gateway.clients import is_in
from hardline.gateway.users import Users
from hardline.http.head import BadHead
from hardline.http.rewriting import Rewriting
from hardline.http.virtualhost import VirtualHost, client_of
from hardline.https.guard import Guard, wants_a_password
from hardline.https.keeper import Keeper
from hardline.identity import KeyHash
from hardline.relay.clienthello import ClientHello, read_client_hello
from hardline.relay.firstbytes import FirstBytes
from hardline.relay.joins import Joined
from hardline.settings.service import PublicSection
from hardline.streams import ByteStream
from hardline.tasks import TaskSet
from hardline.transport.contexts import ACME_TLS, HTTP_1_1
from hardline.transport.crowd import Seat, gives_way
from hardline.transport.newcomers import Newcomers
from hardline.transport.sources import networks, source_of
from hardline.transport.tcp import TcpStream
from hardline.transport.tls import TlsStream
from hardline.tunnel.pump import Local
from hardline.tunnel.renamed import Renamed, answer_of
from hardline.tunnel.serving import Came

MOST, OF_A_SOURCE = 1024, 256  # connections at once
NEWCOMERS = 512  # whose ClientHello is not there yet
MOST_PROOFS, PROOFS_OF_A_SOURCE = 64, 8  # connections of authorities: they look from several places
HEAD_WITHIN = 30.0  # seconds for the first request: browsers connect ahead
LINGER = 10.0  # seconds to read an answer of ours
_MOST_DROPPED = 1 << 26  # bytes that may still come meanwhile: an upload that is refused

UNRECOGNIZED_NAME, INTERNAL_ERROR, NO_PROTOCOL = 112, 80, 120  # RFC 8446, section 6; RFC 7301, section 3.2


class Services(Protocol):
    """tunnel.host.Host."""

    def virtual_host(self, key_hash: KeyHash) -> VirtualHost | None: ...
    async def join(
        self,
        pipe: ByteStream,
        key_hash: KeyHash,
        source: str,
        came: Came,
        first: bytes,
        over: Callable[[TcpStream], Local],
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Named:
    """A name that leads to `service`; `allowance` is for requests of a source, None for any number."""

    name: str
    service: KeyHash
    public: PublicSection
    keeper: Keeper
    allowance: Allowance | None


@dataclass(eq=False, slots=True)
class _Visit:
    """A connection, since `began`; whence he comes is the relay's word; he `talks` once his service got something."""

    tcp: TcpStream
    named: Named
    came: Came
    began: float
    talks: bool = False

    @property
    def address(self) -> str:
        assert self.came.client is not None, "a relay said so"
        return self.came.client.host

    @property
    def source(self) -> str:
        return source_of(self.address)

    @property
    def client(self) -> str:
        """For RFC 7239."""
        assert self.came.client is not None, "a relay said so"
        return client_of(self.came.client.host, self.came.client.port)


class Front:
    """All of a host's names.  `find` knows them; `most` connections are here at once."""

    def __init__(self, host: Services, find: Callable[[str], Named | None], timeout: float, most: int = MOST) -> None:
        self._host, self._find, self._timeout, self._most = host, find, timeout, most
        self._tasks = TaskSet("https")
        self._users = Users(asyncio.get_running_loop().time)
        self._here: Counter[str] = Counter()  # by source
        self._visits: dict[asyncio.Task[None], _Visit] = {}
        self._proving: Newcomers[TcpStream] = Newcomers(MOST_PROOFS, PROOFS_OF_A_SOURCE)
        self._open: set[TlsStream] = set()
        self._told = 0  # bytes, by those that have ended
        self._coming: FirstBytes[ClientHello] = FirstBytes(
            read_client_hello, most=NEWCOMERS, of_a_source=NEWCOMERS, timeout=timeout
        )

    @property
    def open_streams(self) -> int:
        """How many browsers' connections are here."""
        return len(self._open)

    @property
    def sent(self) -> int:
        """Bytes that browsers were told, as they went out."""
        return self._told + sum(tls.written for tls in self._open)

    @property
    def received(self) -> int:
        """What they say is not counted."""
        return 0

    def arrived(self, joined: Joined) -> None:
        """A relay brought somebody who asked for a domain of this host."""
        named = self._find(joined.domain)
        if named is None or named.service != joined.service:
            joined.tcp.abort()
            return
        came = Came(joined.source, joined.public)
        self._coming.accepted(
            joined.tcp, lambda tcp, hello: self._said(tcp, hello, joined.domain, came), joined.source.host
        )

    def names_changed(self) -> None:
        """Who came by a name that leads elsewhere now, or is for others, is cut."""
        for task, visit in tuple(self._visits.items()):
            if self._find(visit.named.name) is not visit.named:
                task.cancel()

    async def aclose(self) -> None:
        """End everything."""
        self._coming.close()
        await self._tasks.aclose()

    def _said(self, tcp: TcpStream, hello: ClientHello, name: str, came: Came) -> None:
        named = self._find(name)
        if named is None or hello.server_name != name:
            _refuse(tcp, UNRECOGNIZED_NAME)
            return
        visit = _Visit(tcp, named, came, asyncio.get_running_loop().time())
        if ACME_TLS in hello.protocols:
            self._prove(visit, hello)
        elif hello.protocols and HTTP_1_1 not in hello.protocols:
            _refuse(tcp, NO_PROTOCOL)
        elif (context := named.keeper.context) is None:
            _refuse(tcp, INTERNAL_ERROR)
        elif not self._has_room(visit):
            log.debug("https.refused_visitor", name=name, reason="too many")
            _refuse(tcp, INTERNAL_ERROR)
        else:
            self._here[visit.source] += 1
            task = self._tasks.start(self._serve(visit, context), "serve")
            self._visits[task] = visit
            task.add_done_callback(self._is_over)

    def _has_room(self, visit: _Visit) -> bool:
        """Of those who are here, who has most gives way to others."""
        if self._here[visit.source] >= OF_A_SOURCE:
            return False
        if len(self._visits) < self._most:
            return True
        seats = [
            Seat(task, networks(one.address), in_use=one.talks, last_used=one.began)
            for task, one in self._visits.items()
        ]
        leaving = gives_way(seats, networks(visit.address))
        if leaving is not None:
            leaving.cancel()
        return leaving is not None

    def _is_over(self, task: asyncio.Task[None]) -> None:
        visit = self._visits.pop(task)
        self._here[visit.source] -= 1
        if not self._here[visit.source]:
            del self._here[visit.source]
        if task.cancelled():  # perhaps before it began
            visit.tcp.abort()

    # A certificate authority.

    def _prove(self, visit: _Visit, hello: ClientHello) -> None:
        """Anybody may say that he is one while a proof is shown: none of them keeps another out."""
        tcp, proof = visit.tcp, visit.named.keeper.proof
        if proof is None or hello.protocols != (ACME_TLS,):
            _refuse(tcp, NO_PROTOCOL)
            return
        for leaving in self._proving.come(tcp, visit.address):
            leaving.abort()
            if leaving is tcp:
                return
        self._tasks.start(self._show(tcp, proof), "prove")

    async def _show(self, tcp: TcpStream, proof: SSL.Context) -> None:
        """The handshake is all of it (RFC 8737, section 3)."""
        try:
            async with asyncio.timeout(self._timeout):
                tls = await TlsStream.over(tcp, proof)
            await tls.aclose()
        except (HardlineError, TimeoutError) as failure:
            log.debug("https.proof_left", reason=str(failure) or "no answer in time")
            tcp.abort()
        finally:
            self._proving.known(tcp)

    # Browsers.

    async def _serve(self, visit: _Visit, context: SSL.Context) -> None:
        tls: TlsStream | None = None
        try:
            async with asyncio.timeout(self._timeout):
                tls = await TlsStream.over(visit.tcp, context)
            self._open.add(tls)
            await self._talk(tls, visit)
            await tls.aclose()
        except (HardlineError, TimeoutError) as failure:
            log.debug("https.cut", name=visit.named.name, reason=str(failure) or "nothing was said in time")
            visit.tcp.abort()
        finally:
            if tls is not None:
                self._open.discard(tls)
                self._told += tls.written

    async def _talk(self, tls: TlsStream, visit: _Visit) -> None:
        named, public = visit.named, visit.named.public
        if public.addresses and not is_in(visit.address, public.addresses):
            async with asyncio.timeout(HEAD_WITHIN):
                await tls.receive()
            await _answer(tls, BadHead(403, "it is not for this address"))
            return
        host = self._host.virtual_host(named.service)
        talk: Rewriting | None = None
        judge: Callable[[], Awaitable[None]] | None = None
        if public.users or named.allowance is not None:
            guard = Guard(named.name, users=bool(public.users), may_ask=lambda: self._may_ask(visit), host=host)
            talk, judge = Rewriting(guard, visit.client), lambda: self._judge(guard, visit)
        elif host is not None:
            talk = Rewriting(host, visit.client)
        try:
            async with asyncio.timeout(HEAD_WITHIN):
                first = await _first(tls, talk, judge)
            visit.talks = True
            over = (lambda local: Renamed(local, talk, judge)) if talk is not None else (lambda local: local)
            await self._host.join(tls, named.service, visit.source, visit.came, first, over)
        except BadHead as bad:
            await _answer(tls, bad)
        except ServiceFailed as failure:
            log.debug("https.failed", name=named.name, kind=failure.kind, reason=failure.detail)
            status = 504 if failure.kind == "timeout" else 503 if failure.kind in ("limit", "wait") else 502
            await _answer(tls, BadHead(status, "the service does not answer"))

    def _may_ask(self, visit: _Visit) -> bool:
        allowance = visit.named.allowance
        return allowance is None or allowance.take(visit.source, asyncio.get_running_loop().time())

    async def _judge(self, guard: Guard, visit: _Visit) -> None:
        named = visit.named
        try:
            user = await self._users.user(named.name, named.public.users, guard.asks, visit.address)
        except LimitReached as failure:
            guard.judged(BadHead(429, failure.message, fields=("Retry-After: 60",)))
        else:
            guard.judged(None if user else wants_a_password(named.name))


async def _first(tls: TlsStream, talk: Rewriting | None, judge: Callable[[], Awaitable[None]] | None) -> bytes:
    """What the service gets first; only then it is connected to.  Raises BadHead, ConnectionLost."""
    while True:
        if not (data := await tls.receive()):
            raise ConnectionLost("the client left")
        if talk is None:
            return data
        passed = talk.asked(data)
        while talk.undecided and judge is not None and not passed:
            await judge()
            passed = talk.asked(b"")
        if passed:
            return passed
        if talk.failure is not None:
            raise talk.failure


async def _answer(tls: TlsStream, bad: BadHead) -> None:
    """Say it, and close once the client has read it: what it still sends would take it from him."""
    await tls.send(answer_of(bad))
    await tls.send_eof()
    dropped = 0
    async with asyncio.timeout(LINGER):
        while dropped < _MOST_DROPPED and (data := await tls.receive()):
            dropped += len(data)


def _refuse(tcp: TcpStream, alert: int) -> None:
    """Say by a TLS alert why somebody is not served, and close."""
    if not tcp.transport.is_closing():
        tcp.transport.write(bytes((21, 3, 3, 0, 2, 2, alert)))
    tcp.close()
