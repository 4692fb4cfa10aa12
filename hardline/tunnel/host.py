"""The host's side: incoming connections, verified names and passwords, streams to the local services.

    listener ──▶ TLS (PSK of a service's name) ──▶ visitor's hello ──▶ Session ──▶ stream ──▶ local service
                                             └─▶ hardline/1 line ──▶ one pipe ─────────────▶ local service

Source: docs/PROTOCOL.md, sections 2 to 5.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from OpenSSL import SSL

from hardline import log
from hardline.errors import ConnectionLost, HardlineError, LimitReached, PasswordRefused, PeerError, ServiceFailed
from hardline.identity import KeyHash, instance_name, utc_day
from hardline.proof import VISITOR, Prover
from hardline.routes import Endpoint, format_wan_hosts
from hardline.servicedir import Service
from hardline.session import hello
from hardline.session.legacy import LegacyPipe
from hardline.session.session import Session, SessionLimits
from hardline.session.status import StreamStatus
from hardline.session.stream import Stream
from hardline.signatures import CannotSign, signing_key
from hardline.tasks import TaskSet
from hardline.transport import psk
from hardline.transport.contexts import front_context, server_context
from hardline.transport.engine import reason
from hardline.transport.handshake import Names
from hardline.transport.tcp import TcpStream
from hardline.transport.tls import TlsStream
from hardline.tunnel.entrance import Entrance
from hardline.tunnel.local import LocalSite, open_local
from hardline.tunnel.names import ServerNames
from hardline.tunnel.pump import carry

_LAST_WORDS = 10.0  # seconds that a visitor has to read why its stream failed


@dataclass(frozen=True, slots=True)
class HostLimits:
    """The [Session] settings that a host needs; times in seconds."""

    session: SessionLimits
    sessions: int = 1000
    handshakes_per_source: int = 16
    handshakes: int = 512  # of all sources together
    hello_timeout: float = 10.0


@dataclass(eq=False, slots=True)
class Visitor:
    """Somebody who is connected: for the status page."""

    key_hash: KeyHash
    endpoint: Endpoint
    protocol: str
    session: Session | None
    since: float
    tls: TlsStream
    client: KeyHash | None = None  # who it has proven to be


class Host:
    """Serves whatever `replace` was given last.

    `clock` is seconds since 1970, `instance` is the secret by which this host is told apart from others with the same
    certificate, `site` finds what answers in place of a local service, `whereabouts` says where else the host is, for
    visitors to remember; `reached` is told where each of them, by its address, says that it reached us.
    """

    def __init__(
        self,
        limits: HostLimits,
        *,
        clock: Callable[[], float],
        instance: str,
        site: Callable[[KeyHash], LocalSite | None] = lambda key_hash: None,
        whereabouts: Callable[[], Sequence[Endpoint]] = tuple,
        reached: Callable[[Endpoint, str], None] = lambda source, endpoint: None,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._instance = instance
        self._site = site
        self._whereabouts = whereabouts
        self._reached = reached
        self._tasks = TaskSet("host")
        self._services: dict[KeyHash, Service] = {}
        self._provers: dict[KeyHash, Prover] = {}
        self._contexts: dict[KeyHash, SSL.Context] = {}  # of those that speak hardline/1
        self._server_names = ServerNames(())
        self._front = front_context()
        self._names = Names(self._find, lambda key_hash: self._provers.get(key_hash), self._certificate)
        self._shaking: dict[TcpStream, str] = {}  # who shakes hands or says hello, in order of arrival
        self.visitors: set[Visitor] = set()

    def replace(self, services: Iterable[Service]) -> None:
        """Serve `services` from now on.

        Streams of a service that is still there go on; sessions of one that is gone, or whose password changed, take no
        new streams, and those of one that is gone end.
        """
        before, self._services = self._services, {service.label.key_hash: service for service in services}
        self._provers, self._contexts = self._usable(self._provers), self._usable_by_originals(self._contexts)
        self._server_names = ServerNames((key_hash, key_hash in self._contexts) for key_hash in self._services)
        for visitor in list(self.visitors):
            was, now = before.get(visitor.key_hash), self._services.get(visitor.key_hash)
            if visitor.session is None:
                continue
            if now is None:
                self._tasks.start(visitor.session.aclose(ConnectionLost("the service was removed")), "removed")
            elif was is not None and was.label != now.label:
                visitor.session.go_away()

    def accepted(self, tcp: TcpStream) -> None:
        """A connection came in: the listener's callback."""
        source = tcp.peer
        waiting = Counter(self._shaking.values())
        if waiting[source.host] >= self._limits.handshakes_per_source:
            log.debug("visitor.refused", endpoint=source, reason="max_handshakes_per_source")
            tcp.abort()
            return
        if len(self._shaking) >= self._limits.handshakes:
            # Somebody with many addresses: of those who wait most the one that waits longest gives way.
            most = max(waiting.values())
            leaving = next(other for other, host in self._shaking.items() if waiting[host] == most)
            del self._shaking[leaving]
            leaving.abort()
        self._shaking[tcp] = source.host
        self._tasks.start(self._welcome(tcp, source), "welcome")

    def go_away(self) -> None:
        """Take no new streams; those that are open go on."""
        for visitor in self.visitors:
            if visitor.session is not None:
                visitor.session.go_away()

    def network_changed(self, addresses: Collection[str]) -> None:
        """This machine has `addresses` now: sessions to one that is gone end, the others are asked about."""
        for visitor in list(self.visitors):
            if visitor.session is not None:
                visitor.session.network_changed(addresses)

    async def aclose(self) -> None:
        """End everything.  Let it drain first: `go_away`."""
        sessions = [visitor.session for visitor in self.visitors if visitor.session]
        await asyncio.gather(*(session.aclose(ConnectionLost("the host is stopping")) for session in sessions))
        await self._tasks.aclose()

    def _usable(self, before: Mapping[KeyHash, Prover]) -> dict[KeyHash, Prover]:
        """Who proves to be each service, for hardline/2."""
        if psk.MISSING:
            return {}
        provers = {}
        for key_hash, service in self._services.items():
            try:
                provers[key_hash] = before.get(key_hash) or Prover(
                    service.identity.der, signing_key(service.identity.private_key_pem)
                )
            except CannotSign as failure:
                log.warning("service.unusable", service=service.name, protocol="hardline/2", reason=str(failure))
        return provers

    def _usable_by_originals(self, before: Mapping[KeyHash, SSL.Context]) -> dict[KeyHash, SSL.Context]:
        """The contexts of the services that speak hardline/1."""
        contexts = {}
        for key_hash, service in self._services.items():
            if not service.settings.legacy:
                continue
            try:
                contexts[key_hash] = before.get(key_hash) or server_context(
                    service.identity.certificate_path, service.identity.private_key_path
                )
            except SSL.Error as failure:
                log.warning("service.unusable", service=service.name, protocol="hardline/1", reason=reason(failure))
        return contexts

    def _find(self, server_name: str) -> KeyHash | None:
        return self._server_names.find(server_name, utc_day(self._clock()))

    def _certificate(self, server_name: str) -> SSL.Context | None:
        key_hash = self._server_names.plain(server_name)
        return self._contexts.get(key_hash) if key_hash else None

    async def _welcome(self, tcp: TcpStream, source: Endpoint) -> None:
        tls: TlsStream | None = None
        try:
            async with asyncio.timeout(self._limits.hello_timeout):
                tls = await TlsStream.over(tcp, self._front, names=self._names)
                service = self._service_of(tls)
                visitor = Visitor(service.label.key_hash, source, "", None, self._clock(), tls)
                if tls.key_hash is not None:
                    await self._begin_session(tls, service, visitor)
                    pipe = None
                else:
                    pipe = await self._begin_legacy(tls, service, visitor)
        except (HardlineError, TimeoutError) as failure:
            reason = failure.message if isinstance(failure, HardlineError) else "no hello in time"
            log.debug("visitor.failed", endpoint=source, reason=reason)
            if tls is not None:
                await tls.aclose()
            return
        except BaseException:
            if tls is not None:
                tls.abort()
            raise
        finally:
            self._shaking.pop(tcp, None)
        self.visitors.add(visitor)
        # One line per session, not one per browser connection of an original.
        level = logging.INFO if visitor.session else logging.DEBUG
        log.event(
            "visitor.came", level=level, service=visitor.key_hash.short, endpoint=source, protocol=visitor.protocol
        )
        try:
            if pipe is not None:
                await self._serve_legacy(pipe, service)
            else:
                assert visitor.session is not None
                await asyncio.shield(visitor.session.closed)
        finally:
            self.visitors.discard(visitor)
            log.event("visitor.left", level=level, service=visitor.key_hash.short, endpoint=source)

    def _service_of(self, tls: TlsStream) -> Service:
        key_hash = tls.key_hash or self._server_names.plain(tls.server_name)
        service = self._services.get(key_hash) if key_hash else None
        if service is None:
            raise PeerError("the service is not offered here")
        return service

    def _make_room(self, newcomer: str) -> None:
        """Let one more in, from the address `newcomer`.

        When the house is full, whoever has most sessions gives up the one that was not used for longest.  Raises
        LimitReached when that is the newcomer's own address.
        """
        if len(self.visitors) < self._limits.sessions:
            return
        sources = Counter(visitor.endpoint.host for visitor in self.visitors)
        source, most = sources.most_common(1)[0]
        if most <= sources[newcomer] + 1:
            raise LimitReached(f"{len(self.visitors)} sessions are in use ([Session] max_sessions)")
        leaving = min((visitor for visitor in self.visitors if visitor.endpoint.host == source), key=_worth)
        self.visitors.discard(leaving)
        log.debug("visitor.displaced", endpoint=leaving.endpoint, reason="max_sessions")
        if leaving.session is not None:
            leaving.session.abort(ConnectionLost("max_sessions: others needed the room"))
        else:
            leaving.tls.abort()

    def _wan_hosts(self) -> str:
        return format_wan_hosts(self._whereabouts())

    # hardline/2

    async def _begin_session(self, tls: TlsStream, service: Service, visitor: Visitor) -> None:
        reader = hello.HelloReader()
        while (line := reader.feed(await _more(tls))) is None:
            pass
        theirs = hello.VisitorHello.parse(line)
        if not hello.same_password(theirs.password, service.label.password):
            await tls.send(hello.HostRefusal("password").encode())
            raise PasswordRefused("the visitor's label has another password")
        if theirs.client is not None:
            theirs.client.check(VISITOR, tls.exporter(VISITOR, service.key_hash))
            visitor.client = theirs.client.key_hash
        self._make_room(visitor.endpoint.host)
        self._reached(visitor.endpoint, theirs.reached)
        key_hash = service.label.key_hash
        instance = instance_name(self._instance, key_hash)
        await tls.send(hello.HostHello(self._wan_hosts(), service.title, instance).encode())
        entrance: Entrance[Stream] = Entrance(
            lambda stream: self._tasks.start(self._serve_stream(key_hash, stream, entrance), "stream")
        )
        session = Session(tls, self._limits.session, client=False, accept=entrance.came)
        visitor.session, visitor.protocol = session, "hardline/2"
        session.start(reader.leftover)

    async def _serve_stream(self, key_hash: KeyHash, stream: Stream, entrance: Entrance[Stream]) -> None:
        try:
            try:
                if stream.gone:
                    raise ConnectionLost("the visitor took it back")
                local = await self._open_local(key_hash)
            except ServiceFailed as failure:
                log.debug("stream.failed", service=key_hash.short, kind=failure.kind, reason=failure.detail)
                await stream.send(StreamStatus(failure.kind, failure.detail).encode())
                await stream.send_eof()
                async with asyncio.timeout(_LAST_WORDS):
                    while await stream.receive():
                        pass
                return
            finally:
                entrance.dialled()
            try:
                # What the service says next takes it along; nobody waits for it alone (docs/PROTOCOL.md 5.4).
                await stream.send_lazily(StreamStatus().encode())
            except ConnectionLost:
                if isinstance(local, TcpStream):
                    local.abort()
                return
            if isinstance(local, TcpStream):
                await carry(stream, local)
            else:
                await local.serve(stream)
        except (ConnectionLost, LimitReached, TimeoutError):
            pass  # either side may leave at any time; the other has seen the cut
        finally:
            await stream.aclose()

    async def _open_local(self, key_hash: KeyHash) -> TcpStream | LocalSite:
        """What answers for a service.  Raises ServiceFailed."""
        service = self._services.get(key_hash)
        if service is None:
            raise ServiceFailed("unavailable", "the service was removed")
        if site := self._site(key_hash):
            await site.ready()
            return site
        assert service.settings.target is not None, "what has no target has a site"
        return await open_local(service.settings.target)

    # hardline/1

    async def _begin_legacy(self, tls: TlsStream, service: Service, visitor: Visitor) -> LegacyPipe:
        pipe = LegacyPipe(tls)
        line = await pipe.read_line()
        # An original that wants no password does not look at the line either.
        if service.label.password:
            theirs = hello.LegacyVisitorLine.parse(line)
            if not hello.same_password(theirs.password, service.label.password):
                raise PasswordRefused("the visitor's label has another password")
        self._make_room(visitor.endpoint.host)
        visitor.protocol = "hardline/1"
        return pipe

    async def _serve_legacy(self, pipe: LegacyPipe, service: Service) -> None:
        try:
            local = await self._open_local(service.key_hash)
            if not isinstance(local, TcpStream):
                local = await local.connect()
        except ServiceFailed as failure:
            log.debug("stream.failed", service=service.label.key_hash.short, kind=failure.kind, reason=failure.detail)
            await pipe.aclose()
            return
        try:
            await pipe.send(hello.LegacyHostLine(self._wan_hosts()).encode())
            await carry(pipe, local, ends_with_local=True)
        except ConnectionLost:
            local.abort()
        finally:
            await pipe.aclose()


def _worth(visitor: Visitor) -> tuple[bool, float]:
    """Who is used, and was used last, stays longest."""
    if visitor.session is None:
        return (True, visitor.since)
    return (visitor.session.open_streams > 0, visitor.session.last_used)


async def _more(tls: TlsStream) -> bytes:
    data = await tls.receive()
    if not data:
        raise ConnectionLost("the visitor closed before its hello")
    return data
