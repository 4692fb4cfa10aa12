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
from hardline.transport.sources import source_of
from hardline.transport.tcp import TcpStream
from hardline.transport.tls import TlsStream
from hardline.tunnel.pump import Local
from hardline.tunnel.renamed import Renamed, answer_of
from hardline.tunnel.serving import Came

MOST, OF_A_SOURCE = 1024, 256  # connections at once
NEWCOMERS = 512  # whose ClientHello is not there yet
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


class Front:
    """All of a host's names.  `find` knows them."""

    def __init__(self, host: Services, find: Callable[[str], Named | None], timeout: float) -> None:
        self._host, self._find, self._timeout = host, find, timeout
        self._tasks = TaskSet("https")
        self._users = Users(asyncio.get_running_loop().time)
        self._here: Counter[str] = Counter()  # by source, as relays say
        self._named_by: dict[asyncio.Task[None], Named] = {}
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
        for task, named in tuple(self._named_by.items()):
            if self._find(named.name) is not named:
                task.cancel()

    async def aclose(self) -> None:
        """End everything."""
        self._coming.close()
        await self._tasks.aclose()

    def _said(self, tcp: TcpStream, hello: ClientHello, name: str, came: Came) -> None:
        named, whose = self._find(name), source_of(_host(came))
        if named is None or hello.server_name != name:
            _refuse(tcp, UNRECOGNIZED_NAME)
        elif len(self._tasks) >= MOST or self._here[whose] >= OF_A_SOURCE:
            log.debug("https.refused_visitor", name=name, reason="too many")
            _refuse(tcp, INTERNAL_ERROR)
        elif ACME_TLS in hello.protocols:
            self._prove(tcp, named, hello)
        elif hello.protocols and HTTP_1_1 not in hello.protocols:
            _refuse(tcp, NO_PROTOCOL)
        elif (context := named.keeper.context) is None:
            _refuse(tcp, INTERNAL_ERROR)
        else:
            self._here[whose] += 1
            task = self._tasks.start(self._serve(tcp, context, named, came, whose), "serve")
            self._named_by[task] = named
            task.add_done_callback(self._named_by.pop)

    # A certificate authority.

    def _prove(self, tcp: TcpStream, named: Named, hello: ClientHello) -> None:
        if named.keeper.proof is None or hello.protocols != (ACME_TLS,):
            _refuse(tcp, NO_PROTOCOL)
        else:
            self._tasks.start(self._show(tcp, named.keeper.proof), "prove")

    async def _show(self, tcp: TcpStream, proof: SSL.Context) -> None:
        """The handshake is all of it (RFC 8737, section 3)."""
        try:
            async with asyncio.timeout(self._timeout):
                tls = await TlsStream.over(tcp, proof)
            await tls.aclose()
        except (HardlineError, TimeoutError) as failure:
            log.debug("https.not_shown", reason=str(failure) or "no answer in time")
            tcp.abort()

    # Browsers.

    async def _serve(self, tcp: TcpStream, context: SSL.Context, named: Named, came: Came, whose: str) -> None:
        tls: TlsStream | None = None
        try:
            async with asyncio.timeout(self._timeout):
                tls = await TlsStream.over(tcp, context)
            self._open.add(tls)
            await self._talk(tls, named, came, whose)
        except (HardlineError, TimeoutError) as failure:
            log.debug("https.cut", name=named.name, reason=str(failure) or "nothing was said in time")
        finally:
            self._here[whose] -= 1
            if not self._here[whose]:
                del self._here[whose]
            if tls is not None:
                self._open.discard(tls)
                self._told += tls.written
                tls.abort()

    async def _talk(self, tls: TlsStream, named: Named, came: Came, whose: str) -> None:
        public = named.public
        if public.addresses and not is_in(_host(came), public.addresses):
            async with asyncio.timeout(HEAD_WITHIN):
                await tls.receive()
            await _answer(tls, BadHead(403, "it is not for this address"))
            return
        host = self._host.virtual_host(named.service)
        talk: Rewriting | None = None
        judge: Callable[[], Awaitable[None]] | None = None
        if public.users or named.allowance is not None:
            guard = Guard(named.name, users=bool(public.users), may_ask=lambda: self._may_ask(named, whose), host=host)
            talk, judge = Rewriting(guard, _named(came)), lambda: self._judge(guard, named, _host(came))
        elif host is not None:
            talk = Rewriting(host, _named(came))
        try:
            async with asyncio.timeout(HEAD_WITHIN):
                first = await _first(tls, talk, judge)
            await self._host.join(
                tls, named.service, whose, came, first, lambda local: Renamed(local, talk, judge) if talk else local
            )
        except BadHead as bad:
            await _answer(tls, bad)
        except ServiceFailed as failure:
            log.debug("https.failed", name=named.name, kind=failure.kind, reason=failure.detail)
            status = 504 if failure.kind == "timeout" else 503 if failure.kind in ("limit", "wait") else 502
            await _answer(tls, BadHead(status, "the service does not answer"))

    def _may_ask(self, named: Named, whose: str) -> bool:
        return named.allowance is None or named.allowance.take(whose, asyncio.get_running_loop().time())

    async def _judge(self, guard: Guard, named: Named, source: str) -> None:
        try:
            user = await self._users.user(named.name, named.public.users, guard.asks, source)
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


def _host(came: Came) -> str:
    """Whence he comes, by the relay's word."""
    assert came.client is not None, "a relay said so"
    return came.client.host


def _named(came: Came) -> str:
    """The same, for RFC 7239."""
    assert came.client is not None, "a relay said so"
    return client_of(came.client.host, came.client.port)


def _refuse(tcp: TcpStream, alert: int) -> None:
    """Say by a TLS alert why somebody is not served, and close."""
    if not tcp.transport.is_closing():
        tcp.transport.write(bytes((21, 3, 3, 0, 2, 2, alert)))
    tcp.close()
