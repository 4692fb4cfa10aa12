"""The host's side: incoming connections, verified names and passwords, streams to the local services.

    listener ──▶ TLS (PSK of a service's name) ──▶ visitor's hello ──▶ Session ──▶ stream ──▶ local service
                                             └─▶ hardline/1 line ──▶ one pipe ─────────────▶ local service

Source: docs/PROTOCOL.md, sections 2 to 5.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

from OpenSSL import SSL

from hardline import log
from hardline.config import LocalService
from hardline.errors import ConnectionLost, HardlineError, LimitReached, PasswordRefused, PeerError, ServiceFailed
from hardline.identity import EarlierVersion, KeyHash, Label, instance_name, utc_day
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
from hardline.transport.sources import Source, around, networks, source_of
from hardline.transport.tcp import TcpStream
from hardline.transport.tls import TlsStream
from hardline.tunnel.crowd import Seat, gives_way, waits_beside, waits_longest
from hardline.tunnel.entrance import Entrance
from hardline.tunnel.guesses import TELL_EVERY, Guesses
from hardline.tunnel.local import CONNECT_TIMEOUT, LocalSite, open_local
from hardline.tunnel.names import ServerNames
from hardline.tunnel.places import Place, Places
from hardline.tunnel.pump import carry

OURSELVES = "hardlined itself listens there"

_MAX_OUTDATED = 256  # sources that the log tells of within TELL_EVERY
OLD_PASSWORD = 600.0  # seconds that what was opened with a password goes on after it was changed
_LAST_WORDS = 10.0  # seconds that a visitor has to read why its stream failed


@dataclass(frozen=True, slots=True)
class HostLimits:
    """The [Session] settings that a host needs; times in seconds."""

    session: SessionLimits
    sessions: int = 1000
    handshakes_per_source: int = 16
    handshakes: int = 512  # of all sources together
    hello_timeout: float = 10.0
    streams_per_source: int = 1000


@dataclass(eq=False, slots=True)
class Guest:
    """Somebody who is connected: for the status page."""

    key_hash: KeyHash
    endpoint: Endpoint
    protocol: str
    session: Session | None
    since: float
    tls: TlsStream
    client: KeyHash | None = None  # who it has proven to be

    async def cut(self, reason: str) -> None:
        """End all that it has under way."""
        if self.session is not None:
            await self.session.aclose(ConnectionLost(reason))
        else:
            self.tls.abort()


class Host:
    """Serves whatever `replace` was given last.

    `clock` is seconds since 1970, `instance` is the secret by which this host is told apart from others with the same
    certificate, `site` finds what answers in place of a local service, `whereabouts` says where else the host is, for
    visitors to remember; `reached` is told where each of them, by its address, says that it reached us; `leads_home`
    says whether a local service would be this process itself.
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
        leads_home: Callable[[LocalService], Awaitable[bool]] | None = None,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._instance = instance
        self._site = site
        self._whereabouts = whereabouts
        self._reached = reached
        self._leads_home = leads_home
        self._tasks = TaskSet("host")
        self._services: dict[KeyHash, Service] = {}
        self._provers: dict[KeyHash, Prover] = {}
        self._contexts: dict[KeyHash, SSL.Context] = {}  # of those that speak hardline/1
        self._server_names = ServerNames(())
        self._front = front_context()
        self._names = Names(self._find, lambda key_hash: self._provers.get(key_hash), self._certificate)
        self._shaking: dict[TcpStream, str] = {}  # from which address who shakes hands or says hello, as they came
        self._sources: WeakValueDictionary[str, Source] = WeakValueDictionary()
        self._entrances: WeakValueDictionary[tuple[str, KeyHash], Entrance[Stream]] = WeakValueDictionary()
        self._places: dict[KeyHash, Places] = {}  # of services that take only so many connections
        self._guesses = Guesses()
        self._outdated: OrderedDict[str, float] = OrderedDict()  # sources, and when it was told last
        self._telling: dict[Label, asyncio.TimerHandle] = {}
        self.guests: set[Guest] = set()

    def replace(self, services: Iterable[Service]) -> None:
        """Serve `services` from now on.

        Whoever is connected to one that is gone is cut.  Whoever gave a password that it has no more opens nothing new,
        and is cut after OLD_PASSWORD: a download may come to its end, and a kept connection serves nobody for ever.
        """
        before, self._services = self._services, {service.label.key_hash: service for service in services}
        self._provers, self._contexts = self._usable(self._provers), self._usable_by_originals(self._contexts)
        self._server_names = ServerNames((key_hash, key_hash in self._contexts) for key_hash in self._services)
        self._limit_connections()
        for guest in list(self.guests):
            was, now = before.get(guest.key_hash), self._services.get(guest.key_hash)
            if now is None:
                self._tasks.start(guest.cut("the service was removed"), "removed")
            elif was is not None and was.label != now.label:
                if guest.session is not None:
                    guest.session.go_away()
                asyncio.get_running_loop().call_later(OLD_PASSWORD, self._end_of_old_password, guest)

    def _end_of_old_password(self, guest: Guest) -> None:
        if guest in self.guests:
            self._tasks.start(guest.cut("the password was changed"), "changed")

    def _limit_connections(self) -> None:
        before, self._places = self._places, {}
        for key_hash, service in self._services.items():
            limit = service.settings.max_connections
            if limit is None or service.settings.cache.directory is not None:
                continue
            if (known := before.get(key_hash)) is not None:
                known.resize(limit)
            self._places[key_hash] = known or Places(limit)

    def accepted(self, tcp: TcpStream) -> None:
        """A connection came in: the listener's callback."""
        peer = tcp.peer
        source = source_of(peer.host)
        beside = {other: host for other, host in self._shaking.items() if source_of(host) == source}
        if len(beside) >= self._limits.handshakes_per_source:
            if (leaving := waits_beside(beside, peer.host)) is None:
                log.debug("visitor.refused", endpoint=peer, reason="max_handshakes_per_source")
                tcp.abort()
                return
            self._stop_shaking(leaving)
        if len(self._shaking) >= self._limits.handshakes:
            self._stop_shaking(waits_longest({other: networks(host) for other, host in self._shaking.items()}))
        self._shaking[tcp] = peer.host
        self._tasks.start(self._welcome(tcp, peer), "welcome")

    def _stop_shaking(self, leaving: TcpStream) -> None:
        del self._shaking[leaving]
        leaving.abort()

    def go_away(self) -> None:
        """Take no new streams; those that are open go on."""
        for guest in self.guests:
            if guest.session is not None:
                guest.session.go_away()

    def network_changed(self, addresses: Collection[str]) -> None:
        """This machine has `addresses` now: sessions to one that is gone end, the others are asked about."""
        for guest in list(self.guests):
            if guest.session is not None:
                guest.session.network_changed(addresses)

    async def aclose(self) -> None:
        """End everything.  Let it drain first: `go_away`."""
        for timer in self._telling.values():
            timer.cancel()
        sessions = [guest.session for guest in self.guests if guest.session]
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
                guest = Guest(service.label.key_hash, source, "", None, self._clock(), tls)
                if tls.key_hash is not None:
                    await self._begin_session(tls, service, guest)
                    pipe = None
                else:
                    pipe = await self._begin_legacy(tls, service, guest)
        except (HardlineError, TimeoutError) as failure:
            reason = failure.message if isinstance(failure, HardlineError) else "no hello in time"
            if isinstance(failure, EarlierVersion):
                self._tell_of_version(source, failure)
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
        self.guests.add(guest)
        # One line per session, not one per browser connection of an original.
        level = logging.INFO if guest.session else logging.DEBUG
        log.event("visitor.came", level=level, service=guest.key_hash.short, endpoint=source, protocol=guest.protocol)
        try:
            if pipe is not None:
                await self._serve_legacy(pipe, service)
            else:
                assert guest.session is not None
                await asyncio.shield(guest.session.closed)
        finally:
            self.guests.discard(guest)
            log.event("visitor.left", level=level, service=guest.key_hash.short, endpoint=source)

    def _service_of(self, tls: TlsStream) -> Service:
        return self._offered(tls.key_hash or self._server_names.plain(tls.server_name))

    def _offered(self, key_hash: KeyHash | None) -> Service:
        service = self._services.get(key_hash) if key_hash else None
        if service is None:
            raise PeerError("the service is not offered here")
        return service

    def _make_room(self, newcomer: str) -> None:
        """Let one more in, from the address `newcomer`.

        When the house is full, somebody gives way.  Raises LimitReached when that is the newcomer.
        """
        if len(self.guests) < self._limits.sessions:
            return
        leaving = gives_way([self._seat(guest) for guest in self.guests], networks(newcomer))
        if leaving is None:
            raise LimitReached(f"{len(self.guests)} sessions are in use ([Session] max_sessions)")
        self.guests.discard(leaving)
        log.debug("visitor.displaced", endpoint=leaving.endpoint, reason="max_sessions")
        if leaving.session is not None:
            leaving.session.abort(ConnectionLost("max_sessions: others needed the room"))
        else:
            leaving.tls.abort()

    def _seat(self, guest: Guest) -> Seat[Guest]:
        session, where = guest.session, networks(guest.endpoint.host)
        if session is not None:
            return Seat(guest, where, session.open_streams > 0, session.last_used)
        ago = self._clock() - guest.since
        return Seat(guest, where, True, asyncio.get_running_loop().time() - ago)

    def _judge_password(self, service: Service, given: str, address: str) -> None:
        """Raises PasswordRefused for a wrong one, LimitReached when who is at `address` may not guess now."""
        wanted = service.label.password
        if not wanted:
            return
        now, label, where = asyncio.get_running_loop().time(), service.label, around(address)
        if wait := self._guesses.wait(label, where, now):
            raise LimitReached(f"too many wrong passwords: the next one is judged in {wait:.0f} s")
        if not hello.same_password(given, wanted):
            self._tell_of_guesses(label, self._guesses.wrong(label, where, now))
            raise PasswordRefused("the visitor's label has another password")
        self._guesses.right(label, where, now)

    def _tell_of_version(self, source: Endpoint, failure: EarlierVersion) -> None:
        """Log it, once in a while for a source."""
        now, name = asyncio.get_running_loop().time(), source_of(source.host)
        while self._outdated and now - next(iter(self._outdated.values())) >= TELL_EVERY:
            self._outdated.popitem(last=False)
        if name in self._outdated or len(self._outdated) >= _MAX_OUTDATED:
            return
        self._outdated[name] = now
        log.event("visitor.outdated", service=failure.service.short, endpoint=source, hint="update hardline there")

    def _tell_of_guesses(self, label: Label, count: int) -> None:
        """Log that `count` were wrong, and in an hour how many have been since."""
        if count:
            log.warning("password.refused", service=label.key_hash.short, count=count)
            if earlier := self._telling.pop(label, None):
                earlier.cancel()
            loop = asyncio.get_running_loop()
            self._telling[label] = loop.call_later(TELL_EVERY + 1, self._tell_again, label)

    def _tell_again(self, label: Label) -> None:
        self._tell_of_guesses(label, self._guesses.untold(label, asyncio.get_running_loop().time()))

    def _wan_hosts(self) -> str:
        return format_wan_hosts(self._whereabouts())

    # hardline/2

    async def _begin_session(self, tls: TlsStream, service: Service, guest: Guest) -> None:
        reader = hello.HelloReader()
        while (line := reader.feed(await _more(tls))) is None:
            pass
        theirs = hello.VisitorHello.parse(line)
        service = self._offered(service.key_hash)  # as it is now, however long the hello took
        try:
            self._judge_password(service, theirs.password, guest.endpoint.host)
        except (PasswordRefused, LimitReached) as failure:
            error = hello.BAD_PASSWORD if isinstance(failure, PasswordRefused) else hello.WAIT
            await tls.send(hello.HostRefusal(error).encode())
            raise
        if theirs.client is not None:
            theirs.client.check(VISITOR, tls.exporter(VISITOR, service.key_hash))
            guest.client = theirs.client.key_hash
        self._make_room(guest.endpoint.host)
        self._reached(guest.endpoint, theirs.reached)
        key_hash = service.label.key_hash
        instance = instance_name(self._instance, key_hash)
        await tls.send(hello.HostHello(self._wan_hosts(), service.title, instance).encode())
        if self._offered(key_hash).label != service.label:
            raise ConnectionLost("the password was changed")
        source = self._source(guest)
        entrance = self._entrance(key_hash, source)

        def accept(stream: Stream) -> None:
            if source.streams > self._limits.streams_per_source:
                _refuse(stream, StreamStatus("limit", "too many connections from one network"))
            else:
                stream.when_gone = functools.partial(entrance.left, stream)
                entrance.came(stream)

        session = Session(tls, self._limits.session, client=False, accept=accept, source=source)
        guest.session, guest.protocol = session, "hardline/2"
        session.start(reader.leftover)

    def _source(self, guest: Guest) -> Source:
        name = source_of(guest.endpoint.host)
        if (source := self._sources.get(name)) is None:
            source = self._sources[name] = Source(name)
        return source

    def _entrance(self, key_hash: KeyHash, source: Source) -> Entrance[Stream]:
        """One for all sessions of a source with a service."""
        entrance = self._entrances.get((source.name, key_hash))
        if entrance is None:
            entrance = Entrance(lambda stream: self._start_stream(key_hash, source, stream))
            self._entrances[source.name, key_hash] = entrance
        return entrance

    def _start_stream(self, key_hash: KeyHash, source: Source, stream: Stream) -> None:
        entrance = self._entrances[source.name, key_hash]  # not from the closure that it holds: that would be a cycle
        self._tasks.start(self._serve_stream(key_hash, stream, source.name, entrance), "stream")

    async def _serve_stream(self, key_hash: KeyHash, stream: Stream, source: str, entrance: Entrance[Stream]) -> None:
        place = self._place(key_hash, source, stream.session)
        try:
            try:
                local = await self._reach(key_hash, stream, place, entrance)
            except ServiceFailed as failure:
                if place is not None:
                    place.leave()  # not only when the visitor has read why
                log.debug("stream.failed", service=key_hash.short, kind=failure.kind, reason=failure.detail)
                await stream.send(StreamStatus(failure.kind, failure.detail).encode())
                await stream.send_eof()
                async with asyncio.timeout(_LAST_WORDS):
                    while await stream.receive():
                        pass
                return
            try:
                # What the service says next takes it along; nobody waits for it alone (docs/PROTOCOL.md 5.4).
                await stream.send_lazily(StreamStatus().encode())
            except BaseException:
                if isinstance(local, TcpStream):
                    local.abort()
                raise
            if isinstance(local, TcpStream):
                await carry(stream, local)
            else:
                await local.serve(stream)
        except (HardlineError, TimeoutError):
            pass  # either side may leave at any time, or break a rule; the other has seen the cut
        finally:
            try:
                if place is not None:
                    place.leave()
            finally:
                await stream.aclose()

    def _place(self, key_hash: KeyHash, source: str, visitor: object) -> Place | None:
        """One of the connections that a service takes, or the wait for it; None where it takes any number."""
        places = self._places.get(key_hash)
        return None if places is None else places.take(source, visitor)

    async def _reach(
        self, key_hash: KeyHash, stream: Stream, place: Place | None, entrance: Entrance[Stream]
    ) -> TcpStream | LocalSite:
        """What answers `stream`, when it is its turn.  Raises ServiceFailed, ConnectionLost when it was taken back."""
        with contextlib.ExitStack() as on_its_way:
            on_its_way.callback(entrance.dialled)
            if place is not None and not place.come and not stream.gone:
                on_its_way.close()  # who waits for a place keeps nobody else from what he may have
                stream.when_gone = place.stop_waiting
                await place.wait(CONNECT_TIMEOUT)
            if stream.gone:
                raise ConnectionLost("the visitor took it back")
            return await self._open_local(key_hash)

    async def _open_local(self, key_hash: KeyHash) -> TcpStream | LocalSite:
        """What answers for a service.  Raises ServiceFailed."""
        service = self._services.get(key_hash)
        if service is None:
            raise ServiceFailed("unavailable", "the service was removed")
        target = service.settings.target
        if target is not None and self._leads_home is not None and await self._leads_home(target):
            raise ServiceFailed("unavailable", OURSELVES)
        if site := self._site(key_hash):
            await site.ready()
            return site
        assert target is not None, "what has no target has a site"
        return await open_local(target)

    # hardline/1

    async def _begin_legacy(self, tls: TlsStream, service: Service, guest: Guest) -> LegacyPipe:
        pipe = LegacyPipe(tls)
        line = await pipe.read_line()
        service = self._offered(service.key_hash)
        # An original that wants no password does not look at the line either.
        if service.label.password:
            theirs = hello.LegacyVisitorLine.parse(line)
            self._judge_password(service, theirs.password, guest.endpoint.host)
        self._make_room(guest.endpoint.host)
        guest.protocol = "hardline/1"
        return pipe

    async def _serve_legacy(self, pipe: LegacyPipe, service: Service) -> None:
        source = source_of(pipe.tls.peer.host)
        place = self._place(service.key_hash, source, "hardline/1")
        try:
            if place is not None:
                await place.wait(CONNECT_TIMEOUT)
            await self._carry_legacy(pipe, service)
        except ServiceFailed as failure:
            log.debug("stream.failed", service=service.key_hash.short, kind=failure.kind, reason=failure.detail)
        finally:
            try:
                if place is not None:
                    place.leave()
            finally:
                await pipe.aclose()

    async def _carry_legacy(self, pipe: LegacyPipe, service: Service) -> None:
        local = await self._open_local(service.key_hash)
        if not isinstance(local, TcpStream):
            local = await local.connect()
        try:
            await pipe.send(hello.LegacyHostLine(self._wan_hosts()).encode())
            await carry(pipe, local, ends_with_local=True)
        except HardlineError:
            local.abort()


def _refuse(stream: Stream, status: StreamStatus) -> None:
    """Say why, and cut: who asks for too much does not get a task that waits for him."""
    stream.session.put(stream, memoryview(status.encode()))
    stream.abort()


async def _more(tls: TlsStream) -> bytes:
    data = await tls.receive()
    if not data:
        raise ConnectionLost("the visitor closed before its hello")
    return data
