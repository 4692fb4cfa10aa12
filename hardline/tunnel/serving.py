"""From a visitor's stream to the service behind it.

    Session ─stream─▶ Entrance: its source's turn ─┬─ a plain service of this machine: connected at once ──▶ Joint
                                                   └─▶ Places: a connection that it takes ─▶ local service ─▶ Joint

A Joint needs no task: it is kept here until it is done.  Source: docs/PROTOCOL.md, section 5.4.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary, WeakValueDictionary

from hardline import log, proxyprotocol
from hardline.errors import ConnectionLost, HardlineError, ServiceFailed
from hardline.identity import KeyHash
from hardline.routes import Endpoint
from hardline.session import hello
from hardline.session.gate import Gate
from hardline.session.joint import Joint
from hardline.session.legacy import LegacyPipe
from hardline.session.status import StreamStatus
from hardline.session.stream import Multiplexer, Stream
from hardline.settings.directory import Service
from hardline.streams import ByteStream
from hardline.tasks import TaskSet
from hardline.transport.own import OwnListeners
from hardline.transport.sources import Source
from hardline.transport.tcp import TcpStream, over_socket, send_at_once
from hardline.tunnel.entrance import Entrance
from hardline.tunnel.local import CONNECT_TIMEOUT, LocalSite, open_at_once, open_local
from hardline.tunnel.places import Place, Places
from hardline.tunnel.pump import Local, carry

OURSELVES = "hardlined itself listens there"

if TYPE_CHECKING:
    from hardline.http.virtualhost import VirtualHost
    from hardline.tunnel.renamed import Renamed

_REACHED = StreamStatus().encode()
_SILENT = 1.0  # seconds without a byte, of a connection that is kept and not used
_LAST_WORDS = 10.0  # seconds that a visitor has to read why its stream failed


@dataclass(frozen=True, slots=True)
class Came:
    """By which addresses a visitor came; `client` is None where somebody stands between, whose word it would be."""

    client: Endpoint | None = None
    reached: Endpoint | None = None


class Along(Gate, Protocol):
    """A gate through which all passes, and which is told how it ended."""

    def ended(self, failure: Exception | None) -> None:
        """Nothing more comes."""
        ...


class Watcher(Protocol):
    """Reads along what passes between visitors and a service."""

    def pipe(self, local: Local, told: bytes = b"") -> Local:
        """`local`, which is `told` something before all else by another way, as one that is read."""
        ...

    def gate(self) -> Along:
        """For one connection that is joined."""
        ...


@dataclass(frozen=True, slots=True)
class Reached:
    """A service that answers somebody; `leave` when he is done with it.

    `first` is what it is still to get before all that he says, None where `local` is no plain socket: then it has that.
    """

    local: TcpStream | Renamed
    place: Place | None
    first: bytes | None

    def leave(self) -> None:
        """Another may have the place."""
        if self.place is not None:
            self.place.leave()


class Serving:
    """Opens what visitors ask for; `replace` says what there is.

    `site` finds what answers in place of a local service; `own` knows which local service would be this process
    itself; a source has at most `streams_per_source` open.
    """

    def __init__(
        self,
        site: Callable[[KeyHash], LocalSite | None],
        own: OwnListeners | None,
        streams_per_source: int,
    ) -> None:
        self._site, self._own = site, own
        self._streams_per_source = streams_per_source
        self._tasks = TaskSet("host")
        self._joints: dict[Joint, KeyHash] = {}
        self._watchers: dict[KeyHash, Watcher] = {}
        self._services: dict[KeyHash, Service] = {}
        self._sources: WeakValueDictionary[str, Source] = WeakValueDictionary()
        self._entrances: WeakValueDictionary[tuple[str, KeyHash], Entrance[Stream]] = WeakValueDictionary()
        self._came: WeakKeyDictionary[Multiplexer, Came] = WeakKeyDictionary()  # to services that are told
        self._places: dict[KeyHash, Places] = {}  # of services that take only so many connections

    def replace(self, services: Iterable[Service]) -> None:
        """Open these from now on."""
        self._services = {service.label.key_hash: service for service in services}
        before, self._places = self._places, {}
        for key_hash, service in self._services.items():
            limit = service.settings.max_connections
            if limit is None or service.settings.cache.directory is not None:
                continue
            if (known := before.get(key_hash)) is not None:
                known.resize(limit)
            self._places[key_hash] = known or Places(limit)

    async def aclose(self) -> None:
        """End everything."""
        await self._tasks.aclose()
        for joint in list(self._joints):
            joint.abort(ConnectionLost("the node is stopping"))

    async def watch(self, key_hash: KeyHash, watcher: Watcher | None) -> None:
        """Have `watcher` stand before the service from now on; None: nobody.

        Connections that are silent are cut at its begin: whoever has kept one opens another, which it sees.  So is
        none on which somebody waits.
        """
        if watcher is None:
            self._watchers.pop(key_hash, None)
            return
        self._watchers[key_hash] = watcher
        before = {joint: joint.moved for joint, whose in self._joints.items() if whose == key_hash}
        await asyncio.sleep(_SILENT)
        for joint, moved in before.items():
            if joint in self._joints and joint.moved == moved and not joint.waits:
                joint.abort(ConnectionLost("the service's owner looks at its requests"))

    async def open_service(self, key_hash: KeyHash) -> Local:
        """A connection to a service for a program of its owner's; what reads along is the caller's.

        Raises ServiceFailed.
        """
        return await self._named(key_hash, await self._open_local(key_hash, Came()), Came(), "")

    def source(self, name: str) -> Source:
        """The one that all sessions of a source share."""
        if (source := self._sources.get(name)) is None:
            source = self._sources[name] = Source(name)
        return source

    def acceptor(self, key_hash: KeyHash, source: Source, came: Came = Came()) -> Callable[[Stream], None]:
        """What takes the streams of a session of `source` with a service."""
        entrance = self._entrance(key_hash, source)

        def accept(stream: Stream) -> None:
            if source.streams > self._streams_per_source:
                _refuse(stream, StreamStatus("limit", "too many connections from one network"))
            else:
                if self._wants_more_than_bytes(key_hash):
                    self._came[stream.session] = came
                stream.when_gone = functools.partial(entrance.left, stream)
                entrance.came(stream)

        return accept

    async def serve_legacy(
        self, pipe: LegacyPipe, key_hash: KeyHash, source: str, wan_hosts: str, came: Came = Came()
    ) -> None:
        """Carry one connection of hardline/1 to its service, until both have ended."""
        place = self._place(key_hash, source, "hardline/1")
        try:
            if place is not None:
                await place.wait(CONNECT_TIMEOUT)
            await self._carry_legacy(pipe, key_hash, source, wan_hosts, came)
        except ServiceFailed as failure:
            log.debug("stream.failed", service=key_hash.short, kind=failure.kind, reason=failure.detail)
        finally:
            try:
                if place is not None:
                    place.leave()
            finally:
                await pipe.aclose()

    async def reach_public(self, key_hash: KeyHash, source: str, came: Came) -> Reached:
        """What a service answers one who comes by a public port of a relay, where its owner wants that; the caller's.

        Raises ServiceFailed.
        """
        service = self._services.get(key_hash)
        if service is None or service.settings.public_port is None:
            raise ServiceFailed("unavailable", "the service has no public port")
        place = self._place(key_hash, source, "public port")
        try:
            if place is not None:
                await place.wait(CONNECT_TIMEOUT)
            target = service.settings.target
            if target is not None and target.kind != "https" and not service.settings.http.changes:
                first = self._first_words(service, came)
                local = await self._open_local(key_hash, None)
            else:
                first = None
                local = await self._open_local(key_hash, came)
            assert isinstance(local, TcpStream), "what has a public port has a target"
            return Reached(self._renamed(key_hash, local, came) or local, place, first)
        except BaseException:
            if place is not None:
                place.leave()
            raise

    async def join(
        self,
        pipe: ByteStream,
        key_hash: KeyHash,
        source: str,
        came: Came,
        first: bytes,
        over: Callable[[TcpStream], Local],
    ) -> None:
        """Carry what a `pipe` says to a service, `first` before all else, and back, until both have ended.

        `over` is what stands between them, on the service's socket.  Raises ServiceFailed while nothing was carried.
        """
        from hardline.tunnel.renamed import Begun, Renamed

        place = self._place(key_hash, source, pipe)
        try:
            if place is not None:
                await place.wait(CONNECT_TIMEOUT)
            local = await self._open_local(key_hash, came)
            if not isinstance(local, TcpStream):
                local = await local.connect(source)
            between = over(local)
            stands = self._watched(key_hash, between, first)
            try:
                await local.send(first)
            except BaseException:
                stands.abort()
                raise
            asks = Begun(pipe, between) if isinstance(between, Renamed) else pipe
            await carry(asks, stands)
        finally:
            if place is not None:
                place.leave()

    async def _carry_legacy(self, pipe: LegacyPipe, key_hash: KeyHash, source: str, wan_hosts: str, came: Came) -> None:
        local = await self._named(key_hash, await self._open_local(key_hash, came), came, source)
        try:
            await pipe.send(hello.LegacyHostLine(wan_hosts).encode())
            await carry(pipe, self._watched(key_hash, local), ends_with_local=True)
        except HardlineError:
            local.abort()

    # Streams.

    def _entrance(self, key_hash: KeyHash, source: Source) -> Entrance[Stream]:
        """One for all sessions of a source with a service."""
        entrance = self._entrances.get((source.name, key_hash))
        if entrance is None:
            entrance = Entrance(lambda stream: self._start_stream(key_hash, source, stream))
            self._entrances[source.name, key_hash] = entrance
        return entrance

    def _start_stream(self, key_hash: KeyHash, source: Source, stream: Stream) -> None:
        entrance = self._entrances[source.name, key_hash]  # not from the closure that it holds: that would be a cycle
        if (raw := self._open_at_once(key_hash)) is not None:
            self._tasks.start(self._join_at_once(key_hash, stream, raw, entrance), "stream")
        else:
            self._tasks.start(self._serve_stream(key_hash, stream, source.name, entrance), "stream")

    def _open_at_once(self, key_hash: KeyHash) -> socket.socket | None:
        """A connection to the service, where nobody has to be waited for or asked; None where it goes the long way."""
        service = self._services.get(key_hash)
        target = service.settings.target if service is not None else None
        if target is None or key_hash in self._places or self._site(key_hash) is not None:
            return None
        if self._wants_more_than_bytes(key_hash):
            return None
        if self._own is not None and self._own.listens_at(target.port):
            return None
        return open_at_once(target)

    async def _join_at_once(
        self, key_hash: KeyHash, stream: Stream, raw: socket.socket, entrance: Entrance[Stream]
    ) -> None:
        try:
            try:
                # The service thinks meanwhile: a transport is made in some turns of the loop.
                unseen = not stream.gone and key_hash not in self._watchers
                said = stream.waiting if unseen else b""
                sent = said[: stream.skip(send_at_once(raw, said))]
                local = await over_socket(raw)
            finally:
                entrance.dialled()
            await self._join(key_hash, stream, local, None, sent)
        except (HardlineError, OSError):
            stream.abort()
        except BaseException:
            stream.abort()
            raise

    async def _serve_stream(self, key_hash: KeyHash, stream: Stream, source: str, entrance: Entrance[Stream]) -> None:
        place = self._place(key_hash, source, stream.session)
        with contextlib.ExitStack() as leaving:
            leaving.callback(stream.abort)
            if place is not None:
                leaving.callback(place.leave)
            try:
                came = self._came.get(stream.session, Came())
                local = await self._reach(key_hash, stream, place, entrance, came)
                if not isinstance(local, TcpStream):
                    if (watcher := self._watchers.get(key_hash)) is not None:
                        await _carry_by(stream, watcher.pipe(await local.connect(source)))
                    else:
                        await stream.send_lazily(_REACHED)
                        await local.serve(stream)
                elif (renamed := self._renamed(key_hash, local, came)) is not None:
                    await _carry_by(stream, self._watched(key_hash, renamed))
                else:
                    await self._join(key_hash, stream, local, place)
                    leaving.pop_all()
            except ServiceFailed as failure:
                if place is not None:
                    place.leave()  # not only when the visitor has read why
                log.debug("stream.failed", service=key_hash.short, kind=failure.kind, reason=failure.detail)
                await _say_why(stream, StreamStatus(failure.kind, failure.detail))
            except (HardlineError, TimeoutError):
                pass  # the visitor may leave at any time, or break a rule

    async def _join(
        self, key_hash: KeyHash, stream: Stream, local: TcpStream, place: Place | None, sent: bytes = b""
    ) -> None:
        """Have them joined until both have ended; `place` is given up then.  The service has got `sent` before.

        Raises ConnectionLost where the visitor has left.
        """
        try:
            # What the service says next takes it along; nobody waits for it alone (docs/PROTOCOL.md 5.4).
            await stream.send_lazily(_REACHED)
        except BaseException:
            local.abort()
            raise
        watcher = self._watchers.get(key_hash)
        gate = watcher.gate() if watcher is not None else None
        if gate is not None and sent:
            gate.heard(memoryview(sent))  # who reads along came meanwhile
        joint = Joint(stream, local, gate=gate)
        joint.moved += len(sent)
        self._joints[joint] = key_hash
        joint.done.then(functools.partial(self._is_done, joint, place, gate))

    def _is_done(self, joint: Joint, place: Place | None, gate: Along | None, failure: Exception | None) -> None:
        """However: either side may leave at any time, and the other has seen the cut."""
        self._joints.pop(joint, None)
        if gate is not None:
            gate.ended(failure)
        if place is not None:
            place.leave()

    def _place(self, key_hash: KeyHash, source: str, visitor: object) -> Place | None:
        """One of the connections that a service takes, or the wait for it; None where it takes any number."""
        places = self._places.get(key_hash)
        return None if places is None else places.take(source, visitor)

    async def _reach(
        self, key_hash: KeyHash, stream: Stream, place: Place | None, entrance: Entrance[Stream], came: Came
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
            return await self._open_local(key_hash, came)

    async def _open_local(self, key_hash: KeyHash, came: Came | None) -> TcpStream | LocalSite:
        """What answers for a service; None: it is not told yet who comes.  Raises ServiceFailed."""
        service = self._services.get(key_hash)
        if service is None:
            raise ServiceFailed("unavailable", "the service was removed")
        target = service.settings.target
        if target is not None and self._own is not None and await self._own.leads_home(target):
            raise ServiceFailed("unavailable", OURSELVES)
        if site := self._site(key_hash):
            await site.ready()
            return site
        assert target is not None, "what has no target has a site"
        return await open_local(target, first=self._first_words(service, came) if came is not None else b"")

    def _first_words(self, service: Service, came: Came) -> bytes:
        version = service.settings.proxy_protocol
        return proxyprotocol.header(version, came.client, came.reached) if version else b""

    def _wants_more_than_bytes(self, key_hash: KeyHash) -> bool:
        """Whether its service asks for another name, or to be told who comes."""
        service = self._services.get(key_hash)
        return service is not None and (service.settings.http.changes or service.settings.proxy_protocol != 0)

    async def _named(self, key_hash: KeyHash, local: TcpStream | LocalSite, came: Came, source: str) -> Local:
        """What answers for a service as a pipe: by the name that it goes by, where that is no site of this node's."""
        if not isinstance(local, TcpStream):
            return await local.connect(source)
        return self._renamed(key_hash, local, came) or local

    def _renamed(self, key_hash: KeyHash, local: TcpStream, came: Came) -> Renamed | None:
        """`local`, where the service goes by a name of its own."""
        if (host := self.virtual_host(key_hash)) is None:
            return None
        from hardline.http.rewriting import Rewriting
        from hardline.http.virtualhost import client_of
        from hardline.tunnel.renamed import Renamed

        client = client_of(came.client.host, came.client.port) if came.client is not None else "unknown"
        return Renamed(local, Rewriting(host, client))

    def _watched(self, key_hash: KeyHash, local: Local, told: bytes = b"") -> Local:
        watcher = self._watchers.get(key_hash)
        return local if watcher is None else watcher.pipe(local, told)

    def virtual_host(self, key_hash: KeyHash) -> VirtualHost | None:
        """What changes the heads for a service that goes by a name of its own; None for any other."""
        service = self._services.get(key_hash)
        if service is None or not service.settings.http.changes:
            return None
        from hardline.http.virtualhost import VirtualHost

        target = service.settings.target
        scheme = "https" if target is not None and target.kind == "https" else "http"
        return VirtualHost(key_hash, service.settings.http, scheme)


async def _carry_by(stream: Stream, local: Local) -> None:
    try:
        await stream.send_lazily(_REACHED)
    except BaseException:
        local.abort()
        raise
    await carry(stream, local)


async def _say_why(stream: Stream, status: StreamStatus) -> None:
    with contextlib.suppress(HardlineError, TimeoutError):
        await stream.send(status.encode())
        await stream.send_eof()
        async with asyncio.timeout(_LAST_WORDS):
            while await stream.receive():
                pass


def _refuse(stream: Stream, status: StreamStatus) -> None:
    """Say why, and cut: who asks for too much does not get a task that waits for him."""
    stream.session.put(stream, memoryview(status.encode()))
    stream.abort()
