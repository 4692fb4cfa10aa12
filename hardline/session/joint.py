"""A yamux stream and a local socket, joined without a task in between.

    socket ── get_buffer/buffer_updated ──▶ Outward ──▶ the session's staging buffer ──▶ the other node
    socket ◀── os.write ── Inward ◀── data_received ◀───────────────────────────────── the other node

The kernel copies what the socket sends straight behind the place of its yamux header, and takes what the peer
sent straight out of the decrypted buffer; only what the socket does not take at once is copied and kept, and
its credit is held back until it is gone.  So a slow reader costs its window and no more.  How each direction goes is
its half's business (outward.py, inward.py); here is what concerns both: its beginning, its gate and its end.
"""

from __future__ import annotations

import asyncio
import os
import socket

from hardline.errors import ConnectionLost, HardlineError, PeerError
from hardline.native.books import Lane
from hardline.outcome import Outcome
from hardline.session.gate import Gate
from hardline.session.inward import Inward, Preamble
from hardline.session.outward import Outward
from hardline.session.stream import Stream
from hardline.transport.tcp import TcpStream, cut, spoke_last, unread

# After its end a socket is read no more, so nobody would hear that its owner, gone altogether, refuses what is sent.
_LOOK_EVERY = 5.0


class Joint(Lane, asyncio.BufferedProtocol):
    """Carries bytes both ways until both directions have ended or one side broke.

    It owns the stream and the socket from its making on.  `done` then says how it went: a result for in order,
    ConnectionLost for a cut.

    `preamble`, when given, gets what arrives first on the stream and returns what is left for the socket, or None
    as long as it wants more; `answered` is done when it has what it wants.  The socket's bytes leave meanwhile.
    If it raises, or the stream ends before, both outcomes are the failure, and `tcp` has its socket back.

    `gate`, when given, decides what of the socket's bytes may pass.  With `gives_back` the socket also goes back to
    `tcp` when the gate is over, with `done` in order, and when the stream was cut: whoever is at its other end may
    still be sending, and would lose what it has not read yet if the socket was closed at once.  `returned` says so.
    """

    def __init__(
        self,
        stream: Stream,
        tcp: TcpStream,
        preamble: Preamble | None = None,
        gate: Gate | None = None,
        *,
        gives_back: bool = False,
    ) -> None:
        self._stream = stream
        self._session = stream.session
        self._tcp = tcp
        self._transport = tcp.transport
        self.gate, self.counted, self.hears = gate, gate is not None, True
        self.place = None  # where the socket's bytes were put last
        self._gives_back, self.returned = gives_back, False
        self._broken: Exception | None = None  # the socket is; what it had sent is still on its way
        self._over = False
        self._waiting: asyncio.TimerHandle | None = None
        self._looking: asyncio.TimerHandle | None = None
        self.done = Outcome()
        self.answered = self.done if preamble is None else Outcome()
        self._inward = Inward(stream, self._transport, preamble)
        self._outward = Outward(stream, self._transport, gate)
        early, ended = tcp.hand_over(self)
        self._inward.begin()
        self.moved = len(early)  # bytes, both ways
        self._outward.begin(early, ended=ended)
        self._push_early()
        if gate is not None:
            self._follow_gate()
        stream.attach(self)
        if self._over:
            return
        self._session.lend(stream, self, self._outward.brake)
        self._offer()
        if self._transport.is_closing():
            self.connection_lost(None)
        else:
            self._outward.wait_for_room()

    @property
    def peer_ended(self) -> bool:
        """The stream's other end has ended its direction in order."""
        return self._inward.ended

    @property
    def waits(self) -> bool:
        """Somebody waits: the stream for what the socket's other end answers, or that one for room in the stream."""
        return self._outward.waits or (self.moved > 0 and spoke_last(self._transport))

    @property
    def untouched(self) -> bool:
        """Nothing was taken from the socket, and it is still there."""
        return not self.moved and not self._transport.is_closing()

    def abort(self, failure: Exception) -> None:
        """Cut both sides; before the answer only the stream.  Idempotent."""
        if self._inward.answering:
            self._let_go(failure)
        elif not self._over:
            self._finish(failure)
            cut(self._transport)
            self._stream.abort()

    # What the event loop calls for the socket.

    def room_for(self, sizehint: int = -1) -> memoryview:
        """As get_buffer, which C may do: where the kernel may put what comes next."""
        self.place = place = self._outward.get_buffer()
        return place

    def took(self, nbytes: int) -> None:
        """As buffer_updated, which C may do: `nbytes` are in `place`."""
        place, self.place = self.place, None  # who keeps it would keep a buffer that all share
        assert place is not None, "asked for before"
        self.moved += nbytes
        if self._outward.took(place, nbytes):
            self._push_early()
            self._follow_gate()

    def passed(self, count: int) -> None:
        """From C: all of what it has shown the gate may go on, and it cannot send it."""
        self._outward.passed(count)

    def withheld(self, passed: bytes | memoryview) -> None:
        """From C: of what it has shown the gate only `passed` may go on."""
        self._outward.withhold(passed)
        self._push_early()
        self._follow_gate()

    def wait_for_room(self) -> None:
        """From C: the stream may have no room any more."""
        self._outward.wait_for_room()

    def eof_received(self) -> bool:
        if self._outward.is_early or self._outward.stopped:
            self._outward.to_end = True
        else:
            self._end_outward()
        return self._inward.half_closes

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None and self._outward.to_end and not self._inward.half_closes:
            self._inward.forget_descriptor(self)
            return  # a service behind TLS ended: what it said last is still on its way
        self._broke(ConnectionLost(str(exc) if exc else "the local connection was closed"))
        self._inward.forget_descriptor(self)

    def pause_writing(self) -> None:
        self._inward.fall_behind()

    def resume_writing(self) -> None:
        self._inward.catch_up()
        self._caught_up()

    # What the stream calls.

    def data_received(self, data: memoryview) -> None:
        if self._inward.answering:
            payload = self._read_answer(data)
            if not payload:
                return
            data = payload
        self.moved += len(data)
        if self._broken is not None:
            self._inward.drop(len(data))  # nobody is there to take it
            return
        self.bring(data, self.gate is not None and self.gate.heard(data))

    def bring(self, data: memoryview, changed: bool) -> None:
        """Bring to the socket what the gate has `heard`, as far as it has not got there."""
        if changed and self.gate is not None and self.gate.astray:
            self._inward.drop(len(data))
            self._broke(PeerError("the service said more than it was asked"))
            return
        try:
            caught_up = self._inward.write(data)
        except OSError as failure:
            self._broke(ConnectionLost(str(failure)))
            return
        if caught_up:
            self._caught_up()
        else:
            self._offer()
        if changed:
            self._ask_gate()

    def carried(self, count: int) -> None:
        """From C: `count` bytes went straight to the socket, that the gate need not look at."""
        if self.gate is not None:
            self.gate.count(count)

    def ended(self) -> None:
        if self._inward.answering:
            self._let_go(PeerError("the stream ended before its status line"))
            return
        self._inward.ended = True
        if self._broken is not None:
            return
        if self._outward.stopped:
            self._give_up()
            return
        try:
            self._inward.end()
        except OSError as failure:  # asyncio's: reset by the other end, and not heard of yet
            self._broke(ConnectionLost(str(failure)))
            return
        self._close_if_over()

    def was_reset(self, failure: Exception) -> None:
        if self._inward.answering:
            self._let_go(failure)
        elif self._gives_back and not self._over and not self._transport.is_closing():
            self._return(failure)
        elif not self._over:
            self._finish(failure)
            cut(self._transport)

    def room_made(self) -> None:
        if self._over:
            return
        if self._outward.is_early:
            self._push_early()
        else:
            self._outward.read_on()

    # How it begins.

    def _read_answer(self, data: memoryview) -> memoryview | None:
        """Let the preamble have `data`; return what is the socket's."""
        try:
            rest = self._inward.answer(data)
        except HardlineError as failure:
            self._let_go(failure)
            return None
        if rest is not None:
            self.answered.settle()
        return rest

    def _push_early(self) -> None:
        """Send what was read from the socket before it was joined, or kept back; until it is gone nothing more is."""
        outward = self._outward
        if not outward.push(reads_on=self._broken is None):
            return
        if self._broken is not None:
            if outward.to_end:
                self._stream.finish()
            self._finish(self._broken)
            self._stream.abort()
        elif outward.to_end and not outward.stopped:
            self._end_outward()
        elif not self._over:
            outward.read_on()

    # What its gate says.

    def _ask_gate(self) -> None:
        """What was kept back may pass now."""
        if self.gate is not None and not self._over:
            if released := self.gate.released():
                self._outward.add(released)
            self._push_early()
            self._follow_gate()

    def _follow_gate(self) -> None:
        """Wait, read on or give up, as the gate says."""
        gate = self.gate
        assert gate is not None, "only called when there is one"
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        if gate.opaque:
            self.gate = self._outward.gate = None
            self.counted = False
            self._offer()
        elif gate.over:
            self._give_up()
        elif gate.hopeless:
            self._stream.finish()
            self._waiting = asyncio.get_running_loop().call_later(gate.patience, self._give_up)
        elif gate.partial:
            self._waiting = asyncio.get_running_loop().call_later(gate.patience, self._come_too_late)
        if gate.stopped and not self._over:
            self._outward.wait()
            self._look_later()

    def _come_too_late(self) -> None:
        assert self.gate is not None, "a gate that opened for good cancels its timer"
        self.gate.late()
        self._follow_gate()

    # How it ends.

    def _end_outward(self) -> None:
        self._outward.end()
        self._close_if_over()
        self._look_later()

    def _offer(self) -> None:
        """Let C bring frames to the socket by itself, as far as that is possible now."""
        if self.linked:
            self._inward.offer_lane(self, self.gate)

    def _caught_up(self) -> None:
        self._offer()
        # Not at once: asyncio's transport does not expect to be closed in here.
        asyncio.get_running_loop().call_soon(self._close_if_over)

    def _close_if_over(self) -> None:
        """Both directions ended and everything is out."""
        over = self._outward.ended and (self._inward.ended or not self._inward.half_closes)
        if over and not self._inward.queued and not self._over:
            self._finish(None)
            self._tcp.close()

    def _look_later(self) -> None:
        if not self._over and self._looking is None:
            self._looking = asyncio.get_running_loop().call_later(_LOOK_EVERY, self._look)

    def _look(self) -> None:
        """A socket that is not read, and was reset in the meantime, is gone."""
        self._looking = None
        raw = self._transport.get_extra_info("socket")
        if self._over or raw is None or not (self._outward.ended or self._outward.stopped):
            return
        if code := raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._broke(ConnectionLost(os.strerror(code)))
        self._look_later()

    def _let_go(self, failure: Exception) -> None:
        """Give the socket back unused: somebody will have to say there what went wrong."""
        self._inward.stop_answering()
        if self._over:
            return
        self._return(failure)
        self._stream.abort()

    def _give_up(self) -> None:
        self._return(None)
        self._stream.abort()

    def _return(self, failure: Exception | None) -> None:
        self._tcp.take_back(paused=self._outward.waits, ended=self._outward.ended or self._outward.to_end)
        self.returned = True
        self._finish(failure)

    def _broke(self, failure: Exception) -> None:
        """The socket did.  What it had said before still goes on its way: an early answer, mostly, then a cut."""
        if self._over or self._broken is not None:
            return
        self._broken = failure
        if self._gives_back:
            self._outward.forget()  # a browser that left wants nothing any more
        else:
            self._outward.add(unread(self._inward.fd))
        self._inward.forget_descriptor(self)
        self._push_early()
        self._transport.abort()

    def _finish(self, failure: Exception | None) -> None:
        self._inward.forget_descriptor(self)
        if self._over:
            return
        self._over = True
        self.part()
        self._inward.stop_answering()
        self._stream.detach()
        for timer in (self._looking, self._waiting):
            if timer is not None:
                timer.cancel()  # or it would keep all of this for seconds
        self.answered.settle(failure)
        self.done.settle(failure)
