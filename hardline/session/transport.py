"""A tunnel's stream as the transport of an HTTP server that runs in this process.

    the HTTP server's protocol ── write ──▶ StreamTransport ── put ──▶ Stream ──▶ the visitor
    the HTTP server's protocol ◀─ data_received ─ StreamTransport ◀─ Stream ◀─── the visitor

No socket and no port lies in between.  What a visitor does not take waits here, as little as one write of the
server, who is told to pause; what the server does not take, or has taken and only keeps, has no credit, so that the
visitor pauses, and its session answers for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from hardline.session.stream import Stream

# A visitor that is still sending when everything is answered hears its answer out first, however slowly it reads
# (RFC 9112, section 9.6); but not for ever.
_MOST_DISCARDED = 64 << 20
_LINGERS = 300.0  # seconds from the last byte of the last answer
_PIECE = 65_536  # bytes for the server at once


class StreamTransport(asyncio.Transport):
    """Owns the stream.  `done` is set once nothing is left of the connection.

    `ended` is called when the visitor has sent its last byte: its answers may still be on their way.  `held` tells how
    many bytes the protocol has taken and keeps; `piece` how many it may get before it can pause again, None for any
    number.
    """

    def __init__(
        self,
        stream: Stream,
        protocol: asyncio.Protocol,
        ended: Callable[[], None],
        held: Callable[[], int],
        piece: Callable[[], int] | None = None,
    ) -> None:
        super().__init__({"peername": None, "source": stream.session.source.name})
        self._stream = stream
        self._session = stream.session
        self._protocol: asyncio.BaseProtocol = protocol
        self._tell_ended = ended
        self._loop = asyncio.get_running_loop()
        self._outgoing = memoryview(b"")  # what the session did not take yet
        self._behind = bytearray()  # what was written after that
        self._incoming = _Waiting()  # what the protocol did not take yet
        self._piece = piece
        self._held, self._pushed = held, 0  # bytes that the protocol has, and no credit was given for
        self._ended = self._told_ended = False  # the visitor's direction
        self._read_paused = self._write_paused = False
        self._closing = self._lost = False
        self._discarded = 0
        self._lingering: asyncio.TimerHandle | None = None
        self.done: asyncio.Future[None] = self._loop.create_future()
        protocol.connection_made(self)
        stream.attach(self)

    # What the HTTP server calls: asyncio.Transport.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing or not data:
            return
        if self._outgoing:
            self._behind += data
            return
        # Not copied: it is put piece by piece.  Whoever writes leaves what waits here as it is, as with any transport.
        view = memoryview(data)
        self._outgoing = view[self._session.put(self._stream, view) :]
        if self._outgoing:
            self._session.park(self._stream)
            if not self._write_paused:
                self._write_paused = True
                self._protocol.pause_writing()

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._read_paused = False
            early = self._incoming.size + self._pushed
            self._incoming = _Waiting()
            self._pushed = 0
            self._discard(early)
            self._finish_when_sent()

    def abort(self) -> None:
        self._stream.abort()
        self._lose(None)

    def pause_reading(self) -> None:
        self._read_paused = True

    def resume_reading(self) -> None:
        self._read_paused = False
        if self._incoming.size or self._ended:
            # Not at once: the server's protocol does not expect data in here.
            self._loop.call_soon(self._deliver)
        else:
            self.settle()

    def is_reading(self) -> bool:
        return not self._read_paused and not self._closing

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return len(self._outgoing) + len(self._behind)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is nothing to choose: a write that does not leave at once pauses."""

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def settle(self) -> None:
        """Give credit for what the protocol does not hold any more."""
        count = self._pushed - self._held()
        if count > 0:
            self._pushed -= count
            self._session.consumed(self._stream, count)

    # What the stream calls: session.stream.Sink.

    def data_received(self, data: memoryview) -> None:
        if self._closing:
            self._discard(len(data))
        elif self._read_paused or self._incoming.size:
            self._incoming.put(bytes(data))
        elif self._piece is not None and len(data) > self._piece():
            self._incoming.put(bytes(data))
            self._deliver()
        else:
            self._push(bytes(data))

    def ended(self) -> None:
        self._ended = True
        self._deliver()

    def was_reset(self, failure: Exception) -> None:
        self._lose(failure)

    def room_made(self) -> None:
        if not self._outgoing or self._lost:
            return
        self._outgoing = self._outgoing[self._session.put(self._stream, self._outgoing) :]
        if not self._outgoing and self._behind:
            self._outgoing, self._behind = memoryview(self._behind), bytearray()
        if self._outgoing:
            self._session.park(self._stream)
        elif self._closing:
            self._finish_when_sent()
        elif self._write_paused:
            self._write_paused = False
            self._protocol.resume_writing()

    # How it works.

    def _push(self, data: bytes) -> None:
        assert isinstance(self._protocol, asyncio.Protocol)
        self._pushed += len(data)
        self._protocol.data_received(data)
        self.settle()

    def _deliver(self) -> None:
        while self._incoming.size and not self._read_paused and not self._closing:
            self._push(self._incoming.take(self._piece() if self._piece is not None else _PIECE))
        if self._ended and not self._incoming.size and not self._lost:
            if self._closing:
                self._finish_when_sent()
            elif not self._read_paused and not self._told_ended:
                self._told_ended = True
                assert isinstance(self._protocol, asyncio.Protocol)
                self._protocol.eof_received()
                self._tell_ended()

    def _consume(self, count: int) -> None:
        if count:
            self._session.consumed(self._stream, count)

    def _finish_when_sent(self) -> None:
        if self._outgoing or self._lost:
            return
        self._stream.finish()
        if self._ended:
            self._lose(None)
        elif self._lingering is None:
            self._lingering = self._loop.call_later(_LINGERS, self.abort)

    def _discard(self, count: int) -> None:
        self._discarded += count
        if self._discarded > _MOST_DISCARDED:
            self.abort()
        else:
            self._consume(count)

    def _lose(self, failure: Exception | None) -> None:
        if self._lost:
            return
        self._lost = self._closing = True
        self._stream.detach()
        if self._lingering is not None:
            self._lingering.cancel()
        self._outgoing, self._behind = memoryview(b""), bytearray()
        self._incoming = _Waiting()
        # Not at once: asyncio's protocols do not expect it in the middle of a call of their own.
        self._loop.call_soon(self._tell_lost, failure)

    def _tell_lost(self, failure: Exception | None) -> None:
        self._protocol.connection_lost(failure)
        if not self.done.done():
            self.done.set_result(None)


class _Waiting:
    """Bytes in pieces as they came: a whole window of them may wait, and none is moved for another one's sake."""

    __slots__ = ("_pieces", "size")

    def __init__(self) -> None:
        self.size = 0
        self._pieces: deque[bytes | memoryview] = deque()

    def put(self, data: bytes) -> None:
        self.size += len(data)
        self._pieces.append(data)

    def take(self, most: int) -> bytes:
        """The next ones, as many as came together."""
        piece = self._pieces.popleft()
        if len(piece) > most:
            view = memoryview(piece)
            self._pieces.appendleft(view[most:])
            piece = view[:most]
        self.size -= len(piece)
        return bytes(piece)  # not copied, where it is whole
