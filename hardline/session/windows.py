"""How much a peer may send before its reader has taken it, without I/O.

A stream starts with yamux's 256 KiB.  While a reader is held up by its window, the windows of all brisk readers of the
session double, up to the stream's, the session's and the process's limit: were each to grow for itself, who was first
would keep the largest, and with it the largest part of the way.  Those that grow share the session's limit equally;
who has more than its share when another one comes gives the rest back as it reads.  A reader that stalls costs the
window it has and no more.  Source: docs/PROTOCOL.md, section 5.2.
"""

from __future__ import annotations

from hardline.errors import PeerError
from hardline.native.books import Window

INITIAL_WINDOW = 262_144

# A reader that drains half its window faster than this, or than two round trips, is held up by the window.
# 5 ms keep it from growing for ever on a loopback, where a round trip is too short to measure by.
_FAST = 0.005

# One that drains it within this time, or within eight round trips, makes use of as large a window as others have.
_BRISK = 0.25


class WindowBudget:
    """What windows may hold above their initial size: of one stream, of one session, of all sessions of `parent`.

    `first` is what a stream that this end opens has from the start, before anybody knows how fast its reader is, as
    long as there is plenty: those who never read must leave enough for those who do.
    """

    def __init__(
        self,
        limit: int,
        per_stream: int = INITIAL_WINDOW,
        parent: WindowBudget | None = None,
        first: int = INITIAL_WINDOW,
    ) -> None:
        self.per_stream, self.first = per_stream, min(first, per_stream)
        self._limit = self._left = max(limit - INITIAL_WINDOW, 0)
        self._parent = parent
        self._growing: set[ReceiveWindow] = set()
        self._target = INITIAL_WINDOW

    def share(self, window: ReceiveWindow) -> int:
        """The most that `window` may have when those that grow share equally."""
        self._growing.add(window)
        each = INITIAL_WINDOW + self._limit // len(self._growing)
        return max(min(self.per_stream, each), INITIAL_WINDOW)

    @property
    def widens(self) -> bool:
        """A stream that this end opens may begin with more than usual."""
        return self.first > INITIAL_WINDOW

    @property
    def has_plenty(self) -> bool:
        """More than half is left, of the parent's, too."""
        return 2 * self._left > self._limit and (self._parent is None or self._parent.has_plenty)

    def target(self, wanted: int) -> int:
        """What brisk readers may grow to, now that one could use a window of `wanted` bytes."""
        self._target = min(max(self._target, wanted), self.per_stream)
        return self._target

    def leave(self, window: ReceiveWindow) -> None:
        """`window` is gone."""
        self._growing.discard(window)
        if not self._growing:
            self._target = INITIAL_WINDOW

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


class Backlog:
    """What all sessions of the process hold for readers that do not read.

    Windows bound it for each stream; this bounds it for strangers with many streams, and with many sessions.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._sources: dict[str, dict[object, int]] = {}
        self._sums: dict[str, int] = {}
        self._source_of: dict[object, str] = {}
        self._total = 0

    def note(self, session: object, source: str, held: int) -> object | None:
        """`session` of `source` holds `held` bytes now.

        Returns who has to give way when that is too much together: of the source whose sessions hold most, the one
        that holds most.
        """
        sessions = self._sources.setdefault(source, {})
        more = held - sessions.get(session, 0)
        sessions[session] = held
        self._source_of[session] = source
        self._sums[source] = self._sums.get(source, 0) + more
        self._total += more
        if self._total <= self._limit:
            return None
        fullest = self._sources[max(self._sums, key=self._sums.__getitem__)]
        return max(fullest, key=fullest.__getitem__)

    def forget(self, session: object) -> None:
        """`session` is over."""
        source = self._source_of.pop(session, None)
        if source is None:
            return
        held = self._sources[source].pop(session)
        self._sums[source] -= held
        self._total -= held
        if not self._sources[source]:
            del self._sources[source], self._sums[source]


class ReceiveWindow(Window):
    """The receiving side of one stream's window: `left` is what the peer may still send."""

    __slots__ = ("_budget", "_due_since")

    def __init__(self, budget: WindowBudget) -> None:
        self.size = INITIAL_WINDOW
        self.left = self.given = INITIAL_WINDOW
        self.owed = 0
        self._due_since: float | None = None
        self._budget = budget

    @property
    def received_in_all(self) -> int:
        """Bytes that the peer has sent."""
        return self.given - self.left

    def received(self, count: int) -> None:
        """The peer sends `count` bytes.  Raises PeerError when that is more than it had credit for."""
        if count > self.left:
            raise PeerError(f"{count} bytes in a window of {self.left}")
        self.left -= count

    def consumed(self, count: int, now: float, round_trip: float) -> int:
        """The reader took `count` bytes; return the credit to give now, 0 for none yet."""
        self.owed += count
        if self.owed < self.size // 2:
            return 0
        took = now - self._due_since if self._due_since is not None else None
        self._due_since = now
        if took is not None and took < max(8 * round_trip, _BRISK):
            share = self._budget.share(self)
            held_up = took < max(2 * round_trip, _FAST)
            target = min(self._budget.target(2 * self.size if held_up else 0), share)
            if self.size > share:
                self._shrink(min(self.size - share, self.owed))
            elif self.size < target:
                self._grow(min(self.size, target - self.size))
        credit, self.owed = self.owed, 0
        self.left += credit
        self.given += credit
        return credit

    def widen(self) -> int:
        """The stream begins with more than usual, where there is plenty; return the credit to give."""
        if self._budget.has_plenty:
            self._grow(self._budget.first - self.size)
        credit, self.owed = self.owed, 0
        self.left += credit
        self.given += credit
        return credit

    def release(self) -> None:
        """The stream is gone: its growth is free for others."""
        self._shrink(self.size - INITIAL_WINDOW)
        self._budget.leave(self)

    def _grow(self, count: int) -> None:
        if count > 0 and self._budget.take(count):
            self.size += count
            self.owed += count

    def _shrink(self, count: int) -> None:
        self.size -= count
        self.owed -= count
        self._budget.give_back(count)
