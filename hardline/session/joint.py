"""A yamux stream and a local socket, joined without a task in between.

    socket ── get_buffer/buffer_updated ──▶ the session's staging buffer ──▶ the other node
    socket ◀── os.write ── data_received ◀──────────────────────────────── the other node

The kernel copies what the socket sends straight behind the place of its yamux header, and takes what the peer
sent straight out of the decrypted buffer; only what the socket does not take at once is copied and kept, and
its credit is held back until it is gone.  So a slow reader costs its window and no more.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable

from hardline.errors import ConnectionLost, HardlineError, PeerError
from hardline.outcome import Outcome
from hardline.session.gate import Gate
from hardline.session.lead import ALL, Lead
from hardline.session.stream import Stream
from hardline.transport.brake import Brake
from hardline.transport.buffers import Buffers
from hardline.transport.outlet import push
from hardline.transport.tcp import TcpStream, close, cut, unread

# After its end a socket is read no more, so nobody would hear that its owner, gone altogether, refuses what is sent.
_LOOK_EVERY = 5.0

_WAITS = 1  # why the socket is not read: for room, or for the gate


class Joint(asyncio.BufferedProtocol):
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
        preamble: Callable[[memoryview], memoryview | None] | None = None,
        gate: Gate | None = None,
        *,
        gives_back: bool = False,
    ) -> None:
        self._stream = stream
        self._session = stream.session
        self._tcp = tcp
        self._transport = tcp.transport
        self._preamble = preamble
        self._gate = gate
        self._gives_back, self.returned = gives_back, False
        # A library's TLS transport goes on delivering what it has decrypted after it was told to pause.
        self._spilt = self._place = Buffers.of_this_loop().spilt
        self._broken: Exception | None = None  # the socket is; what it had sent is still on its way
        self._waiting: asyncio.TimerHandle | None = None
        self.moved = 0  # bytes, both ways
        self._lead = Lead(stream, self)
        self._queued = 0
        self._reading = Brake(self._transport)
        self._socket_ended = self._peer_ended = self._over = False
        self._looking: asyncio.TimerHandle | None = None
        self.done = Outcome()
        self.answered = self.done if preamble is None else Outcome()
        raw = self._transport.get_extra_info("socket")
        # What a library's TLS transport encrypts cannot be written around it.
        direct = raw is not None and self._transport.get_extra_info("sslcontext") is None
        self._fd = raw.fileno() if raw is not None and direct else -1
        self._half_closes = self._transport.can_write_eof()
        self._behind = False
        early, ended = tcp.hand_over(self)
        self._transport.set_write_buffer_limits(high=0)
        self._behind = self._transport.get_write_buffer_size() > 0
        self._early = memoryview(early if gate is None else bytes(gate.asked(early)))
        self.moved = len(early)
        self._eof_after_early = ended
        self._push_early()
        if gate is not None:
            self._follow_gate()
        stream.attach(self)
        if self._over:
            return
        if self._lead.possible:
            self._offer_lead()
        if self._transport.is_closing():
            self.connection_lost(None)
        elif not self._reading.held and not self._session.may_send(stream):
            self._reading.hold(_WAITS)

    @property
    def peer_ended(self) -> bool:
        """The stream's other end has ended its direction in order."""
        return self._peer_ended

    @property
    def untouched(self) -> bool:
        """Nothing was taken from the socket, and it is still there."""
        return not self.moved and not self._transport.is_closing()

    def abort(self, failure: Exception) -> None:
        """Cut both sides; before the answer only the stream.  Idempotent."""
        if self._preamble is not None:
            self._let_go(failure)
        elif not self._over:
            self._finish(failure)
            cut(self._transport)
            self._stream.abort()

    # What the event loop calls for the socket.

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._reading.held:
            return self._spilt
        place = self._session.reserve(self._stream)
        if self._gate is not None:
            self._place = place
        return place

    def buffer_updated(self, nbytes: int) -> None:
        self.moved += nbytes
        if self._reading.held:
            spilt: bytes | memoryview = bytes(self._spilt[:nbytes])
            if self._gate is not None:
                spilt = self._gate.asked(spilt)
            self._early = memoryview(bytes(self._early) + spilt)
            return
        if self._gate is not None:
            data, self._place = self._place[:nbytes], self._spilt  # who keeps it would keep a buffer that all share
            passed = self._gate.asked(data)
            if passed is not data:
                self._early = memoryview(passed)
                self._push_early()
                self._follow_gate()
                return
        if not self._session.commit(self._stream, nbytes):
            self._reading.hold(_WAITS)

    def eof_received(self) -> bool:
        if self._early or self._stopped:
            self._eof_after_early = True
            return self._half_closes
        self._socket_ended = True
        self._stream.finish()
        self._close_if_over()
        self._look_later()
        return self._half_closes

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None and self._eof_after_early and not self._half_closes:
            self._forget_descriptor()
            return  # a service behind TLS ended: what it said last is still on its way
        self._broke(ConnectionLost(str(exc) if exc else "the local connection was closed"))
        self._forget_descriptor()

    def pause_writing(self) -> None:
        self._behind = True

    def resume_writing(self) -> None:
        self._behind = False
        count, self._queued = self._queued, 0
        self._session.consumed(self._stream, count)
        if self._lead.possible:
            self._offer_lead()
        # Not at once: asyncio's transport does not expect to be closed in here.
        asyncio.get_running_loop().call_soon(self._close_if_over)

    # What the stream calls.

    def data_received(self, data: memoryview) -> None:
        if self._preamble is not None:
            payload = self._read_preamble(data)
            if not payload:
                return
            data = payload
        self.moved += len(data)
        if self._broken is not None:
            self._session.consumed(self._stream, len(data))  # nobody is there to take it
            return
        changed = self._gate is not None and self._gate.heard(data)
        if changed and self._gate is not None and self._gate.astray:
            self._session.consumed(self._stream, len(data))
            self._broke(PeerError("the service said more than it was asked"))
            return
        try:
            taken = push(-1 if self._behind else self._fd, self._transport, data)
        except OSError as failure:
            self._broke(ConnectionLost(str(failure)))
            return
        if taken:
            self._session.consumed(self._stream, taken)
        if taken < len(data) and not self._transport.is_closing():
            self._queued += len(data) - taken
            self._behind = True
            if not self._transport.get_write_buffer_size():
                self.resume_writing()
        if self._lead.possible:
            self._offer_lead()
        if changed:
            self._ask_gate()

    def carried(self, announced: int, written: int) -> None:
        """Frames went straight to the socket: see native.Carried."""
        self.moved += written
        if self._gate is not None:
            self._gate.count(written)
        self._session.carried(self._stream, announced, written)

    def ended(self) -> None:
        if self._preamble is not None:
            self._let_go(PeerError("the stream ended before its status line"))
            return
        self._peer_ended = True
        if self._broken is not None:
            return
        if self._stopped:
            self._give_up()
            return
        if self._half_closes and not self._transport.is_closing():
            try:
                self._transport.write_eof()
            except OSError as failure:  # asyncio's: reset by the other end, and not heard of yet
                self._broke(ConnectionLost(str(failure)))
                return
        self._close_if_over()

    def was_reset(self, failure: Exception) -> None:
        if self._preamble is not None:
            self._let_go(failure)
        elif self._gives_back and not self._over and not self._transport.is_closing():
            self._return(failure)
        elif not self._over:
            self._finish(failure)
            cut(self._transport)

    def room_made(self) -> None:
        if self._over:
            return
        if self._early:
            self._push_early()
        elif self._reading.held and not self._stopped and self._session.may_send(self._stream):
            self._reading.release(_WAITS)

    # How it works.

    def _offer_lead(self) -> None:
        """Have frames brought to the socket without coming by here, as far as nobody has to look at them."""
        free = not (self._behind or self._over) and self._broken is None and self._preamble is None
        self._lead.offer(self._fd if free else -1, ALL if self._gate is None else self._gate.unwatched)

    def _forget_descriptor(self) -> None:
        """It may soon be another's: nothing is written to it any more."""
        self._fd = -1
        self._lead.withdraw()

    def _read_preamble(self, data: memoryview) -> memoryview | None:
        """Let the preamble have `data`; return what is the socket's."""
        assert self._preamble is not None
        try:
            rest = self._preamble(data)
        except HardlineError as failure:
            self._let_go(failure)
            return None
        self._session.consumed(self._stream, len(data) - len(rest or b""))
        if rest is not None:
            self._preamble = None
            self.answered.settle()
        return rest

    def _let_go(self, failure: Exception) -> None:
        """Give the socket back unused: somebody will have to say there what went wrong."""
        self._preamble = None
        if self._over:
            return
        self._return(failure)
        self._stream.abort()

    def _return(self, failure: Exception | None) -> None:
        self._tcp.take_back(paused=self._reading.held, ended=self._socket_ended or self._eof_after_early)
        self.returned = True
        self._finish(failure)

    @property
    def _stopped(self) -> bool:
        return self._gate is not None and self._gate.stopped

    def _ask_gate(self) -> None:
        """What was kept back may pass now."""
        if self._gate is not None and not self._over:
            if released := self._gate.released():
                self._early = memoryview(bytes(self._early) + released)
            self._push_early()
            self._follow_gate()

    def _follow_gate(self) -> None:
        """Wait, read on or give up, as the gate says."""
        gate = self._gate
        assert gate is not None, "only called when there is one"
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        if gate.opaque:
            self._gate = None
        elif gate.over:
            self._give_up()
        elif gate.hopeless:
            self._stream.finish()
            self._waiting = asyncio.get_running_loop().call_later(gate.patience, self._give_up)
        elif gate.partial:
            self._waiting = asyncio.get_running_loop().call_later(gate.patience, self._come_too_late)
        if gate.stopped and not self._over:
            self._reading.hold(_WAITS)
            self._look_later()

    def _come_too_late(self) -> None:
        assert self._gate is not None, "a gate that opened for good cancels its timer"
        self._gate.late()
        self._follow_gate()

    def _give_up(self) -> None:
        self._return(None)
        self._stream.abort()

    def _push_early(self) -> None:
        """Send what was read from the socket before it was joined; until it is gone nothing more is read."""
        if self._early:
            self._early = self._early[self._session.put(self._stream, self._early) :]
        if self._early:
            if self._broken is None:
                self._reading.hold(_WAITS)
            self._session.park(self._stream)
            return
        if self._broken is not None:
            if self._eof_after_early:
                self._stream.finish()
            self._finish(self._broken)
            self._stream.abort()
        elif self._eof_after_early and not self._stopped:
            self._eof_after_early = False
            self.eof_received()
        elif self._reading.held:
            self.room_made()

    def _close_if_over(self) -> None:
        """Both directions ended and everything is out.  A service behind TLS cannot half-close: its end is the end."""
        over = self._socket_ended and (self._peer_ended or not self._half_closes)
        if over and not self._queued and not self._over:
            self._finish(None)
            close(self._transport)

    def _look_later(self) -> None:
        if not self._over and self._looking is None:
            self._looking = asyncio.get_running_loop().call_later(_LOOK_EVERY, self._look)

    def _look(self) -> None:
        """A socket that is not read, and was reset in the meantime, is gone."""
        self._looking = None
        raw = self._transport.get_extra_info("socket")
        if self._over or raw is None or not (self._socket_ended or self._stopped):
            return
        if code := raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._broke(ConnectionLost(os.strerror(code)))
        self._look_later()

    def _broke(self, failure: Exception) -> None:
        """The socket did.  What it had said before still goes on its way: an early answer, mostly, then a cut."""
        if self._over or self._broken is not None:
            return
        self._broken = failure
        if not self._gives_back:
            self._early = memoryview(bytes(self._early) + unread(self._fd))
        else:
            self._early = memoryview(b"")  # a browser that left wants nothing any more
        self._forget_descriptor()
        self._push_early()
        self._transport.abort()

    def _finish(self, failure: Exception | None) -> None:
        self._forget_descriptor()
        if self._over:
            return
        self._over = True
        self._preamble = None
        self._stream.detach()
        for timer in (self._looking, self._waiting):
            if timer is not None:
                timer.cancel()  # or it would keep all of this for seconds
        self.answered.settle(failure)
        self.done.settle(failure)
