"""yamux, without I/O: many streams in one pipe, each with its own window.

    frame = version (1 byte, 0) │ type (1) │ flags (2) │ stream id (4) │ length (4)      big endian, 12 bytes
    type    DATA: `length` bytes follow    WINDOW: `length` more may be sent    PING: a value    GOAWAY: a reason
    flags   SYN opens, ACK accepts, FIN ends one direction, RST ends both

Source: HashiCorp's yamux specification; docs/PROTOCOL.md, section 5.  Callers own the pipe and the clock: they
pass what they read to `receive`, send what `data_to_send` returns, and put `data_header` before the payload they send.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from hardline.errors import LimitReached, PeerError
from hardline.native.books import Frames, Ways, Window
from hardline.session.events import (
    DataReceived,
    Event,
    GoneAway,
    PongReceived,
    StreamEnded,
    StreamOpened,
    StreamReset,
    WindowGrew,
)
from hardline.session.windows import INITIAL_WINDOW, ReceiveWindow, WindowBudget

DATA, WINDOW, PING, GOAWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8
NORMAL, PROTOCOL_ERROR, INTERNAL_ERROR = range(3)

HEADER_SIZE = 12
MAX_SEND_WINDOW = 2**32 - 1
MAX_CONTROL_BACKLOG = 65_536  # answers to a peer that asks without reading: more than this ends the session
# Go's implementation may send the first frames of streams that are opened at once in another order than their numbers.
MAX_PASSED_OVER = 1024
_LAST_STREAM = 2**31

_HEADER = struct.Struct(">BBHII")
_PLAIN_DATA = (0, DATA, 0)  # version, type, flags


class _Stream(Ways):
    __slots__ = ("credited", "receive_window")

    def __init__(self, receive_window: ReceiveWindow, announced: bool) -> None:
        self.send_window = self.credited = INITIAL_WINDOW
        self.receive_window = receive_window
        self.announced = announced
        self.local_ended = False
        self.remote_ended = False


class Yamux(Frames):
    """One end of a session.  The visitor is the client: it opens streams with odd numbers.

    `accepts` streams of the peer are open at a time at most; 0 refuses every one.  After each call that may
    answer the peer, send `data_to_send()`.
    """

    def __init__(self, *, client: bool, accepts: int, budget: WindowBudget) -> None:
        self._next_id = 1 if client else 2
        self._peer_parity = 0 if client else 1
        self._highest_peer_id = 0
        self._passed_over: set[int] = set()
        self._accepts = accepts
        self._accepted = 0
        self._budget = budget
        self._streams: dict[int, _Stream] = {}
        self._unannounced: list[int] = []
        self._outbox = bytearray()
        self._partial = b""
        self.header = 0  # bytes of it
        self.unread = 0
        self.pinged = 0  # times by the peer
        self.frames = self.empty = 0  # that came in all, and those without payload for anybody
        self.payload_left = self.payload_stream = self.payload_flags = 0
        self.peer_gone_away = False

    @property
    def open_streams(self) -> int:
        """How many streams are open, in one direction at least."""
        return len(self._streams)

    @property
    def counted(self) -> int:
        """How many streams the peer counts at most: ends that it has not heard of may be among what waits."""
        return len(self._streams) + len(self._outbox) // HEADER_SIZE

    @property
    def used_up(self) -> bool:
        """There are no numbers left for streams of our own."""
        return self._next_id > _LAST_STREAM

    @property
    def has_answers(self) -> bool:
        """`data_to_send` would return something."""
        return bool(self._outbox or self._unannounced)

    def knows(self, stream: int) -> bool:
        """`stream` is open, in one direction at least."""
        return stream in self._streams

    def moved(self) -> dict[int, int]:
        """How many bytes of payload came and went on each open stream."""
        return {
            number: one.receive_window.received_in_all + one.credited - one.send_window
            for number, one in self._streams.items()
        }

    def release(self) -> None:
        """The session is over: free what its windows held for others."""
        for stream, state in list(self._streams.items()):
            self._forget(stream, state)

    # Sending.

    def open(self) -> int:
        """Open a stream and return its number.  Raises LimitReached when the peer takes no more or numbers ran out."""
        if self.peer_gone_away:
            raise LimitReached("the other end takes no new streams")
        if self.used_up:
            raise LimitReached("this session has no stream numbers left")
        stream, self._next_id = self._next_id, self._next_id + 2
        self._streams[stream] = _Stream(ReceiveWindow(self._budget), announced=False)
        self._unannounced.append(stream)
        return stream

    def room(self, stream: int) -> int:
        """How many payload bytes may be sent on `stream` now; 0 for one that is gone or ended."""
        state = self._streams.get(stream)
        return 0 if state is None or state.local_ended else state.send_window

    def put_data_header(self, buffer: bytearray, offset: int, stream: int, length: int) -> int:
        """Write the header of `length` payload bytes to `buffer`; the caller puts the payload behind it.

        Returns the `room` that is left; less than 0, with nothing written, when there was too little.
        """
        state = self._streams.get(stream)
        if state is None or state.local_ended or length > state.send_window:
            return -1
        state.send_window -= length
        flags = 0
        if not state.announced:
            flags = self._greeting(stream, state)
            if self._unannounced and self._unannounced[-1] == stream and not self._budget.widens:
                self._unannounced.pop()  # that says all
        _HEADER.pack_into(buffer, offset, 0, DATA, flags, stream, length)
        return state.send_window

    def finish(self, stream: int) -> None:
        """End our direction of `stream`, after all the data sent before."""
        state = self._streams.get(stream)
        if state is None or state.local_ended:
            return
        state.local_ended = True
        self._outbox += _HEADER.pack(0, WINDOW, self._greeting(stream, state) | FIN, stream, 0)
        self._forget_if_over(stream, state)

    def reset(self, stream: int) -> None:
        """End both directions at once and forget the stream; the peer sees a cut."""
        state = self._streams.get(stream)
        if state is None:
            return
        if state.announced or self._is_peers(stream):
            self._outbox += _HEADER.pack(0, WINDOW, RST, stream, 0)
        self._forget(stream, state)

    def consumed(self, stream: int, count: int, now: float, round_trip: float) -> bool:
        """The reader of `stream` took `count` bytes: give credit when it is due.  True when there is something to send.

        `round_trip` in seconds: a reader that drains half its window within two of them gets a larger one.
        """
        state = self._streams.get(stream)
        if state is None or state.remote_ended:
            return False
        credit = state.receive_window.consumed(count, now, round_trip)
        if credit:
            self._outbox += _HEADER.pack(0, WINDOW, self._greeting(stream, state), stream, credit)
        return bool(credit)

    def ping(self, value: int) -> None:
        """Ask whether the peer is there; PongReceived answers."""
        self._outbox += _HEADER.pack(0, PING, SYN, 0, value)

    def go_away(self, reason: int = NORMAL) -> None:
        """Tell the peer to open no more streams."""
        self._accepts = 0
        self._outbox += _HEADER.pack(0, GOAWAY, 0, 0, reason)

    def data_to_send(self) -> bytes:
        """What must go out now, behind the data already given to the pipe."""
        for stream in self._unannounced:
            if (state := self._streams.get(stream)) is None:
                continue
            credit = state.receive_window.widen()
            if credit or not state.announced:
                self._outbox += _HEADER.pack(0, WINDOW, self._greeting(stream, state), stream, credit)
        self._unannounced.clear()
        data = bytes(self._outbox)
        self._outbox.clear()
        return data

    # Receiving.

    def receive(self, data: memoryview, most: int = 1 << 30) -> Iterator[Event]:
        """Take bytes off the pipe, in pieces of any size, and tell what they mean.

        A frame is looked at when all that came before it has been seen to: that may have ended its stream.  So take
        all that it tells, unless the session is over.  At most about `most` frames are looked at: `unread` is then how
        many bytes at the end of `data` were not, and are to be passed again.  Raises PeerError when the peer breaks the
        protocol; the session is then over.
        """
        events: list[Event] = []
        offset, end = 0, len(data)
        self.unread, left = 0, most
        if self._partial:
            needed = HEADER_SIZE - len(self._partial)
            partial = self._partial + bytes(data[:needed])
            offset = min(needed, end)
            if len(partial) < HEADER_SIZE:
                self._partial, self.header = partial, len(partial)
                return
            self._partial, self.header = b"", 0
            left -= 1
            self.frames += 1
            self._frame(_HEADER.unpack(partial), events)
        while True:
            if events:
                yield from events
                events.clear()
            if self.payload_left:
                taken = min(self.payload_left, end - offset)
                if not taken:
                    break
                self._payload(data[offset : offset + taken], events)
                offset += taken
                continue
            if end - offset < HEADER_SIZE:
                self._partial, self.header = bytes(data[offset:]), end - offset
                break
            if left <= 0:
                self.unread = end - offset
                break
            left -= 1
            self.frames += 1
            header = _HEADER.unpack_from(data, offset)
            offset += HEADER_SIZE
            if header[:3] == _PLAIN_DATA and 0 < header[4] <= end - offset:
                state = self._streams.get(header[3])
                if state is not None and not state.remote_ended:
                    # A whole frame without flags: nearly all there is, so it takes the shortest way.
                    state.receive_window.received(header[4])
                    yield DataReceived(header[3], data[offset : offset + header[4]])
                    offset += header[4]
                    continue
            self._frame(header, events)
        if len(self._outbox) > MAX_CONTROL_BACKLOG:
            raise PeerError("the peer asks for more answers than it reads")

    def only_frame(self, data: memoryview) -> int:
        """The stream, where `data` is one whole DATA frame of it without flags, and nothing else; it is taken then.

        0 where `receive` has to look.  Small requests and their answers come like this.  Raises PeerError as `receive`.
        """
        if len(data) <= HEADER_SIZE or self._partial or self.payload_left:
            return 0
        version, kind, flags, stream, length = _HEADER.unpack_from(data)
        if length != len(data) - HEADER_SIZE or flags or kind != DATA or version:
            return 0
        state = self._streams.get(stream)
        if state is None or state.remote_ended:
            return 0
        state.receive_window.received(length)
        self.frames += 1
        self.unread = 0
        return int(stream)

    def books(self, stream: int) -> tuple[Ways, Window] | None:
        """What others count `stream` by who bring its frames to its socket; None for one that is gone or has ended."""
        state = self._streams.get(stream)
        return None if state is None or state.remote_ended else (state, state.receive_window)

    @property
    def answers(self) -> tuple[bytearray, list[int]]:
        """What `data_to_send` is made of: nothing is to be sent while both are empty."""
        return self._outbox, self._unannounced

    # How it works.

    def _frame(self, header: tuple[int, int, int, int, int], events: list[Event]) -> None:
        version, kind, flags, stream, length = header
        if kind != DATA or not length:
            self.empty += 1
        if version != 0:
            raise PeerError(f"yamux version {version}, expected 0")
        if kind in (DATA, WINDOW):
            self._stream_frame(kind, flags, stream, length, events)
        elif kind == PING:
            if flags & SYN:
                self.pinged += 1
                self._outbox += _HEADER.pack(0, PING, ACK, 0, length)
            elif flags & ACK:
                events.append(PongReceived(length))
        elif kind == GOAWAY:
            self.peer_gone_away = True
            events.append(GoneAway(length))
        else:
            raise PeerError(f"yamux frame of type {kind}, expected 0 to 3")

    def _stream_frame(self, kind: int, flags: int, stream: int, length: int, events: list[Event]) -> None:
        if flags & SYN:
            self._accept(stream, events)
        elif stream == 0 or stream > (self._highest_peer_id if self._is_peers(stream) else self._next_id - 2):
            raise PeerError(f"yamux frame for stream {stream}, which was never opened")
        state = self._streams.get(stream)
        if kind == DATA and length:
            # A stream that is gone already: the peer could not know when it sent this.
            if state is not None:
                if state.remote_ended:
                    raise PeerError(f"data on stream {stream} after its end")
                state.receive_window.received(length)
            else:
                self.empty += 1
            self.payload_left, self.payload_stream, self.payload_flags = length, stream, flags
            return
        if kind == WINDOW and length and state is not None:
            state.send_window += length
            state.credited += length
            if state.send_window > MAX_SEND_WINDOW:
                raise PeerError(f"window of stream {stream} grew beyond 4 GiB")
            events.append(WindowGrew(stream))
        self._ending(flags, stream, state, events)

    def _accept(self, stream: int, events: list[Event]) -> None:
        if not self._is_peers(stream) or stream == 0:
            raise PeerError(f"the peer opened stream {stream}, which is not one of its numbers")
        if stream > self._highest_peer_id:
            passed_over = range(self._highest_peer_id + 2 if self._highest_peer_id else 2 - stream % 2, stream, 2)
            if len(passed_over) + len(self._passed_over) > MAX_PASSED_OVER:
                raise PeerError(f"the peer opened stream {stream} and passed over {len(passed_over)} numbers")
            self._passed_over.update(passed_over)
            self._highest_peer_id = stream
        elif stream in self._passed_over:
            self._passed_over.remove(stream)
        else:
            raise PeerError(f"the peer opened stream {stream} twice")
        if self._accepted >= self._accepts:
            self._outbox += _HEADER.pack(0, WINDOW, RST, stream, 0)
            return
        self._accepted += 1
        self._streams[stream] = _Stream(ReceiveWindow(self._budget), announced=False)
        events.append(StreamOpened(stream))

    def _payload(self, data: memoryview, events: list[Event]) -> None:
        stream = self.payload_stream
        self.payload_left -= len(data)
        state = self._streams.get(stream)
        if state is not None:
            events.append(DataReceived(stream, data))
        if not self.payload_left:
            self._ending(self.payload_flags, stream, state, events)

    def _ending(self, flags: int, stream: int, state: _Stream | None, events: list[Event]) -> None:
        if state is None:
            return
        if flags & RST:
            self._forget(stream, state)
            events.append(StreamReset(stream))
        elif flags & FIN and not state.remote_ended:
            state.remote_ended = True
            events.append(StreamEnded(stream))
            self._forget_if_over(stream, state)

    def _greeting(self, stream: int, state: _Stream) -> int:
        """SYN or ACK on the first frame of ours, then nothing."""
        if state.announced:
            return 0
        state.announced = True
        return ACK if self._is_peers(stream) else SYN

    def _is_peers(self, stream: int) -> bool:
        return stream % 2 == self._peer_parity

    def _forget_if_over(self, stream: int, state: _Stream) -> None:
        if state.local_ended and state.remote_ended:
            self._forget(stream, state)

    def _forget(self, stream: int, state: _Stream) -> None:
        if self._streams.pop(stream, None) is not None:
            state.local_ended = state.remote_ended = True  # whoever counts by it still
            state.receive_window.release()
            if self._is_peers(stream):
                self._accepted -= 1
