"""From a socket to a stream: one half of a Joint, which it does not know.

            ┌─────────────── released by the gate, or spilt ───────────────┐
            ▼                                                               │
          EARLY ── all of it is out ──▶ FLOWING ◀─ room, and the gate ─▶ WAITING
            │                              │                                │
            └──────────────── the socket's end, behind it all ──────────────┴──▶ ENDED

What a socket sent before it was joined is EARLY, so is what its gate kept back and lets go; nothing is read meanwhile.
A library's TLS transport goes on delivering what it has decrypted after it was told to stop: that is spilt.
"""

from __future__ import annotations

import asyncio

from hardline.session.gate import Asked
from hardline.session.stream import Stream
from hardline.transport.brake import Brake
from hardline.transport.buffers import Buffers

_WAITS = 1  # why the socket is not read


class Outward:
    """Of one joint; `gate`, when given, says what may pass."""

    __slots__ = ("_early", "_session", "_spilt", "_stream", "brake", "ended", "gate", "to_end")

    def __init__(self, stream: Stream, transport: asyncio.Transport, gate: Asked | None) -> None:
        self._stream, self._session = stream, stream.session
        self.brake = Brake(transport)
        self._spilt = Buffers.of_this_loop().spilt
        self._early = memoryview(b"")
        self.gate = gate
        self.to_end = False  # once what is EARLY is out
        self.ended = False

    @property
    def waits(self) -> bool:
        """The socket is not read."""
        return self.brake.held

    @property
    def is_early(self) -> bool:
        """There is something to be sent first."""
        return bool(self._early)

    @property
    def stopped(self) -> bool:
        """The gate wants nothing more of the socket."""
        return self.gate is not None and self.gate.stopped

    def begin(self, early: bytes, *, ended: bool) -> None:
        """`early` was read before, and with `ended` that was all; `push` sends it."""
        self._early = memoryview(early if self.gate is None else bytes(self.gate.asked(early)))
        self.to_end = ended

    def get_buffer(self) -> memoryview:
        """Where the kernel may put what comes next."""
        if self.brake.held:
            return self._spilt
        return self._session.reserve(self._stream)

    def took(self, place: memoryview, count: int) -> bool:
        """It has put `count` bytes there.  True: they do not all pass, so `push`, and look at the gate."""
        if self.brake.held:
            spilt: bytes | memoryview = bytes(self._spilt[:count])
            if self.gate is not None:
                spilt = self.gate.asked(spilt)
            self.add(bytes(spilt))
            return False
        if self.gate is not None:
            data = place[:count]
            passed = self.gate.asked(data)
            if passed is not data:
                self.withhold(passed)
                return True
        if not self._session.commit(self._stream, count):
            self.brake.hold(_WAITS)
        return False

    def passed(self, count: int) -> None:
        """All of the `count` bytes that it has put there may be sent: the gate has been asked."""
        if not self._session.commit(self._stream, count):
            self.brake.hold(_WAITS)

    def withhold(self, passed: bytes | memoryview) -> None:
        """Only `passed` of them may."""
        self._early = memoryview(passed)

    def add(self, data: bytes) -> None:
        """That is to be sent, too, behind what waits already."""
        self._early = memoryview(bytes(self._early) + data) if self._early else memoryview(data)

    def forget(self) -> None:
        """What waits is wanted by nobody any more."""
        self._early = memoryview(b"")

    def push(self, *, reads_on: bool) -> bool:
        """Send what waits.  True: it is out; else `room_made` will be called, and until then nothing is read.

        Without `reads_on` the socket is done with.
        """
        if self._early:
            self._early = self._early[self._session.put(self._stream, self._early) :]
        if not self._early:
            return True
        if reads_on:
            self.brake.hold(_WAITS)
        self._session.park(self._stream)
        return False

    def wait(self) -> None:
        """Read no more, until `read_on`."""
        self.brake.hold(_WAITS)

    def read_on(self) -> None:
        """Read, if nothing is in the way."""
        if self.brake.held and not self.stopped and self._session.may_send(self._stream):
            self.brake.release(_WAITS)

    def wait_for_room(self) -> None:
        """Begin to read only when the stream may send."""
        if not self.brake.held and not self._session.may_send(self._stream):
            self.brake.hold(_WAITS)

    def end(self) -> None:
        """The socket has ended, and all that it said is out."""
        self.to_end, self.ended = False, True
        # A millisecond more, in company, where the peer has ended before or has answered all that it was asked.
        self._stream.finish(lazily=self._stream.ended or (self.gate is not None and self.gate.settled))
