"""The visitor's side: from a label to a pipe into the service behind it.

    visit(label) ─▶ warm session? ──yes──▶ open a stream
                        └──no──▶ dial once for all who wait ─▶ hello ─▶ keep the session warm

A dial that failed is remembered for a few seconds and answered at once, while a new one runs in the background.
Source: docs/PROTOCOL.md, sections 3 to 5 and 7.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from hardline import log
from hardline.config import clean_title
from hardline.errors import (
    AccessRefused,
    ConnectionLost,
    HardlineError,
    LimitReached,
    PasswordRefused,
    PeerError,
    ServiceFailed,
)
from hardline.identity import KeyHash, Label
from hardline.proof import VISITOR, Prover
from hardline.routes import Candidate, Endpoint, NoRoute, PathKind
from hardline.session import hello
from hardline.session.legacy import LegacyPipe
from hardline.session.session import Session, SessionLimits
from hardline.session.status import StatusReader
from hardline.streams import ByteStream
from hardline.tasks import TaskSet
from hardline.transport.sources import Source, source_of
from hardline.tunnel.dialer import Dialer, Route

_PROBE_EVERY = 0.5  # seconds between background dials to a host that is known to be absent
# How long a visit waits for one of them: a tenth of how long ago the host was found absent, and this at most.  To a
# host of the LAN that is back it takes 10 ms, on a busy machine a few times that.
_PATIENCE = 0.5
_LOG_LENGTH = 50
_WAITS = 60.0  # seconds that other endpoints come before one that said `wait`
_ORIGINAL_CLOSED = (
    "the host, an original, closed at once: its service is down, or it wants another word before the key hash"
)

_INVITE = {
    "used": "the invitation was used already",
    "expired": "the invitation has expired",
    "withdrawn": "the invitation was withdrawn",
}


class Memory(Protocol):
    """Where routes that worked are kept (discovery.remembered)."""

    async def worked(self, target: KeyHash, endpoint: Endpoint, kind: PathKind, protocol: str) -> None: ...
    async def learned(self, target: KeyHash, wan_hosts: object, title: object) -> None: ...


@dataclass(frozen=True, slots=True)
class VisitorLimits:
    """The settings that a visitor needs; times in seconds."""

    session: SessionLimits
    sessions: int = 1000
    keepwarm: float = 600.0
    negative_cache: float = 5.0
    hello_timeout: float = 10.0


@dataclass(eq=False, slots=True)
class WarmSession:
    """A session and the path it took: for the status page too."""

    label: Label
    session: Session
    route: Route
    title: str = ""


@dataclass(eq=False, slots=True)
class OpenOriginal:
    """A visit to an original that is going on: it has a connection of its own."""

    label: Label
    candidate: Candidate
    opened_at: float


@dataclass(eq=False, slots=True)
class VisitRecord:
    """What became of one visit: the daemon's short memory for `hardline status`."""

    label: Label
    status: str = "running"
    candidate: Candidate | None = None
    protocol: str = ""


class _Original:
    """A greeted connection to an original: good for one visit, whichever of those that waited for it takes it first."""

    def __init__(self, pipe: LegacyPipe, candidate: Candidate) -> None:
        self.candidate = candidate
        self._pipe: LegacyPipe | None = pipe

    @property
    def waiting(self) -> bool:
        """It was not taken yet."""
        return self._pipe is not None

    def take(self) -> LegacyPipe | None:
        """The pipe, the first time."""
        pipe, self._pipe = self._pipe, None
        return pipe

    def discard(self) -> None:
        """Nobody came for it."""
        if (pipe := self.take()) is not None:
            pipe.tls.abort()


class Visit:
    """A pipe into a service, and what its host says first: that the local service was reached, or why not.

    That is either waited for (`answered`), or read on the way by whoever carries the bytes (`read_status`).
    """

    def __init__(self, pipe: ByteStream, record: VisitRecord, reused: bool, status: StatusReader | None) -> None:
        self.pipe = pipe
        self.record = record
        self.reused = reused  # the session had been there before this visit
        self._status = status

    async def answered(self) -> bytes:
        """Wait for the stream's status line; return the payload that came with it.

        Raises ServiceFailed when the host could not reach its service, PasswordRefused when it refused the
        label, PeerError for nonsense, ConnectionLost when the session broke.
        """
        if self._status is None:
            return b""
        while True:
            data = await self.pipe.receive()
            if not data:
                raise PeerError("the stream ended before its status line")
            rest = self.read_status(memoryview(data))
            if rest is not None:
                return bytes(rest)

    def read_status(self, data: memoryview) -> memoryview | None:
        """Take the first bytes of the pipe; return the payload behind the status line, None while it is not whole.

        Raises as `answered` does.
        """
        if self._status is None:
            return data
        status = self._status.feed(bytes(data))
        if status is None:
            return None
        status.raise_for_failure()
        return memoryview(self._status.leftover)


class Visitor:
    """Keeps one warm session per label, dialled once and shared by all visits.

    `prover` says as whom this node visits a service, where it does not so anonymously.
    """

    def __init__(
        self,
        dialer: Dialer,
        memory: Memory,
        limits: VisitorLimits,
        *,
        prover: Callable[[KeyHash], Prover | None] = lambda key_hash: None,
    ) -> None:
        self._dialer = dialer
        self._memory = memory
        self._limits = limits
        self._prover = prover
        self._tasks = TaskSet("visitor")
        self._sessions: OrderedDict[Label, WarmSession] = OrderedDict()
        self._dialling: dict[Label, asyncio.Task[WarmSession | _Original]] = {}
        self._absent: OrderedDict[KeyHash, tuple[NoRoute, float]] = OrderedDict()
        self._originals: OrderedDict[Label, Candidate] = OrderedDict()
        self._put_off: OrderedDict[tuple[KeyHash, Endpoint], float] = OrderedDict()  # until when
        self.originals: set[OpenOriginal] = set()
        self.recent: deque[VisitRecord] = deque(maxlen=_LOG_LENGTH)

    @property
    def sessions(self) -> tuple[WarmSession, ...]:
        """The sessions that are warm now."""
        return tuple(self._sessions.values())

    def is_warm(self, label: Label) -> bool:
        """Whether a visit would begin without looking for its host."""
        warm = self._sessions.get(label)
        return label in self._originals or (warm is not None and warm.session.usable)

    async def visit(self, label: Label, first: bytes) -> Visit:
        """Open a pipe into the service of `label` and send `first` through it.

        Raises NoRoute when nobody can be reached (at once, when that is known already),
        LimitReached, PeerError or ConnectionLost.  Safe to cancel; a dial that others wait for goes on.
        """
        record = VisitRecord(label)
        self.recent.append(record)
        try:
            return await self._visit(label, first, record)
        except HardlineError as failure:
            record.status = type(failure).__name__
            raise

    def network_changed(self, addresses: Collection[str]) -> None:
        """This machine has `addresses` now: sessions by one that is gone end, and who was absent may be there."""
        self._absent.clear()
        for warm in self.sessions:
            warm.session.network_changed(addresses)

    async def aclose(self) -> None:
        """End every session."""
        await self._tasks.aclose()  # before them: a dial that comes to its end would begin another one
        await asyncio.gather(*(warm.session.aclose() for warm in self.sessions))
        await self._tasks.aclose()

    async def _visit(self, label: Label, first: bytes, record: VisitRecord) -> Visit:
        warm = self._sessions.get(label)
        reused = warm is not None and warm.session.usable
        if warm is None or not reused:
            dialled = await self._dial_shared(label)
            if isinstance(dialled, _Original):
                return await self._visit_original(dialled, first, record)
            warm = dialled
        if label in self._sessions:  # a refusal may have ended it already: the stream says so
            self._sessions.move_to_end(label)
        record.candidate, record.protocol = warm.route.candidate, warm.route.protocol
        stream = warm.session.open_stream()
        try:
            await stream.send(first)
        except BaseException:
            await stream.aclose()
            raise
        return Visit(stream, record, reused, StatusReader())

    async def _dial_shared(self, label: Label) -> WarmSession | _Original:
        if label in self._originals:
            return await self._dial(label)
        absent, dial = self._absent.get(label.key_hash), None
        if absent is not None:
            failure, since = absent
            age = asyncio.get_running_loop().time() - since
            if age >= _PROBE_EVERY and label not in self._dialling:
                self._start_dial(label)
            if age < self._limits.negative_cache:
                dial = self._dialling.get(label)
                if dial is not None:
                    await asyncio.wait([dial], timeout=min(age / 10, _PATIENCE))
                if dial is None or not dial.done() or dial.cancelled() or dial.exception() is not None:
                    raise NoRoute(failure.target, failure.attempts, failure.reasons)
        dialled = await asyncio.shield(dial or self._dialling.get(label) or self._start_dial(label))
        while isinstance(dialled, _Original) and not dialled.waiting:
            dialled = await self._dial(label)
        return dialled

    def _start_dial(self, label: Label) -> asyncio.Task[WarmSession | _Original]:
        task = self._tasks.start(self._dial(label), f"dial.{label.key_hash.short}", expects=HardlineError)
        self._dialling[label] = task
        task.add_done_callback(lambda _: self._dialling.pop(label, None))
        task.add_done_callback(_discard_later)
        return task

    async def _dial(self, label: Label) -> WarmSession | _Original:
        key_hash = label.key_hash
        try:
            route = await self._dialer.dial(key_hash, self._originals.get(label), self._waits(key_hash))
        except NoRoute as failure:
            self._originals.pop(label, None)
            self._absent[key_hash] = (failure, asyncio.get_running_loop().time())
            self._absent.move_to_end(key_hash)
            while len(self._absent) > self._limits.sessions:
                self._absent.popitem(last=False)
            raise
        self._absent.pop(key_hash, None)
        try:
            if route.protocol == "hardline/1":
                return await self._greet_original(route, label)
            return await self._begin_session(route, label)
        except BaseException:
            route.tls.abort()
            raise

    def _waits(self, key_hash: KeyHash) -> frozenset[Endpoint]:
        """Where the host knows us by a network that guesses: elsewhere it may see another one."""
        now = asyncio.get_running_loop().time()
        return frozenset(at for (host, at), until in self._put_off.items() if host == key_hash and now < until)

    # hardline/2

    async def _begin_session(self, route: Route, label: Label) -> WarmSession:
        await self._make_room()
        client = None
        if (prover := self._prover(label.key_hash)) is not None:
            client = prover.prove(VISITOR, route.tls.exporter(VISITOR, label.key_hash))
        ours = hello.VisitorHello(label.password, str(route.candidate.endpoint), client)
        await route.tls.send(ours.encode())
        reader = hello.HelloReader()
        warm: WarmSession

        def preamble(data: memoryview) -> memoryview | None:
            line = reader.feed(bytes(data))
            if line is None:
                return None
            self._greeted(warm, hello.parse_host_hello(line))
            return memoryview(reader.leftover)

        source = Source(source_of(route.candidate.endpoint.host))
        session = Session(route.tls, self._limits.session, client=True, preamble=preamble, source=source)
        warm = WarmSession(label, session, route)
        old = self._sessions.get(label)
        if old is not None:
            old.session.go_away()
        self._sessions[label] = warm
        session.start()
        asyncio.get_running_loop().call_later(self._limits.hello_timeout, self._give_up_silent, session)
        self._tasks.start(self._keep_warm(warm), f"warm.{label.key_hash.short}")
        return warm

    def _give_up_silent(self, session: Session) -> None:
        if not session.greeted:
            session.abort(ConnectionLost(f"the host sent no hello within {self._limits.hello_timeout:g} s"))

    def _greeted(self, warm: WarmSession, answer: hello.HostHello | hello.HostRefusal) -> None:
        where = warm.label.key_hash, warm.route.candidate.endpoint
        if isinstance(answer, hello.HostRefusal):
            if answer.error == hello.BAD_PASSWORD:
                raise PasswordRefused("the host wants another text before the key hash")
            if answer.error in ("access", "invite"):
                raise AccessRefused(_INVITE.get(answer.why, "the owner of the service lets in whom he has invited"))
            if answer.error == hello.WAIT:
                self._put_off[where] = asyncio.get_running_loop().time() + _WAITS
                self._put_off.move_to_end(where)
                while len(self._put_off) > self._limits.sessions:
                    self._put_off.popitem(last=False)
                raise ServiceFailed("wait", "")
            raise PeerError(f"the host refused: {answer.error}")
        self._put_off.pop(where, None)
        warm.title = clean_title(answer.title)
        self._tasks.start(self._remember(warm.label.key_hash, warm.route, answer.wan_hosts, answer.title), "remember")

    async def _remember(self, target: KeyHash, route: Route, wan_hosts: object, title: object) -> None:
        await self._memory.worked(target, route.candidate.endpoint, route.candidate.kind, route.protocol)
        await self._memory.learned(target, wan_hosts, title)

    async def _keep_warm(self, warm: WarmSession) -> None:
        """Until the session is over, or was not used for `keepwarm` seconds."""
        session, loop = warm.session, asyncio.get_running_loop()
        while not session.closed.done():
            cold_at = (loop.time() if session.open_streams else session.last_used) + self._limits.keepwarm
            if cold_at <= loop.time():
                await session.aclose(ConnectionLost("not used for a while"))
            await asyncio.wait([session.closed], timeout=max(cold_at - loop.time(), 0.01))
        if self._sessions.get(warm.label) is warm:
            del self._sessions[warm.label]
        reason = session.failure.message if isinstance(session.failure, HardlineError) else "closed"
        log.event("session.ended", service=warm.label.key_hash.short, reason=reason)

    async def _make_room(self) -> None:
        if len(self._sessions) < self._limits.sessions:
            return
        for warm in list(self._sessions.values()):
            if not warm.session.open_streams:
                await warm.session.aclose(ConnectionLost("max_sessions: others needed the room"))
                return
        raise LimitReached(f"{len(self._sessions)} sessions are in use ([Session] max_sessions)")

    # hardline/1

    async def _greet_original(self, route: Route, label: Label) -> _Original:
        pipe = LegacyPipe(route.tls)
        try:
            async with asyncio.timeout(self._limits.hello_timeout):
                line = await pipe.exchange(hello.LegacyVisitorLine(label.password).encode())
        except TimeoutError:
            raise ConnectionLost(f"the host sent no line within {self._limits.hello_timeout:g} s") from None
        self._originals[label] = route.candidate
        self._originals.move_to_end(label)
        while len(self._originals) > self._limits.sessions:
            self._originals.popitem(last=False)
        wan_hosts = hello.LegacyHostLine.parse(line).wan_hosts
        self._tasks.start(self._remember(label.key_hash, route, wan_hosts, None), "remember")
        return _Original(pipe, route.candidate)

    async def _visit_original(self, original: _Original, first: bytes, record: VisitRecord) -> Visit:
        pipe = original.take()
        if pipe is None:
            raise ConnectionLost("another visit took the connection")
        record.candidate, record.protocol = original.candidate, "hardline/1"
        going_on = OpenOriginal(record.label, original.candidate, asyncio.get_running_loop().time())
        self.originals.add(going_on)
        pipe.tls.closed.add_done_callback(lambda _: self.originals.discard(going_on))
        try:
            await pipe.send(first)
        except ConnectionLost:
            await pipe.aclose()
            raise ConnectionLost(_ORIGINAL_CLOSED) from None
        except BaseException:
            await pipe.aclose()
            raise
        return Visit(pipe, record, reused=False, status=None)


def _discard_later(dial: asyncio.Task[WarmSession | _Original]) -> None:
    """A browser that left during the dial takes nothing: do not keep an original's connection for it."""
    if not dial.cancelled() and dial.exception() is None:
        dialled = dial.result()
        if isinstance(dialled, _Original):
            asyncio.get_running_loop().call_later(_PROBE_EVERY, dialled.discard)
