"""What visitors send to pages, as far as it is in memory: bounded for all of them together.

    a body ── piece by piece ──▶ Bodies ── too much in all? ──▶ the longest that is not whole is given up

So whoever holds most gives way, and a form of a few lines is never refused for somebody else's megabytes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

IN_ALL = 32 << 20  # bytes


class Bodies:
    """The bodies that are being read, or wait for their page."""

    def __init__(self, limit: int = IN_ALL) -> None:
        self._limit = limit
        self._held: dict[Body, int] = {}
        self._total = 0

    @contextlib.contextmanager
    def one(self, give_up: Callable[[], None]) -> Iterator[Body]:
        """One more, as long as the context lasts; `give_up` is called when it is to be read no further."""
        body = Body(self, give_up)
        self._held[body] = 0
        try:
            yield body
        finally:
            self.count(body, 0)
            self._held.pop(body, None)

    def count(self, body: Body, size: int) -> None:
        """`body` has `size` bytes now."""
        self._total += size - self._held[body]
        self._held[body] = size
        while self._total > self._limit:
            unfinished = [each for each in self._held if not each.whole and self._held[each]]
            if not unfinished:
                return
            longest = max(unfinished, key=self._held.__getitem__)
            longest.drop()


class Body:
    """One of them."""

    def __init__(self, bodies: Bodies, give_up: Callable[[], None]) -> None:
        self._bodies, self._give_up = bodies, give_up
        self._data = bytearray()
        self.whole = self.dropped = False

    def add(self, piece: bytes) -> int:
        """Append `piece`; how many bytes it has."""
        if not self.dropped:
            self._data += piece
            self._bodies.count(self, len(self._data))
        return len(self._data)

    def finish(self) -> bytes:
        """All of it: there is no more."""
        self.whole = True
        return bytes(self._data)

    def drop(self) -> None:
        """Forget it; it is not read further."""
        self.dropped = True
        self._data = bytearray()
        self._bodies.count(self, 0)
        self._give_up()
