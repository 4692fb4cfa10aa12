"""How large the records are that a connection sends, without I/O: small behind a pause, else as large as they can be.

TCP begins with a window of some 14 KB, and after a pause anew.  A record cannot be read before its end is there, so a
full one of 16 KB would keep whoever waits for its first byte for another round trip.
"""

from __future__ import annotations

from hardline.native.books import Sizes

SMALL = 4096  # bytes of a small record
_PAUSE = 0.5  # seconds after which a kernel may begin anew (RFC 6298: no sooner than 0.2, and a round trip or two)
_BEHIND = 4 * SMALL  # bytes behind a pause that count as its first


class Records(Sizes):
    """Of one connection, in the direction that this end sends."""

    __slots__ = ()

    def __init__(self) -> None:
        self.sent_at = float("-inf")
        self.left = 0

    def small(self, count: int, now: float) -> int:
        """How many records of SMALL bytes `count` bytes are to begin with, which are sent now; there is a rest then."""
        if now - self.sent_at > _PAUSE:
            self.left = _BEHIND
        self.sent_at = now
        if self.left <= 0:
            return 0
        pieces = min(-(-self.left // SMALL), (count - 1) // SMALL)
        self.left -= count
        return pieces
