"""All that leaves a session: what streams and joints hold of it (stream.Multiplexer).

    Stream, Joint ─ reserve, commit / put ─▶ staging ┐
    Yamux ─ answers, credit, pings ──────────────────┴─ once in a turn of the loop ─▶ TlsStream

A frame header stands before each payload, and what comes up in one turn leaves in one TLS write.  Nothing waits in
here: a writer that finds no room parks itself and is woken when there is some.  Who sends in a turn shares it equally.
Source: docs/PROTOCOL.md, section 5; docs/decisions/0001-data-path.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from hardline.errors import ConnectionLost
from hardline.native.books import Box, Lane, Reasons
from hardline.session.frames import FrameTurns
from hardline.session.holding import Holding
from hardline.session.stream import Stream
from hardline.session.watch import Watch
from hardline.session.windows import INITIAL_WINDOW
from hardline.session.yamux import HEADER_SIZE, Yamux
from hardline.transport.buffers import STAGING, Buffers
from hardline.transport.engine import Scratch
from hardline.transport.sources import Source
from hardline.transport.tls import TlsStream

_FLUSH_AT = 131_072  # staged bytes that do not wait for the end of the turn
_ALONE = 4_194_304  # what a stream may add in one turn of the event loop when no other sends
_TURN = 524_288  # what several may together; one staging buffer, when the socket was behind
_SHARE = 8_192  # what each may at least, however many they are
_TRICKLE = 4_096  # the same while the socket is behind
_LAZY = 0.001  # seconds that what nobody waits for may wait for company


class Outbox(Box):
    """Of one session.  `dropped` is told of streams that ended here, `lost` why the connection cannot be written to."""

    def __init__(
        self,
        tls: TlsStream,
        yamux: Yamux,
        streams: Mapping[int, Stream],
        holding: Holding,
        watch: Watch,
        source: Source,
        *,
        dropped: Callable[[int], object],
        lost: Callable[[Exception], None],
    ) -> None:
        self.source = source
        self._tls, self._yamux, self._streams = tls, yamux, streams
        self._holding, self._watch = holding, watch
        self._dropped, self._lost = dropped, lost
        self._loop = asyncio.get_running_loop()
        self._buffers = Buffers.of_this_loop()
        self.staging: Scratch | None = None  # while something is staged
        self.fill = 0
        self.tick_due = self._lazy_due = False
        self._parked: dict[Stream, None] = {}
        self.turn = 1
        self._hurried = 0  # the turn that began when somebody did
        self.senders = 0  # in this turn
        self.share = _ALONE
        self.over = self.ready = False
        self.unheard = False  # the connection has ended: nobody is there to read anything
        self.sent = self.received = 0  # bytes of payload; of all that came
        self.patient = watch.patient
        self.links = False  # C may carry frames between it and sockets

    # What streams and joints call.

    def reserve(self, stream: Stream) -> memoryview:
        start = self.fill + HEADER_SIZE
        room = min(self._yamux.room(stream.number), STAGING - start, self._left(stream))
        staging = self.staging or self._buffer()
        return staging.view[start : start + (room if room > 0 else 1)]

    def commit(self, stream: Stream, count: int, *, lazily: bool = False) -> bool:
        if self.over:
            return False
        staging = self.staging or self._buffer()
        room = self._yamux.put_data_header(staging.data, self.fill, stream.number, count)
        if room < 0:
            stream.abort()  # bytes that cannot be sent must not vanish from the middle of a stream
            return False
        self.fill += HEADER_SIZE + count
        self.sent += count
        if stream.turn != self.turn:
            stream.turn, stream.used = self.turn, 0
            self.senders += 1
        stream.used += count
        if self.fill >= _FLUSH_AT and (not self._tls.blocked or STAGING - self.fill < _FLUSH_AT):
            self.flush()
        elif lazily:
            self._schedule_lazily()
        elif not self.tick_due:
            self.schedule()
        if room and not self._tls.blocked and stream.used < self.share:
            return True
        return self.may_send(stream)

    def may_send(self, stream: Stream) -> bool:
        if self._yamux.room(stream.number) <= 0:
            return False  # until the peer gives credit
        if self._tls.blocked or self._left(stream) <= 0:
            self._parked[stream] = None
            self.schedule()
            return False
        return True

    def put(self, stream: Stream, data: memoryview, *, lazily: bool = False) -> int:
        if self.over or self._tls.blocked:
            return 0
        start = self.fill + HEADER_SIZE
        count = min(len(data), self._yamux.room(stream.number), STAGING - start, self._left(stream))
        if count > 0:
            self._buffer().view[start : start + count] = data[:count]
            self.commit(stream, count, lazily=lazily)
        return max(count, 0)

    def takes(self, count: int) -> bool:
        """Whether a stream that was just opened could `put` so many bytes at once."""
        free = min(INITIAL_WINDOW, STAGING - self.fill - HEADER_SIZE, self.share)
        return not (self.over or self._tls.blocked) and count <= free

    def park(self, stream: Stream) -> None:
        if not self.over and self.may_send(stream):
            self._loop.call_soon(stream.room_made)

    def consumed(self, stream: Stream, count: int) -> None:
        self._holding.let_go(stream, count)
        now = self._loop.time()
        if not self.over and self._yamux.consumed(stream.number, count, now, self._watch.round_trip):
            self._watch.sent(now)  # credit asks for more: a host that died in mid-download is noticed soon
            self.schedule()

    def finish(self, stream: Stream, *, lazily: bool = False) -> None:
        if not self.over:
            self._yamux.finish(stream.number)
            if stream.ended:
                self._dropped(stream.number)
            if lazily:
                self._schedule_lazily()
            else:
                self.schedule()

    def reset(self, stream: Stream) -> None:
        if not self.over and stream.number in self._streams:
            self._yamux.reset(stream.number)
            self._dropped(stream.number)
            self.schedule()

    def lend(self, stream: Stream, lane: Lane, brake: Reasons) -> None:
        if self.links and not self.over and (books := self._yamux.books(stream.number)):
            lane.link(self, stream.number, stream, *books, brake)

    # What the session calls.

    def begin(self, session: object, turns: FrameTurns) -> None:
        """Where the part in C serves, it may now do for `session` what needs no looking at; `end` ends that."""
        watch, buffers = self._watch, self._buffers
        others = (
            self._loop.time,
            self._loop.call_soon,
            buffers.take_staging,
            buffers.give_staging_back,
            watch.look_sooner,
        )
        books = self._yamux, self._holding, watch.marks, turns, *self._yamux.answers, turns.waiting, self._parked
        if self._tls.can_link:
            self.link(self._tls, *books, others, session)
            self._tls.link_to(self)
            self.links = True

    def forget(self, stream: Stream) -> None:
        """It has ended: it waits for no room, and nothing more is carried for it."""
        self._parked.pop(stream, None)

    def writable(self) -> None:
        """The socket took everything."""
        if self.fill or self._yamux.has_answers:
            self.flush()
        self.next_turn(STAGING)

    def schedule(self) -> None:
        """Send what there is at the end of this turn of the loop."""
        if not self.tick_due:
            self.tick_due = True
            self._loop.call_soon(self.tick)

    def hurry(self) -> None:
        """Send what there is now: somebody waits.  Once in a turn; what others hurry with then leaves at its end."""
        if self._hurried != self.turn:
            self.tick()
            self._hurried = self.turn

    def flush(self, *, at_last: bool = False) -> None:
        """Send what is staged, and the control frames behind it.

        While the socket is behind they wait, or a peer that asks and never reads would fill our memory with answers:
        those that wait are counted (yamux.MAX_CONTROL_BACKLOG).
        """
        if self.unheard:
            self.fill = 0
            self._yamux.data_to_send()
            return
        if self._tls.blocked and STAGING - self.fill > _FLUSH_AT and not at_last:
            return  # `writable` comes back to it
        if self.fill:
            self._watch.sent(self._loop.time())
        try:
            control = self._yamux.data_to_send() if self._yamux.has_answers else b""
            for start in range(0, len(control), STAGING):
                piece = control[start : start + STAGING]
                if self.fill + len(piece) > STAGING:
                    self._write_staged()
                self._buffer().view[self.fill : self.fill + len(piece)] = piece
                self.fill += len(piece)
            if self.fill:
                self._write_staged()
        except ConnectionLost as failure:
            self._lost(failure)

    def end(self) -> None:
        """The session is over: nobody adds anything any more."""
        self._tls.part()
        self.unlink()
        self._dropped = self._lost = _nothing  # or the session would be held by what it holds

    # How it works.

    def _left(self, stream: Stream) -> int:
        """What `stream` may still send in this turn."""
        share = self.share
        if self._tls.blocked:
            share = min(share, max(_TRICKLE, STAGING // max(self.senders, len(self._parked), 1)))
        return share - stream.used if stream.turn == self.turn else share

    def next_turn(self, together: int) -> None:
        """Those who send share `together` bytes in every turn of the event loop, equally.

        Without this the event loop would read one ready socket again and again (libuv: 32 times) before it looks at
        the next: a bulk transfer would starve the others, and every request would wait behind megabytes.
        """
        senders = max(self.senders, len(self._parked))
        self.share = _ALONE if senders < 2 else max(_SHARE, together // senders)
        self.turn += 1
        self.senders = 0
        if self._tls.blocked or not self._parked:
            return
        parked = list(self._parked)
        self._parked.clear()
        for stream in parked:
            stream.room_made()

    def _schedule_lazily(self) -> None:
        if not self._lazy_due:
            self._lazy_due = True
            self._loop.call_later(_LAZY, self._lazy_tick)

    def _lazy_tick(self) -> None:
        self._lazy_due = False
        if (self.fill or self._yamux.has_answers) and not self.tick_due:
            self.tick()

    def end_turn(self) -> None:
        """As `tick`, which C may do."""
        self.tick_due = False
        if not self.over:
            self.flush()
            self.next_turn(_TURN)

    def refused(self) -> None:
        """TLS did not take what C had for it."""
        self._lost(self._tls.refusal())

    def _write_staged(self) -> None:
        count, self.fill = self.fill, 0
        staging, self.staging = self.staging or self._buffer(), None
        try:
            self._tls.write(staging, count)
        finally:
            self._buffers.give_staging_back(staging)
        self._watch.written(self._tls.written)

    def _buffer(self) -> Scratch:
        if self.staging is None:
            self.staging = self._buffers.take_staging()
        return self.staging


def _nothing(_: object) -> None:
    pass
