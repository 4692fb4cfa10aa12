"""How much of the cache's limit is taken, and who has to go first, without I/O.

    taken = what is stored + what is promised to downloads under way  ≤  limit

What is stored is counted as the disk counts it, in blocks, and with a price for each file and each directory, since a
disk runs out of those, too: a thousand answers of one byte take more than a thousand bytes.

    foo/bar@http, foo/bar@http.head     cost() of both, and one DIRECTORY for foo, however many answers lie in it

Whoever needs room promises first and writes then; where it does not fit, the least recently used goes, until it does.
The names of what is stored are in memory: they have a limit of their own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from hardline.errors import LimitReached

BLOCK = 4096  # bytes that file systems give a file at a time
FILE = 1024  # its inode, and its name in a directory
DIRECTORY = BLOCK + FILE
MOST_NAMES = 64 << 20  # bytes of memory
_NAME = 200  # bytes that a name takes beside its letters


class StoreFull(LimitReached):
    """An answer cannot be kept: it does not fit, or something is in its place.  Nothing is wrong with the disk."""


def cost(size: int, blocks: int = 0) -> int:
    """What a file of `size` bytes takes; `blocks` of 512 bytes is what the file system says, if it knows already."""
    return max(-(-size // BLOCK) * BLOCK, blocks * 512) + FILE


class Ledger:
    """Sizes of what is stored, by name, in the order of their last use.

    `used` may be called from any thread at any time; callers see to it that nothing else is called by two at once.
    """

    def __init__(self, limit: int, *, most_names: int = MOST_NAMES) -> None:
        self.limit = limit
        self._most_names = most_names
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._directories: dict[str, int] = {}  # how many names and directories lie in each
        self._stored = 0
        self._promised = 0
        self._names = 0

    def __len__(self) -> int:
        return len(self._sizes)

    def __contains__(self, name: str) -> bool:
        return name in self._sizes

    @property
    def stored(self) -> int:
        """Bytes of what is there, with the directories it lies in."""
        return self._stored

    @property
    def taken(self) -> int:
        """Bytes stored and promised."""
        return self._stored + self._promised

    def seed(self, found: Iterable[tuple[str, int]]) -> None:
        """What was found on the disk, least recently used first; what is known already is more recent than that."""
        known, self._sizes, self._directories, self._stored, self._names = self._sizes, OrderedDict(), {}, 0, 0
        for name, size in (*found, *known.items()):
            self.put(name, size)

    def put(self, name: str, size: int) -> None:
        """`name` takes `size` bytes from now on, and was just used; 0 for what is gone."""
        before = self._sizes.pop(name, 0)
        self._stored += size - before
        if size:
            self._sizes[name] = size
        if bool(size) is not bool(before):
            self._enter(name, 1 if size else -1)

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

    def way_to(self, name: str) -> int:
        """What the directories would take that `name` needs and that are not there."""
        missing = 0
        while (name := name.rpartition("/")[0]) and name not in self._directories:
            missing += DIRECTORY
        return missing

    def lacks(self, count: int) -> int:
        """How many bytes too much it would be, were `count` more promised; at most 0 when they fit."""
        return max(self.taken + count - self.limit, self._names - self._most_names)

    def promise(self, count: int) -> None:
        """`count` bytes are about to be written; negative: they are stored now, or never will be."""
        self._promised += count

    def _enter(self, name: str, step: int) -> None:
        """`name` is there, or gone, and with it the directories that nothing else lies in."""
        self._names += step * (_NAME + len(name))
        while name := name.rpartition("/")[0]:
            within = self._directories.get(name, 0)
            if within + step:
                self._directories[name] = within + step
            else:
                del self._directories[name]
            if within and within + step:
                return
            self._stored += step * DIRECTORY
            self._names += step * (_NAME + len(name))
