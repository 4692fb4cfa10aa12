"""Frames that go straight to a joint's socket (transport.native.Carrier), and the descriptor that is lent for it."""

from __future__ import annotations

from hardline.session.stream import Stream
from hardline.transport.native import Carried

ALL = 1 << 40  # bytes: nobody looks at any
_WORTH = 16_384  # bytes from which a way of their own pays


class Lead:
    """Of one stream.  Withdraw it before the descriptor can be another's: nobody else knows who writes to it."""

    __slots__ = ("_given", "_session", "_stream", "possible")

    def __init__(self, stream: Stream) -> None:
        self._stream, self._session = stream, stream.session
        self.possible = self._session.leads
        self._given = False

    def offer(self, sink: Carried, fd: int, unwatched: int) -> None:
        """`unwatched` bytes that come next may go to `fd`, and `sink` is told; what was said before counts no more.

        Nothing for -1.
        """
        if fd >= 0 and unwatched >= _WORTH:
            self._session.lead(self._stream, sink, fd, unwatched)
            self._given = True
        else:
            self.withdraw()

    def withdraw(self) -> None:
        """Nothing may."""
        if self._given:
            self._session.keep(self._stream)
            self._given = False
