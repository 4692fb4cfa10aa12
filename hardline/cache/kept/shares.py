"""Whose turn it is to download while there is not enough for all, without I/O.

    fetch ── ask ──▶ at once, or a Turn ──▶ grant, as the bucket fills up
                                            │ small answers before large ones
                                            └ of each kind, one source after the other

Nobody owes anything: a turn is for SLICE bytes at most, and comes when these are there.  So whoever asks for much has
its share, as everybody has, and what is given up costs nothing any more.  A source is who a visitor belongs to
(transport/sources.py).  What is large gets every fourth slice at least, so that small answers without an end cannot
stop it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable

from hardline.cache.kept.bucket import TokenBucket

SLICE = 16_384  # bytes
SMALL = 65_536  # bytes of an answer that is not large
_SMALL_AT_ONCE = 3 * SLICE  # bytes of small answers while large ones wait


class Turn:
    """A place in the queue, for `count` bytes; `is_over` once it was granted or given up."""

    def __init__(self, count: int, *, small: bool) -> None:
        self.count, self.small = count, small
        self.is_over = False


class Shares:
    """Divides what `bucket` gives.  `now` is seconds on the bucket's clock."""

    def __init__(self, bucket: TokenBucket) -> None:
        self._bucket = bucket
        self._waiting: dict[bool, OrderedDict[Hashable, deque[Turn]]] = {True: OrderedDict(), False: OrderedDict()}
        self._since_large = 0

    def take(self, count: int, now: float) -> bool:
        """Take `count` bytes if they are there and nobody waits."""
        if self._next() is not None or self._bucket.wait_for(count, now) > 0:
            return False
        self._bucket.take(count, now)
        return True

    def is_spent(self, now: float) -> bool:
        """Whether whoever asks now would have to wait."""
        return self._next() is not None or self._bucket.wait_for(SLICE, now) > 0

    def ask(self, source: Hashable, count: int, *, small: bool) -> Turn:
        """Wait for `count` bytes, at most SLICE."""
        turn = Turn(count, small=small)
        self.also_for(turn, source)
        return turn

    def also_for(self, turn: Turn, source: Hashable) -> None:
        """`source` wants what `turn` is for, too: it comes when one of them has its turn."""
        queue = self._waiting[turn.small].setdefault(source, deque())
        if turn not in queue:
            queue.append(turn)

    def grant(self, now: float) -> list[Turn]:
        """Those whose bytes are there."""
        granted = []
        while (found := self._next()) is not None:
            source, turn = found
            if self._bucket.wait_for(turn.count, now) > 0:
                break
            self._bucket.take(turn.count, now)
            turn.is_over = True
            self._since_large = self._since_large + turn.count if turn.small else 0
            self._waiting[turn.small].move_to_end(source)
            granted.append(turn)
        return granted

    def wait(self, now: float) -> float | None:
        """The seconds until the next turn; None when nobody waits."""
        found = self._next()
        return None if found is None else self._bucket.wait_for(found[1].count, now)

    def _next(self) -> tuple[Hashable, Turn] | None:
        small, large = (self._first(self._waiting[kind]) for kind in (True, False))
        if small is None or (large is not None and self._since_large >= _SMALL_AT_ONCE):
            return large
        return small

    def _first(self, waiting: OrderedDict[Hashable, deque[Turn]]) -> tuple[Hashable, Turn] | None:
        while waiting:
            source, queue = next(iter(waiting.items()))
            while queue and queue[0].is_over:
                queue.popleft()
            if queue:
                return source, queue[0]
            del waiting[source]
        return None
