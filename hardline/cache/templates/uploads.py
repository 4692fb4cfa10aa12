"""What visitors send to pages, as far as it is in memory: bounded for all of them together.

    a body ── piece by piece ──▶ Uploads ── too much in all? ──▶ the longest that is not whole is given up

So whoever holds most gives way, and a form of a few lines is never refused for somebody else's megabytes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

IN_ALL = 32 << 20  # bytes


class Uploads:
    """The bodies that are being read, or wait for their page."""

    def __init__(self, limit: int = IN_ALL) -> None:
        self._limit = limit
        self._held: dict[Upload, int] = {}
        self._total = 0

    @contextlib.contextmanager
    def one(self, give_up: Callable[[], None]) -> Iterator[Upload]:
        """One more, as long as the context lasts; `give_up` is called when it is to be read no further."""
        upload = Upload(self, give_up)
        self._held[upload] = 0
        try:
            yield upload
        finally:
            self.count(upload, 0)
            self._held.pop(upload, None)

    def count(self, upload: Upload, size: int) -> None:
        """`upload` has `size` bytes now."""
        self._total += size - self._held[upload]
        self._held[upload] = size
        while self._total > self._limit:
            unfinished = [each for each in self._held if not each.whole and self._held[each]]
            if not unfinished:
                return
            longest = max(unfinished, key=self._held.__getitem__)
            longest.drop()


class Upload:
    """One of them."""

    def __init__(self, uploads: Uploads, give_up: Callable[[], None]) -> None:
        self._uploads, self._give_up = uploads, give_up
        self._data = bytearray()
        self.whole = self.dropped = False

    def add(self, piece: bytes) -> int:
        """Append `piece`; how many bytes it has."""
        if not self.dropped:
            self._data += piece
            self._uploads.count(self, len(self._data))
        return len(self._data)

    def finish(self) -> bytes:
        """All of it: there is no more."""
        self.whole = True
        return bytes(self._data)

    def drop(self) -> None:
        """Forget it; it is not read further."""
        self.dropped = True
        self._data = bytearray()
        self._uploads.count(self, 0)
        self._give_up()
