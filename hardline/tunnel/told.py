"""What is told once in a while for each of those that it is about, without I/O, so that nobody can fill a log."""

from __future__ import annotations

from collections import OrderedDict


class ToldOnce:
    """At most once in `every` seconds for a name, and for at most `most` names in that time."""

    def __init__(self, every: float, most: int) -> None:
        self._every, self._most = every, most
        self._told: OrderedDict[str, float] = OrderedDict()

    def is_due(self, name: str, now: float) -> bool:
        """Whether it is to be told of `name` now, which is noted."""
        while self._told and now - next(iter(self._told.values())) >= self._every:
            self._told.popitem(last=False)
        if name in self._told or len(self._told) >= self._most:
            return False
        self._told[name] = now
        return True
