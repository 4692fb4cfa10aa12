"""A yamux session over TLS.

    browser's or service's socket ◀─ Joint ─▶ Stream ──▶ Outbox ─▶ TlsStream ─▶ the other node
                                              Stream ◀── Session ◀─ TlsStream ◀─
                                      Yamux, Watch, Holding: both ways' rules

Source: docs/PROTOCOL.md, section 5; docs/decisions/0001-data-path.md.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from hardline import log
from hardline.errors import ConnectionLost, HardlineError, PeerError, afresh
from hardline.session import events, yamux
from hardline.session.conduct import Conduct
from hardline.session.frames import FrameTurns
from hardline.session.holding import STEP, Holding
from hardline.session.outbox import Outbox
from hardline.session.stream import Stream
from hardline.session.watch import Watch
from hardline.session.windows import INITIAL_WINDOW, Backlog, WindowBudget
from hardline.session.yamux import HEADER_SIZE, Yamux
from hardline.transport.sources import Source, source_of
from hardline.transport.tls import TlsStream

CONTROL_STREAM = 2  # the host's first number, and its only one


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """The [Session] settings that a session needs; sizes in bytes, times in seconds."""

    streams: int = 1000
    stream_window: int = 16 << 20
    session_window: int = 64 << 20
    first_window: int = INITIAL_WINDOW
    ping_interval: float = 15.0
    ping_timeout: float = 3.0
    process: WindowBudget = field(default_factory=lambda: WindowBudget(256 << 20))
    backlog: Backlog = field(default_factory=lambda: Backlog(256 << 20))


class Session:
    """One end of a multiplexed connection to another node.

    `accept` is called with every stream that the peer opens; without it, none is accepted.  `preamble`, when
    given, gets what arrives first and returns what is left for yamux, or None as long as it wants more
    (docs/PROTOCOL.md 4: the visitor sends before it has read the host's hello).  `control` gets the one stream that a
    host may open, and that counts for nothing (10.1); `source` is whom the peer belongs to; its address says so
    otherwise.  `patience` is for one by a relay (watch.py).
    `closed` is done once the session is over; `failure` then says why, None for in order.  `on_idle` is called when the
    peer goes away, and when a session that takes no new streams has none any more.
    """

    def __init__(
        self,
        tls: TlsStream,
        limits: SessionLimits,
        *,
        client: bool,
        accept: Callable[[Stream], None] | None = None,
        preamble: Callable[[memoryview], memoryview | None] | None = None,
        control: Callable[[Stream], None] | None = None,
        source: Source | None = None,
        patience: float = 0.0,
    ) -> None:
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._accept = accept
        self._preamble, self._control = preamble, control
        budget = WindowBudget(limits.session_window, limits.stream_window, limits.process, limits.first_window)
        self._yamux = Yamux(
            client=client, accepts=limits.streams if accept else int(control is not None), budget=budget
        )
        self._max_streams = limits.streams
        self._streams: dict[int, Stream] = {}
        self.source = source or Source(source_of(tls.peer.host))
        self._unread: memoryview | None = None
        self._holding = Holding(self._streams, limits.session_window, limits.backlog, self.source.name, tls.peer)
        times = limits.ping_interval, limits.ping_timeout
        self._watch = Watch(tls, *times, patience=patience, ping=self._ping, lost=self._end)
        self._outbox = Outbox(
            *(tls, self._yamux, self._streams, self._holding, self._watch, self.source),
            dropped=self._drop,
            lost=self._end,
        )
        self._conduct = Conduct(self._loop.time())
        self._frames = FrameTurns.of_this_loop()
        self.on_idle: Callable[[], None] | None = None
        self._leaving = False
        self._over = False
        self._ended_by: Exception | None = None  # the connection has; what had come is still being looked at
        self.failure: Exception | None = None
        self.left = False  # this end ended it in order
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self.opened_at = self.last_used = self._loop.time()

    def start(self, early: bytes = b"") -> None:
        """Begin: `early` is what was read behind the peer's hello."""
        if early:
            self.plaintext_received(memoryview(early))
        if not self._over:
            self._tls.attach(self)
        if not self._over:
            self._outbox.begin(self, self._frames)
            self._note_ready()
            self._watch.start()

    @property
    def open_streams(self) -> int:
        """How many streams are open, the control stream aside."""
        return self._yamux.open_streams - (CONTROL_STREAM in self._streams)

    def moved(self) -> dict[int, int]:
        """How many bytes of payload came and went on each open stream."""
        return self._yamux.moved()

    @property
    def round_trip(self) -> float:
        """Seconds to the peer and back, by the last ping; 0 before the first answer."""
        return self._watch.round_trip

    async def measure(self) -> float:
        """Ask the peer for an answer, and return how long it took: seconds.  It may be long in coming."""
        began = time.perf_counter()  # the loop's clock has milliseconds
        await self._watch.measure()
        return time.perf_counter() - began

    @property
    def sent(self) -> int:
        """Bytes of payload that left."""
        return self._outbox.sent

    @property
    def received(self) -> int:
        """Bytes that came, of everything."""
        return self._outbox.received

    @property
    def greeted(self) -> bool:
        """The preamble, if there was one, is over."""
        return self._preamble is None

    @property
    def usable(self) -> bool:
        """New streams can be opened."""
        return self.lives and not self.draining and self._yamux.open_streams < self._max_streams

    @property
    def is_full(self) -> bool:
        """New streams can be opened again when others have ended."""
        return self.lives and not self.draining and self._yamux.open_streams >= self._max_streams

    def takes(self, count: int) -> bool:
        """Whether a stream that is opened now can send so many bytes without waiting."""
        return self._outbox.takes(count)

    def hurry(self) -> None:
        """Send what streams have been given now, rather than at the end of this turn of the event loop."""
        self._outbox.hurry()

    @property
    def owes(self) -> bool:
        """The peer should have answered by now: it may be about to be given up."""
        return self._watch.owes

    @property
    def draining(self) -> bool:
        """No new streams: one end has gone away, or there are no numbers left for them."""
        return self._leaving or self._yamux.peer_gone_away or self._yamux.used_up

    @property
    def lives(self) -> bool:
        """It is not over, and its connection neither."""
        return not self._over and self._ended_by is None

    @property
    def tls(self) -> TlsStream:
        """The connection underneath."""
        return self._tls

    def open_stream(self) -> Stream:
        """Open a stream.  Raises ConnectionLost when the session is over, LimitReached when it takes no more."""
        if self.lives and self._yamux.counted + 1 >= self._max_streams and self._yamux.has_answers:
            self._outbox.flush()  # the peer counts, too: it must hear of an end before it hears of what takes its place
        if not self.lives:
            raise afresh(self.failure or self._ended_by or ConnectionLost("the session was closed"))
        stream = self._opened(self._yamux.open())
        self.last_used = self._loop.time()
        self._outbox.schedule()
        return stream

    def open_control(self) -> Stream:
        """As host, the one stream of our own.  Raises ConnectionLost when the session is over, LimitReached when the
        visitor has gone away."""
        if not self.lives:
            raise afresh(self.failure or self._ended_by or ConnectionLost("the session was closed"))
        return self._opened(self._yamux.open())

    def _opened(self, number: int) -> Stream:
        stream = self._streams[number] = Stream(self._outbox, number)
        return stream

    def network_changed(self, addresses: Collection[str]) -> None:
        """This machine has `addresses` now: end when ours is gone, else ask the peer for a sign of life."""
        if self._over:
            return
        if (local := self._tls.local) and local not in addresses:
            self._end(ConnectionLost("this computer left the network that led there"))
            return
        self._watch.doubt()

    def go_away(self) -> None:
        """Open and accept no more streams; those that are open go on."""
        if not self._over:
            self._leaving = True
            self._yamux.go_away()
            self._outbox.schedule()
            self._note_idle()

    async def aclose(self, failure: Exception | None = None) -> None:
        """End the session: what was sent still leaves if the peer reads; open streams are reset.  Idempotent."""
        if not self._over:
            self.left = True
            self._yamux.go_away()
            self._end(failure or ConnectionLost("the session was closed"), orderly=True)
        await self._tls.aclose()

    def abort(self, failure: Exception) -> None:
        """End the session at once, with a cut."""
        self._end(failure)

    # What the TLS stream calls.

    def plaintext_received(self, data: memoryview) -> None:
        self._watch.heard()
        self._outbox.received += len(data)
        if self._unread is not None:
            self._unread = memoryview(bytes(self._unread) + bytes(data))
            return
        most = self._frames.allowed(self.source.name)
        if most:
            self.take(data, most)
        else:
            self._unread = memoryview(bytes(data))
            self._wait()

    def take(self, data: memoryview, most: int) -> None:
        """Look at `most` frames of what came, now, and at the others in later turns."""
        before = self._yamux.frames
        all_of_it = self._take(data, most)
        self._frames.looked(self._yamux.frames - before)
        if not all_of_it:
            self._wait()

    def plaintext_ended(self, failure: Exception | None) -> None:
        """What came before the end is looked at first, a turn at a time like everything else."""
        self._ended_by = failure or ConnectionLost("the peer closed the session")
        self._outbox.unheard = True
        if self._unread is None:
            self._end(self._ended_by)

    def writable(self) -> None:
        """The socket took everything."""
        self._outbox.writable()

    # How it works.

    def _wait(self) -> None:
        self._note_ready()
        self._tls.hold()
        self._frames.wait(self.source.name, self._take_more)

    def _note_ready(self) -> None:
        """Whether C may look at what comes, before anybody else does."""
        self._outbox.ready = self._outbox.links and self._preamble is None and self._unread is None and not self._over

    def _take(self, data: memoryview, most: int) -> bool:
        """Look at `most` frames.  False when there are more: they are in `_unread`, for the next turn."""
        try:
            if self._preamble is not None:
                rest = self._preamble(data)
                if rest is None:
                    return True
                self._preamble, data = None, rest
                self._note_ready()
            if self._outbox.ready:
                offset, frames = self._outbox.carry(data, most)
                if self._over:
                    return True
                data, most = data[offset:], most - frames
            if number := self._yamux.only_frame(data):
                self._deliver(number, data[HEADER_SIZE:])
                if self._over:
                    return True
            else:
                for event in self._yamux.receive(data, most):
                    if type(event) is events.DataReceived:  # nearly all are: not asked for by a pattern
                        self._deliver(event.stream, event.data)
                    else:
                        self._handle(event)
                    if self._over:
                        return True
        except HardlineError as failure:
            if isinstance(failure, PeerError):
                self._yamux.go_away(yamux.PROTOCOL_ERROR)
            self._end(failure, orderly=True)
            return True
        if self._holding.held - self._holding.noted >= STEP:
            self._holding.look()
        if self._yamux.empty > self._conduct.frames_due or self._yamux.pinged > self._conduct.pings_due:
            self._judge()
        if self._yamux.has_answers:
            self._outbox.schedule()  # they leave with whatever else comes up in this turn
        if not self._yamux.unread:
            return True
        rest = data[len(data) - self._yamux.unread :]
        self._unread = rest if rest.readonly else memoryview(bytes(rest))  # the buffer of all is needed for others
        return False

    def _deliver(self, number: int, data: memoryview) -> None:
        if stream := self._streams.get(number):
            stream.held += len(data)
            self._holding.held += len(data)
            stream.deliver(data)

    def _judge(self) -> None:
        empty = self._yamux.empty
        wrong = self._conduct.judge(
            self._loop.time(),
            pings=self._yamux.pinged,
            empty=empty,
            full=self._yamux.frames - empty,
            moved=self.sent + self.received,
        )
        if wrong:
            self._yamux.go_away(yamux.PROTOCOL_ERROR)
            self._end(PeerError(wrong), orderly=True)

    def _take_more(self, most: int) -> int:
        data, self._unread = self._unread, None
        self._note_ready()
        if self._over or data is None:
            return 0
        before = self._yamux.frames
        if not self._take(data, most):
            self._note_ready()
            self._frames.wait(self.source.name, self._take_more, again=True)
        elif self._ended_by is not None:
            self._end(self._ended_by)
        else:
            self._tls.go_on()
        return self._yamux.frames - before

    def _handle(self, event: events.Event) -> None:
        match event:
            case events.StreamOpened(number) if self._accept is not None:
                opened = self._opened(number)
                self.source.streams += 1
                self.last_used = self._loop.time()
                self._accept(opened)
            case events.StreamOpened(number):
                opened, control, self._control = self._opened(number), self._control, None
                if number == CONTROL_STREAM and control is not None:
                    control(opened)
                else:
                    opened.abort()
            case events.StreamEnded(number):
                # What yamux knows of the stream is no help: a reset behind this end is still to be told.
                if stream := self._streams.get(number):
                    if stream.finished:
                        self._drop(number)
                    stream.peer_ended()
            case events.StreamReset(number):
                if stream := self._drop(number):
                    stream.fail(ConnectionLost("the other end cut the stream"))
            case events.WindowGrew(number):
                if stream := self._streams.get(number):
                    stream.room_made()
            case events.PongReceived(value):
                self._watch.answered(value)
            case events.GoneAway(reason):
                log.debug("session.gone_away", endpoint=self._tls.peer, reason=reason)
                if self.on_idle is not None:
                    self._loop.call_soon(self.on_idle)

    def _ping(self, value: int) -> None:
        self._yamux.ping(value)
        self._outbox.schedule()

    def _drop(self, number: int) -> Stream | None:
        stream = self._streams.pop(number, None)
        if stream is not None:
            self._holding.dropped(stream)
            self._outbox.forget(stream)
            if _is_use(number):
                if self._accept is not None:
                    self.source.streams -= 1
                self.last_used = self._loop.time()
            if not self.open_streams:
                self._note_idle()
        return stream

    def _note_idle(self) -> None:
        if self.on_idle is not None and not self.open_streams and self.draining:
            self._loop.call_soon(self.on_idle)

    def _end(self, failure: Exception, *, orderly: bool = False) -> None:
        if self._over:
            return
        self._over = True
        self._outbox.ready = False
        self.failure = failure
        if orderly:
            self._outbox.flush(at_last=True)
        self._outbox.end()
        self._watch.stop()
        streams = list(self._streams.values())
        self._streams.clear()
        if self._accept is not None:
            self.source.streams -= sum(_is_use(stream.number) for stream in streams)
        for stream in streams:
            stream.fail(failure if isinstance(failure, HardlineError) else ConnectionLost(str(failure)))
        self._yamux.release()
        self._holding.end()
        if orderly:
            self._tls.close_soon()
        else:
            self._tls.abort()
        if not self.closed.done():
            self.closed.set_result(None)


def _is_use(number: int) -> bool:
    """It is a visitor's stream: what a host opens keeps no session that nobody uses."""
    return number % 2 == 1
