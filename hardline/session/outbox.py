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
from hardline.session.holding import Holding
from hardline.session.stream import Stream
from hardline.session.watch import Watch
from hardline.session.windows import INITIAL_WINDOW
from hardline.session.yamux import HEADER_SIZE, Yamux
from hardline.transport.buffers import STAGING, Buffers
from hardline.transport.engine import Scratch
from hardline.transport.native import Carried, Carrier
from hardline.transport.sources import Source
from hardline.transport.tls import TlsStream

_FLUSH_AT = 131_072  # staged bytes that do not wait for the end of the turn
_ALONE = 4_194_304  # what a stream may add in one turn of the event loop when no other sends
_TURN = 524_288  # what several may together; one staging buffer, when the socket was behind
_SHARE = 8_192  # what each may at least, however many they are
_TRICKLE = 4_096  # the same while the socket is behind
_ALL = 0xFFFFFFFF  # bytes that nobody looks at, as the carrier counts them
_LAZY = 0.001  # seconds that what nobody waits for may wait for company


class Outbox:
    """Of one session.  `dropped` is told of streams that ended here, `lost` why the connection cannot be written to."""

    def __init__(
        self,
        tls: TlsStream,
        yamux: Yamux,
        streams: Mapping[int, Stream],
        holding: Holding,
        watch: Watch,
        source: Source,
        carrier: Carrier | None,
        *,
        dropped: Callable[[int], object],
        lost: Callable[[Exception], None],
    ) -> None:
        self.source = source
        self._tls, self._yamux, self._streams = tls, yamux, streams
        self._holding, self._watch = holding, watch
        self._carrier = carrier
        self._led: set[int] = set()  # streams whose frames it may carry
        self._dropped, self._lost = dropped, lost
        self._loop = asyncio.get_running_loop()
        self._buffers = Buffers.of_this_loop()
        self._staging: Scratch | None = None  # while something is staged
        self._fill = 0
        self._tick_due = self._lazy_due = False
        self._parked: dict[Stream, None] = {}
        self._turn = 1
        self._senders = 0  # in this turn
        self._share = _ALONE
        self._over = False
        self.unheard = False  # the connection has ended: nobody is there to read anything
        self.sent = 0  # bytes of payload

    # What streams and joints call.

    def reserve(self, stream: Stream) -> memoryview:
        start = self._fill + HEADER_SIZE
        room = min(self._yamux.room(stream.number), STAGING - start, self._left(stream))
        staging = self._staging or self._buffer()
        return staging.view[start : start + (room if room > 0 else 1)]

    def commit(self, stream: Stream, count: int, *, lazily: bool = False) -> bool:
        if self._over:
            return False
        staging = self._staging or self._buffer()
        room = self._yamux.put_data_header(staging.data, self._fill, stream.number, count)
        if room < 0:
            stream.abort()  # bytes that cannot be sent must not vanish from the middle of a stream
            return False
        self._fill += HEADER_SIZE + count
        self.sent += count
        if stream.turn != self._turn:
            stream.turn, stream.used = self._turn, 0
            self._senders += 1
        stream.used += count
        if self._fill >= _FLUSH_AT and (not self._tls.blocked or STAGING - self._fill < _FLUSH_AT):
            self.flush()
        elif lazily:
            self._schedule_lazily()
        elif not self._tick_due:
            self.schedule()
        if room and not self._tls.blocked and stream.used < self._share:
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
        if self._over or self._tls.blocked:
            return 0
        start = self._fill + HEADER_SIZE
        count = min(len(data), self._yamux.room(stream.number), STAGING - start, self._left(stream))
        if count > 0:
            self._buffer().view[start : start + count] = data[:count]
            self.commit(stream, count, lazily=lazily)
        return max(count, 0)

    def takes(self, count: int) -> bool:
        """Whether a stream that was just opened could `put` so many bytes at once."""
        free = min(INITIAL_WINDOW, STAGING - self._fill - HEADER_SIZE, self._share)
        return not (self._over or self._tls.blocked) and count <= free

    def park(self, stream: Stream) -> None:
        if not self._over and self.may_send(stream):
            self._loop.call_soon(stream.room_made)

    def consumed(self, stream: Stream, count: int) -> None:
        self._holding.let_go(stream, count)
        now = self._loop.time()
        if not self._over and self._yamux.consumed(stream.number, count, now, self._watch.round_trip):
            self._watch.sent(now)  # credit asks for more: a host that died in mid-download is noticed soon
            self.allow(stream)
            self.schedule()

    def finish(self, stream: Stream) -> None:
        if not self._over:
            self._yamux.finish(stream.number)
            if stream.ended:
                self._dropped(stream.number)
            self.schedule()

    def reset(self, stream: Stream) -> None:
        if not self._over and stream.number in self._streams:
            self._yamux.reset(stream.number)
            self._dropped(stream.number)
            self.schedule()

    @property
    def leads(self) -> bool:
        return self._carrier is not None

    def lead(self, stream: Stream, sink: Carried, fd: int, unwatched: int) -> None:
        if self._carrier is not None and not self._over:
            if left := self._yamux.allowance(stream.number):
                self._carrier.join(stream.number, sink, fd, left, min(unwatched, _ALL))
                self._led.add(stream.number)
            else:
                self.keep(stream)  # what it knew of `unwatched` is of before

    def keep(self, stream: Stream) -> None:
        if self._carrier is not None and stream.number in self._led:
            self._led.discard(stream.number)
            self._carrier.part(stream.number)

    def carried(self, stream: Stream, announced: int, written: int) -> None:
        self._yamux.announced(stream.number, announced)
        self.consumed(stream, written)

    # What the session calls.

    def allow(self, stream: Stream) -> None:
        """What the peer may send on `stream` has changed."""
        if self._carrier is not None and stream.number in self._led:
            self._carrier.allow(stream.number, self._yamux.allowance(stream.number))

    @property
    def carries(self) -> bool:
        """There are streams whose frames need not come through here."""
        return bool(self._led)

    def forget(self, stream: Stream) -> None:
        """It has ended: it waits for no room, and nothing more is carried for it."""
        self._parked.pop(stream, None)
        self.keep(stream)

    def writable(self) -> None:
        """The socket took everything."""
        if self._fill or self._yamux.has_answers:
            self.flush()
        self._next_turn(STAGING)

    def schedule(self) -> None:
        """Send what there is at the end of this turn of the loop."""
        if not self._tick_due:
            self._tick_due = True
            self._loop.call_soon(self._tick)

    def flush(self, *, at_last: bool = False) -> None:
        """Send what is staged, and the control frames behind it.

        While the socket is behind they wait, or a peer that asks and never reads would fill our memory with answers:
        those that wait are counted (yamux.MAX_CONTROL_BACKLOG).
        """
        if self.unheard:
            self._fill = 0
            self._yamux.data_to_send()
            return
        if self._tls.blocked and STAGING - self._fill > _FLUSH_AT and not at_last:
            return  # `writable` comes back to it
        if self._fill:
            self._watch.sent(self._loop.time())
        try:
            control = self._yamux.data_to_send() if self._yamux.has_answers else b""
            for start in range(0, len(control), STAGING):
                piece = control[start : start + STAGING]
                if self._fill + len(piece) > STAGING:
                    self._write_staged()
                self._buffer().view[self._fill : self._fill + len(piece)] = piece
                self._fill += len(piece)
            if self._fill:
                self._write_staged()
        except ConnectionLost as failure:
            self._lost(failure)

    def end(self) -> None:
        """The session is over: nobody adds anything any more."""
        self._over = True
        self._dropped = self._lost = _nothing  # or the session would be held by what it holds

    # How it works.

    def _left(self, stream: Stream) -> int:
        """What `stream` may still send in this turn."""
        share = self._share
        if self._tls.blocked:
            share = min(share, max(_TRICKLE, STAGING // max(self._senders, len(self._parked), 1)))
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
            self.flush()
            self._next_turn(_TURN)

    def _write_staged(self) -> None:
        count, self._fill = self._fill, 0
        staging, self._staging = self._staging or self._buffer(), None
        try:
            self._tls.write(staging, count)
        finally:
            self._buffers.give_staging_back(staging)
        self._watch.written(self._tls.written)

    def _buffer(self) -> Scratch:
        if self._staging is None:
            self._staging = self._buffers.take_staging()
        return self._staging


def _nothing(_: object) -> None:
    pass
