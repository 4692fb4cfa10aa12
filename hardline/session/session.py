"""A yamux session over TLS.

    browser's or service's socket ◀─ Joint ─▶ Stream ◀─▶ Session ─ Yamux ─▶ TlsStream ─▶ the other node

Everything that goes out is collected in one staging buffer, a frame header before each payload, and leaves in
one TLS write per turn of the event loop.  Nothing waits in here: a writer that finds no room parks itself and is
woken when there is some.  Source: docs/PROTOCOL.md, section 5; docs/decisions/0001-data-path.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from hardline import log
from hardline.errors import ConnectionLost, HardlineError, PeerError, afresh
from hardline.session import yamux
from hardline.session.conduct import Conduct
from hardline.session.frames import FrameTurns
from hardline.session.liveness import Due, Liveness
from hardline.session.stream import Stream
from hardline.session.windows import Backlog, WindowBudget
from hardline.session.yamux import HEADER_SIZE, Yamux
from hardline.transport.engine import Scratch
from hardline.transport.sources import Source, source_of
from hardline.transport.tls import TlsStream

_STAGING = 262_144 + HEADER_SIZE
_FLUSH_AT = 131_072  # staged bytes that do not wait for the end of the turn
_ALONE = 4_194_304  # what a stream may add in one turn of the event loop when no other sends
_TURN = 524_288  # what several may together; one staging buffer, when the socket was behind
_SHARE = 8_192  # what each may at least, however many they are
_TRICKLE = 4_096  # the same while the socket is behind
_HELD_STEP = 65_536  # the process hears of what is held for readers in steps of this
_HELD_MORE = 16_777_216  # what all streams may hold beyond the session's window, for their initial ones
_LAZY = 0.001  # seconds that what nobody waits for may wait for company

# Staging buffers that no session needs now: an idle session should not keep a quarter of a megabyte.
_IDLE_BUFFERS = 8
_idle_buffers: list[Scratch] = []


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """The [Session] settings that a session needs; sizes in bytes, times in seconds."""

    streams: int = 1000
    stream_window: int = 16 << 20
    session_window: int = 64 << 20
    ping_interval: float = 15.0
    ping_timeout: float = 3.0
    process: WindowBudget = field(default_factory=lambda: WindowBudget(256 << 20))
    backlog: Backlog = field(default_factory=lambda: Backlog(256 << 20))


class Session:
    """One end of a multiplexed connection to another node.

    `accept` is called with every stream that the peer opens; without it, none is accepted.  `preamble`, when
    given, gets what arrives first and returns what is left for yamux, or None as long as it wants more
    (docs/PROTOCOL.md 4: the visitor sends before it has read the host's hello).  `source` is whom the peer belongs to;
    its address says so otherwise.
    `closed` is done once the session is over; `failure` then says why, None for in order.  `on_idle` is called when a
    session that takes no new streams has none any more.
    """

    def __init__(
        self,
        tls: TlsStream,
        limits: SessionLimits,
        *,
        client: bool,
        accept: Callable[[Stream], None] | None = None,
        preamble: Callable[[memoryview], memoryview | None] | None = None,
        source: Source | None = None,
    ) -> None:
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._accept = accept
        self._preamble = preamble
        budget = WindowBudget(limits.session_window, limits.stream_window, limits.process)
        self._yamux = Yamux(client=client, accepts=limits.streams if accept else 0, budget=budget)
        self._max_streams = limits.streams
        self._streams: dict[int, Stream] = {}
        self._backlog, self._most_held = limits.backlog, limits.session_window + _HELD_MORE
        self._held = self._noted = 0
        self._unread: memoryview | None = None
        self._staging: Scratch | None = None  # while something is staged
        self._fill = 0
        self._tick_due = self._lazy_due = False
        self._parked: dict[Stream, None] = {}
        self._turn = 1
        self._senders = 0  # in this turn
        self._share = _ALONE
        self._liveness = Liveness(self._loop.time(), limits.ping_interval, limits.ping_timeout)
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0
        self._pinged_at = 0.0
        self._ping_value = 0
        self._conduct = Conduct(self._loop.time())
        self._frames = FrameTurns.of_this_loop()
        self.source = source or Source(source_of(tls.peer.host))
        self._round_trip = 0.0
        self._acknowledged = 0
        self._ping_ends_at: int | None = None  # in the count of `TlsStream.written`; None until it is written
        self.on_idle: Callable[[], None] | None = None
        self._leaving = False
        self._over = False
        self._ended_by: Exception | None = None  # the connection has; what had come is still being looked at
        self.failure: Exception | None = None
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self.opened_at = self.last_used = self._loop.time()
        self.sent = self.received = 0

    def start(self, early: bytes = b"") -> None:
        """Begin: `early` is what was read behind the peer's hello."""
        if early:
            self.plaintext_received(memoryview(early))
        if not self._over:
            self._tls.attach(self)
        if not self._over:
            self._ping()
            self._watch()

    @property
    def open_streams(self) -> int:
        """How many streams are open."""
        return self._yamux.open_streams

    @property
    def round_trip(self) -> float:
        """Seconds to the peer and back, by the last ping; 0 before the first answer."""
        return self._round_trip

    @property
    def greeted(self) -> bool:
        """The preamble, if there was one, is over."""
        return self._preamble is None

    @property
    def usable(self) -> bool:
        """New streams can be opened."""
        return self._lives and not self.draining and self._yamux.open_streams < self._max_streams

    @property
    def is_full(self) -> bool:
        """New streams can be opened again when others have ended."""
        return self._lives and not self.draining and self._yamux.open_streams >= self._max_streams

    @property
    def draining(self) -> bool:
        """No new streams: one end has gone away, or there are no numbers left for them."""
        return self._leaving or self._yamux.peer_gone_away or self._yamux.used_up

    @property
    def _lives(self) -> bool:
        return not self._over and self._ended_by is None

    @property
    def tls(self) -> TlsStream:
        """The connection underneath."""
        return self._tls

    def open_stream(self) -> Stream:
        """Open a stream.  Raises ConnectionLost when the session is over, LimitReached when it takes no more."""
        if self._lives and self._yamux.open_streams + 1 >= self._max_streams and self._yamux.has_answers:
            self._flush()  # the peer counts, too: it must hear of an end before it hears of what takes its place
        if not self._lives:
            raise afresh(self.failure or self._ended_by or ConnectionLost("the session was closed"))
        number = self._yamux.open()
        stream = self._streams[number] = Stream(self, number)
        self.last_used = self._loop.time()
        self._schedule()
        return stream

    def network_changed(self, addresses: Collection[str]) -> None:
        """This machine has `addresses` now: end when ours is gone, else ask the peer for a sign of life."""
        if self._over:
            return
        if (local := self._tls.local) and local not in addresses:
            self._end(ConnectionLost("this computer left the network that led there"))
            return
        self._liveness.doubt(self._loop.time())
        self._watch_soon()

    def go_away(self) -> None:
        """Open and accept no more streams; those that are open go on."""
        if not self._over:
            self._leaving = True
            self._yamux.go_away()
            self._schedule()
            self._note_idle()

    async def aclose(self, failure: Exception | None = None) -> None:
        """End the session: what was sent still leaves if the peer reads; open streams are reset.  Idempotent."""
        if not self._over:
            self._yamux.go_away()
            self._end(failure or ConnectionLost("the session was closed"), orderly=True)
        await self._tls.aclose()

    def abort(self, failure: Exception) -> None:
        """End the session at once, with a cut."""
        self._end(failure)

    # What streams and joints call: stream.Multiplexer.

    def reserve(self, stream: Stream) -> memoryview:
        start = self._fill + HEADER_SIZE
        room = min(self._yamux.room(stream.number), _STAGING - start, self._left(stream))
        return self._buffer().view[start : start + max(room, 1)]

    def commit(self, stream: Stream, count: int, *, lazily: bool = False) -> bool:
        if self._over:
            return False
        room = self._yamux.put_data_header(self._buffer().data, self._fill, stream.number, count)
        if room < 0:
            stream.abort()  # bytes that cannot be sent must not vanish from the middle of a stream
            return False
        self._fill += HEADER_SIZE + count
        self.sent += count
        if stream.turn != self._turn:
            stream.turn, stream.used = self._turn, 0
            self._senders += 1
        stream.used += count
        if self._fill >= _FLUSH_AT and (not self._tls.blocked or _STAGING - self._fill < _FLUSH_AT):
            self._flush()
        elif lazily:
            self._schedule_lazily()
        elif not self._tick_due:
            self._schedule()
        if room and not self._tls.blocked and stream.used < self._share:
            return True
        return self.may_send(stream)

    def may_send(self, stream: Stream) -> bool:
        if self._yamux.room(stream.number) <= 0:
            return False  # until the peer gives credit
        if self._tls.blocked or self._left(stream) <= 0:
            self._parked[stream] = None
            self._schedule()
            return False
        return True

    def put(self, stream: Stream, data: memoryview, *, lazily: bool = False) -> int:
        if self._over or self._tls.blocked:
            return 0
        start = self._fill + HEADER_SIZE
        count = min(len(data), self._yamux.room(stream.number), _STAGING - start, self._left(stream))
        if count > 0:
            self._buffer().view[start : start + count] = data[:count]
            self.commit(stream, count, lazily=lazily)
        return max(count, 0)

    def park(self, stream: Stream) -> None:
        if not self._over and self.may_send(stream):
            self._loop.call_soon(stream.room_made)

    def consumed(self, stream: Stream, count: int) -> None:
        now = self._loop.time()
        held = min(count, stream.held)  # none of a stream that is over, though its last bytes are still on their way
        stream.held -= held
        self._held -= held
        if self._noted - self._held >= _HELD_STEP and not self._over:
            self._note_what_is_held()
        if not self._over and self._yamux.consumed(stream.number, count, now, self._round_trip):
            if self._liveness.sent(now):  # credit asks for more: a host that died in mid-download is noticed soon
                self._watch_soon()
            self._schedule()

    def finish(self, stream: Stream) -> None:
        if not self._over:
            self._yamux.finish(stream.number)
            if stream.ended:
                self._drop(stream.number)
            self._schedule()

    def reset(self, stream: Stream) -> None:
        if not self._over and stream.number in self._streams:
            self._yamux.reset(stream.number)
            self._drop(stream.number)
            self._schedule()

    # What the TLS stream calls.

    def plaintext_received(self, data: memoryview) -> None:
        self._liveness.heard(self._loop.time())
        self.received += len(data)
        if self._unread is not None:
            self._unread = memoryview(bytes(self._unread) + bytes(data))
            return
        most = self._frames.allowed(self.source.name)
        if most:
            before = self._yamux.frames
            all_of_it = self._take(data, most)
            self._frames.looked(self._yamux.frames - before)
            if all_of_it:
                return
        else:
            self._unread = memoryview(bytes(data))
        self._tls.hold()
        self._frames.wait(self.source.name, self._take_more)

    def plaintext_ended(self, failure: Exception | None) -> None:
        """What came before the end is looked at first, a turn at a time like everything else."""
        self._ended_by = failure or ConnectionLost("the peer closed the session")
        if self._unread is None:
            self._end(self._ended_by)

    def writable(self) -> None:
        """The socket took everything."""
        if self._fill or self._yamux.has_answers:
            self._flush()
        self._next_turn(_STAGING)

    # How it works.

    def _take(self, data: memoryview, most: int) -> bool:
        """Look at `most` frames.  False when there are more: they are in `_unread`, for the next turn."""
        try:
            if self._preamble is not None:
                rest = self._preamble(data)
                if rest is None:
                    return True
                self._preamble, data = None, rest
            for event in self._yamux.receive(data, most):
                if type(event) is yamux.DataReceived:  # nearly all are: not asked for by a pattern
                    if stream := self._streams.get(event.stream):
                        stream.held += len(event.data)
                        self._held += len(event.data)
                        stream.deliver(event.data)
                else:
                    self._handle(event)
                if self._over:
                    return True
        except HardlineError as failure:
            if isinstance(failure, PeerError):
                self._yamux.go_away(yamux.PROTOCOL_ERROR)
            self._end(failure, orderly=True)
            return True
        if self._held - self._noted >= _HELD_STEP:
            self._bound_what_is_held()
        if self._yamux.empty > self._conduct.frames_due or self._yamux.pinged > self._conduct.pings_due:
            self._judge()
        if self._yamux.has_answers:
            self._schedule()  # they leave with whatever else comes up in this turn
        if not self._yamux.unread:
            return True
        rest = data[len(data) - self._yamux.unread :]
        self._unread = rest if rest.readonly else memoryview(bytes(rest))  # the buffer of all is needed for others
        return False

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
        if self._over or data is None:
            return 0
        before = self._yamux.frames
        if not self._take(data, most):
            self._frames.wait(self.source.name, self._take_more, again=True)
        elif self._ended_by is not None:
            self._end(self._ended_by)
        else:
            self._tls.go_on()
        return self._yamux.frames - before

    def _bound_what_is_held(self) -> None:
        """Who makes us hold more than honest readers' windows loses the streams that hold most."""
        while self._held > self._most_held and self._cut_fullest("session_window"):
            pass
        self._note_what_is_held()

    def _note_what_is_held(self) -> None:
        self._noted = self._held
        fullest = self._backlog.note(self, self.source.name, self._held)
        while isinstance(fullest, Session) and fullest._cut_fullest("process_window"):
            fullest._noted = fullest._held
            fullest = self._backlog.note(fullest, fullest.source.name, fullest._held)

    def _cut_fullest(self, limit: str) -> bool:
        """Cut the stream that holds most because of `limit`.  False when there is none."""
        fullest = max(self._streams.values(), key=lambda stream: stream.held, default=None)
        if fullest is None or not fullest.held:
            return False
        log.warning("stream.cut", endpoint=self._tls.peer, reason=f"{limit}: nobody reads it", held=fullest.held)
        fullest.abort()
        return True

    def _left(self, stream: Stream) -> int:
        """What `stream` may still send in this turn."""
        share = self._share
        if self._tls.blocked:
            share = min(share, max(_TRICKLE, _STAGING // max(self._senders, len(self._parked), 1)))
        return share - stream.used if stream.turn == self._turn else share

    def _next_turn(self, together: int) -> None:
        """Those who send share `together` bytes in every turn of the event loop, equally.

        Without this the event loop would read one ready socket again and again (libuv: 32 times) before it looks at
        the next: a bulk transfer would starve the others, and every request would wait behind megabytes.
        """
        senders = max(self._senders, len(self._parked))
        self._share = _ALONE if senders < 2 else max(_SHARE, together // senders)
        self._turn += 1
        self._senders = 0
        if self._tls.blocked or not self._parked:
            return
        parked, self._parked = list(self._parked), {}
        for stream in parked:
            stream.room_made()

    def _handle(self, event: yamux.Event) -> None:
        match event:
            case yamux.StreamOpened(number):
                assert self._accept is not None, "yamux accepts none without it"
                opened = self._streams[number] = Stream(self, number)
                self.source.streams += 1
                self.last_used = self._loop.time()
                self._accept(opened)
            case yamux.StreamEnded(number):
                # What yamux knows of the stream is no help: a reset behind this end is still to be told.
                if stream := self._streams.get(number):
                    if stream.finished:
                        self._drop(number)
                    stream.peer_ended()
            case yamux.StreamReset(number):
                if stream := self._drop(number):
                    stream.fail(ConnectionLost("the other end cut the stream"))
            case yamux.WindowGrew(number):
                if stream := self._streams.get(number):
                    stream.room_made()
            case yamux.PongReceived(value):
                if value == self._ping_value:
                    self._round_trip = self._loop.time() - self._pinged_at
            case yamux.GoneAway(reason):
                log.debug("session.gone_away", endpoint=self._tls.peer, reason=reason)
                self._note_idle()

    def _schedule(self) -> None:
        if not self._tick_due:
            self._tick_due = True
            self._loop.call_soon(self._tick)

    def _schedule_lazily(self) -> None:
        if not self._lazy_due:
            self._lazy_due = True
            self._loop.call_later(_LAZY, self._lazy_tick)

    def _lazy_tick(self) -> None:
        self._lazy_due = False
        if self._fill and not self._tick_due:
            self._tick()

    def _tick(self) -> None:
        self._tick_due = False
        if not self._over:
            self._flush()
            self._next_turn(_TURN)

    def _flush(self, *, at_last: bool = False) -> None:
        """Send what is staged, and the control frames behind it.

        While the socket is behind they wait, or a peer that asks and never reads would fill our memory with answers:
        those that wait are counted (yamux.MAX_CONTROL_BACKLOG).
        """
        if self._ended_by is not None:
            self._fill = 0  # nobody is there to read it
            self._yamux.data_to_send()
            return
        if self._tls.blocked and _STAGING - self._fill > _FLUSH_AT and not at_last:
            return  # `writable` comes back to it
        if self._fill and self._liveness.sent(self._loop.time()):
            self._watch_soon()
        try:
            control = self._yamux.data_to_send() if self._yamux.has_answers else b""
            for start in range(0, len(control), _STAGING):
                piece = control[start : start + _STAGING]
                if self._fill + len(piece) > _STAGING:
                    self._write_staged()
                self._buffer().view[self._fill : self._fill + len(piece)] = piece
                self._fill += len(piece)
            if self._fill:
                self._write_staged()
        except ConnectionLost as failure:
            self._end(failure)

    def _write_staged(self) -> None:
        count, self._fill = self._fill, 0
        staging, self._staging = self._buffer(), None
        try:
            self._tls.write(staging, count)
        finally:
            if len(_idle_buffers) < _IDLE_BUFFERS:
                _idle_buffers.append(staging)
        if self._ping_ends_at is None:
            self._ping_ends_at = self._tls.written

    def _buffer(self) -> Scratch:
        if self._staging is None:
            self._staging = _idle_buffers.pop() if _idle_buffers else Scratch(_STAGING)
        return self._staging

    def _ping(self) -> None:
        self._ping_value = (self._ping_value + 1) & 0xFFFFFFFF
        self._pinged_at = self._loop.time()
        self._ping_ends_at = None
        self._yamux.ping(self._ping_value)
        self._schedule()

    def _watch(self) -> None:
        """Look at the deadline, and set the alarm for the next."""
        self._alarm = None
        if self._over:
            return
        now = self._loop.time()
        due = self._liveness.tick(now)
        if due is Due.DEAD:
            if not self._is_getting_through():
                self._end(ConnectionLost("the other node does not answer"))
                return
            self._liveness.wait_on(now)
        if due is Due.PING:
            self._acknowledged = self._tls.acknowledged or 0
            self._ping()
        self._set_alarm()

    def _is_getting_through(self) -> bool:
        """The ping itself still waits behind data, on a slow link, and the peer's kernel goes on confirming bytes.

        Once the ping is confirmed that proves nothing more: the kernel of a stopped process confirms, too.
        """
        before, self._acknowledged = self._acknowledged, self._tls.acknowledged or 0
        waiting = self._ping_ends_at is None or self._acknowledged < self._ping_ends_at
        return waiting and self._acknowledged > before

    def _watch_soon(self) -> None:
        if self._alarm is not None and self._liveness.deadline < self._alarm_at:
            self._alarm.cancel()
            self._set_alarm()

    def _set_alarm(self) -> None:
        self._alarm_at = self._liveness.deadline
        self._alarm = self._loop.call_at(self._alarm_at, self._watch)

    def _drop(self, number: int) -> Stream | None:
        stream = self._streams.pop(number, None)
        if stream is not None:
            if self._accept is not None:
                self.source.streams -= 1
            self._held -= stream.held
            stream.held = 0
            self._parked.pop(stream, None)
            self.last_used = self._loop.time()
            if not self._streams:
                self._note_idle()
        return stream

    def _note_idle(self) -> None:
        if self.on_idle is not None and not self._streams and self.draining:
            self._loop.call_soon(self.on_idle)

    def _end(self, failure: Exception, *, orderly: bool = False) -> None:
        if self._over:
            return
        self._over = True
        self.failure = failure
        if orderly:
            self._flush(at_last=True)
        if self._alarm is not None:
            self._alarm.cancel()
        streams, self._streams = list(self._streams.values()), {}
        if self._accept is not None:
            self.source.streams -= len(streams)
        for stream in streams:
            stream.fail(failure if isinstance(failure, HardlineError) else ConnectionLost(str(failure)))
        self._yamux.release()
        self._backlog.forget(self)
        if orderly:
            self._tls.close_soon()
        else:
            self._tls.abort()
        if not self.closed.done():
            self.closed.set_result(None)
