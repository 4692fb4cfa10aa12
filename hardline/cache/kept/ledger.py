"""How much of the cache's limit is taken, and who has to go first, without I/O.

    taken = what is stored + what is promised to downloads under way  ≤  limit

Whoever needs room promises first and writes then; where it does not fit, the least recently used goes, until it does.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from hardline.errors import LimitReached


class StoreFull(LimitReached):
    """An answer cannot be kept: it does not fit, or something is in its place.  Nothing is wrong with the disk."""


class Ledger:
    """Sizes of what is stored, by name, in the order of their last use.

    `used` may be called from any thread at any time; callers see to it that nothing else is called by two at once.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._stored = 0
        self._promised = 0

    def __len__(self) -> int:
        return len(self._sizes)

    def __contains__(self, name: str) -> bool:
        return name in self._sizes

    @property
    def stored(self) -> int:
        """Bytes of what is there."""
        return self._stored

    @property
    def taken(self) -> int:
        """Bytes stored and promised."""
        return self._stored + self._promised

    def seed(self, found: Iterable[tuple[str, int]]) -> None:
        """What was found on the disk, least recently used first; what is known already is more recent than that."""
        known, self._sizes, self._stored = self._sizes, OrderedDict(), 0
        for name, size in (*found, *known.items()):
            self.put(name, size)

    def put(self, name: str, size: int) -> None:
        """`name` takes `size` bytes from now on, and was just used; 0 for what is gone."""
        self._stored += size - self._sizes.pop(name, 0)
        if size:
            self._sizes[name] = size

    def used(self, name: str) -> None:
        """`name` was just used."""
        if name in self._sizes:
            try:
                self._sizes.move_to_end(name)
            except KeyError:
                return  # another thread has just put it out

    def oldest(self) -> str | None:
        """Who has to go first."""
        return next(iter(self._sizes), None)

    def lacks(self, count: int) -> int:
        """How many bytes too much it would be, were `count` more promised; at most 0 when they fit."""
        return self.taken + count - self.limit

    def promise(self, count: int) -> None:
        """`count` bytes are about to be written; negative: they are stored now, or never will be."""
        self._promised += count
