"""What of an answer is not stored: given to those that read it piece by piece, at their speed.

    the draft, as far as it came ─┬─ a piece ─ a piece ─ …      the next one is fetched when all readers have this one
                                  └─ a reader that the others have waited for long enough is left behind

A reader's position is counted from the beginning of the whole body.
"""

from __future__ import annotations

import asyncio

_BEHIND = 30.0  # seconds that readers wait for the slowest of them


class Reader:
    """How far one visitor is.  `is_behind`: the others did not wait for it."""

    def __init__(self, position: int) -> None:
        self.position = position
        self.is_behind = False
        self.moved = asyncio.Event()


class Tail:
    """The piece that comes next of what is not stored, and those that read the answer; empty while all is stored."""

    def __init__(self) -> None:
        self._piece = b""
        self._at = 0
        self._readers: set[Reader] = set()

    def __bool__(self) -> bool:
        return bool(self._piece)

    @property
    def is_read(self) -> bool:
        """Whether anybody reads the answer who is not left behind."""
        return bool(self._readers)

    def begins_at(self, position: int) -> None:
        """All before it is stored, or in the draft."""
        self._at = position

    def opened(self, reader: Reader) -> None:
        """One reader more."""
        self._readers.add(reader)

    def closed(self, reader: Reader) -> None:
        """One reader less."""
        self._readers.discard(reader)
        reader.moved.set()

    def put(self, piece: bytes) -> None:
        """`piece` is next; the one before is gone."""
        self._at += len(self._piece)
        self._piece = piece

    def there_for(self, reader: Reader, end: int | None) -> bytes:
        """What of the piece `reader` has not had yet, up to the position `end`, which lies behind its own."""
        if reader.position < self._at:
            return b""
        return self._piece[reader.position - self._at : None if end is None else end - self._at]

    def has_passed(self, reader: Reader) -> bool:
        """Whether what `reader` needs next is gone."""
        return reader.is_behind or reader.position < self._at

    async def all_have_it(self) -> None:
        """Wait until all readers have had the piece, or those that have it have waited long enough."""
        loop = asyncio.get_running_loop()
        limit = loop.time() + _BEHIND
        end = self._at + len(self._piece)
        while behind := [reader for reader in self._readers if reader.position < end]:
            if len(behind) < len(self._readers) and loop.time() >= limit:
                for reader in behind:
                    reader.is_behind = True
                    self._readers.discard(reader)
                return
            reader = behind[0]
            reader.moved.clear()
            try:
                async with asyncio.timeout(1.0):
                    await reader.moved.wait()
            except TimeoutError:
                continue
