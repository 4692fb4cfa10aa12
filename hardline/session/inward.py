"""From a stream to a socket: one half of a Joint, which it does not know.

    ANSWERING ── the status line ──▶ FLOWING ◀─ the socket takes less, takes all ─▶ BEHIND
                                        └───────────── the stream's end ───────────────┴──▶ ENDED

While it is FLOWING, frames may go to the socket without coming by here: by its owner's Lane (native/books.py).  What
the socket does not take at once is kept by its transport, and its credit is held back until it is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hardline.native.books import Lane
from hardline.session.gate import Heard
from hardline.session.stream import Stream
from hardline.transport.outlet import push

ALL = 1 << 40  # bytes: nobody looks at any

Preamble = Callable[[memoryview], memoryview | None]


class Inward:
    """Of one joint; `preamble`, when given, gets what comes first."""

    __slots__ = (
        *("_behind", "_fd", "_half_closes", "_preamble", "_session", "_stream", "_transport"),
        *("ended", "queued"),
    )

    def __init__(self, stream: Stream, transport: asyncio.Transport, preamble: Preamble | None) -> None:
        self._stream, self._session, self._transport = stream, stream.session, transport
        raw = transport.get_extra_info("socket")
        # What a library's TLS transport encrypts cannot be written around it.
        direct = raw is not None and transport.get_extra_info("sslcontext") is None
        self._fd = raw.fileno() if raw is not None and direct else -1
        self._half_closes = transport.can_write_eof()
        self._preamble = preamble
        self._behind = False
        self.queued = 0  # bytes that the transport keeps
        self.ended = False

    @property
    def answering(self) -> bool:
        """The preamble wants more."""
        return self._preamble is not None

    @property
    def half_closes(self) -> bool:
        """The socket can end one direction; a service behind TLS cannot: its end is the end."""
        return self._half_closes

    @property
    def fd(self) -> int:
        """The socket's descriptor, as long as it may be used; else -1."""
        return self._fd

    def begin(self) -> None:
        """The transport is this joint's now."""
        self._transport.set_write_buffer_limits(high=0)
        self._behind = self._transport.get_write_buffer_size() > 0

    def answer(self, data: memoryview) -> memoryview | None:
        """Let the preamble have `data`; what is behind it, once it is over.  Raises what it raises."""
        assert self._preamble is not None, "only asked while it is answering"
        rest = self._preamble(data)
        self._session.consumed(self._stream, len(data) - len(rest or b""))
        if rest is not None:
            self._preamble = None
        return rest

    def stop_answering(self) -> None:
        """Whatever comes now is not the preamble's."""
        self._preamble = None

    def write(self, data: memoryview) -> bool:
        """Bring `data` to the socket.  True: it was behind, and has caught up at once.  Raises OSError: it broke."""
        taken = push(-1 if self._behind else self._fd, self._transport, data)
        if taken:
            self._session.consumed(self._stream, taken)
        if taken == len(data) or self._transport.is_closing():
            return False
        self.queued += len(data) - taken
        self._behind = True
        if self._transport.get_write_buffer_size():
            return False
        self.catch_up()
        return True

    def say(self, data: bytes) -> None:
        """Bring bytes of our own to the socket, that nobody gave credit for.  Raises OSError: it broke."""
        if push(-1 if self._behind else self._fd, self._transport, memoryview(data)) < len(data):
            self._behind = self._transport.get_write_buffer_size() > 0

    def drop(self, count: int) -> None:
        """So many bytes came for nobody."""
        self._session.consumed(self._stream, count)

    def fall_behind(self) -> None:
        """The transport keeps something."""
        self._behind = True

    def catch_up(self) -> None:
        """It has brought out all that it kept."""
        self._behind = False
        count, self.queued = self.queued, 0
        self._session.consumed(self._stream, count)

    def offer_lane(self, lane: Lane, gate: Heard | None) -> None:
        """Have frames brought to the socket without coming by here, as far as nobody but `gate` has to look at them.

        Ask again whenever something was given to the gate, or the socket may be behind.
        """
        fd = -1 if self._behind or self._preamble is not None else self._fd
        lane.offer(fd, ALL if gate is None else gate.unwatched)

    def forget_descriptor(self, lane: Lane) -> None:
        """It may soon be another's: nothing is written to it any more."""
        self._fd = -1
        lane.offer(-1, 0)

    def end(self) -> None:
        """Nothing follows on the stream: tell the socket.  Raises OSError: it broke."""
        if self._half_closes and not self._transport.is_closing():
            self._transport.write_eof()
