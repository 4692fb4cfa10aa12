"""How much a peer may send before its reader has taken it, without I/O.

A stream starts with yamux's 256 KiB.  While the reader keeps up, the window doubles, up to the stream's, the
session's and the process's limit; a reader that stalls costs the window it has and no more.
Source: docs/PROTOCOL.md, section 5.2.
"""

from __future__ import annotations

from hardline.errors import PeerError

INITIAL_WINDOW = 262_144

# A reader that drains half its window faster than this, or than two round trips, is held up by the window.
# 5 ms keep it from growing for ever on a loopback, where a round trip is too short to measure by.
_FAST = 0.005


class WindowBudget:
    """What windows may hold above their initial size: of one stream, of one session, of all sessions of `parent`."""

    def __init__(self, limit: int, per_stream: int = INITIAL_WINDOW, parent: WindowBudget | None = None) -> None:
        self.per_stream = per_stream
        self._left = max(limit - INITIAL_WINDOW, 0)
        self._parent = parent

    def take(self, count: int) -> bool:
        """Reserve `count` bytes here and in the parent, or nothing."""
        if count > self._left or (self._parent is not None and not self._parent.take(count)):
            return False
        self._left -= count
        return True

    def give_back(self, count: int) -> None:
        """Undo `take`."""
        self._left += count
        if self._parent is not None:
            self._parent.give_back(count)


class ReceiveWindow:
    """The receiving side of one stream's window."""

    __slots__ = ("_budget", "_due_since", "_extra", "_left", "_owed", "size")

    def __init__(self, budget: WindowBudget) -> None:
        self.size = INITIAL_WINDOW
        self._left = INITIAL_WINDOW
        self._owed = 0
        self._extra = 0
        self._due_since: float | None = None
        self._budget = budget

    def received(self, count: int) -> None:
        """The peer sends `count` bytes.  Raises PeerError when that is more than it had credit for."""
        if count > self._left:
            raise PeerError(f"{count} bytes in a window of {self._left}")
        self._left -= count

    def consumed(self, count: int, now: float, round_trip: float) -> int:
        """The reader took `count` bytes; return the credit to give now, 0 for none yet."""
        self._owed += count
        if self._owed < self.size // 2:
            return 0
        if self._due_since is not None and now - self._due_since < max(2 * round_trip, _FAST):
            self._grow()
        self._due_since = now
        credit, self._owed = self._owed, 0
        self._left += credit
        return credit

    def release(self) -> None:
        """The stream is gone: its growth is free for others."""
        self._budget.give_back(self._extra)
        self._extra = 0

    def _grow(self) -> None:
        more = min(self.size, self._budget.per_stream - self.size)
        if more > 0 and self._budget.take(more):
            self.size += more
            self._extra += more
            self._owed += more
