"""How often somebody may do something, without I/O: so many at once, and so many a second in the long run.

What is remembered is bounded: who did it last stays, and whoever is forgotten begins anew.
"""

from __future__ import annotations

from collections import OrderedDict

MOST = 8192  # who is remembered


class Allowance:
    """`at_once` of each, and one more every 1 / `per_second` seconds.  `now` is seconds on any monotonic clock."""

    def __init__(self, at_once: float, per_second: float) -> None:
        self._at_once, self._per_second = at_once, per_second
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # how much, and when that was

    def take(self, who: str, now: float) -> bool:
        """One more of `who`: whether it may."""
        left, since = self._left.pop(who, (self._at_once, now))
        left = min(self._at_once, left + (now - since) * self._per_second)
        allowed = left >= 1
        self._left[who] = (left - allowed, now)
        if len(self._left) > MOST:
            self._left.popitem(last=False)
        return allowed
