"""Bytes that arrived and that nobody has taken yet.

The receiving half of every ByteStream in the program: a callback of the event loop puts, one task takes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from hardline.errors import afresh


class Inbox:
    """A queue of bytes with an end.

    `taken` is called with the number of bytes that a reader took: whoever fills the inbox
    pauses and resumes its source, or gives credit, by that.
    """

    __slots__ = ("_chunks", "_ended", "_failure", "_taken", "_waiter", "size")

    def __init__(self, taken: Callable[[int], None]) -> None:
        self.size = 0
        self._chunks: deque[bytes] | None = None  # an empty one is 760 bytes, and most stay empty
        self._taken = taken
        self._ended = False
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    def put(self, data: bytes) -> None:
        """Queue `data`; ignored after the end."""
        if data and not self._ended:
            if self._chunks is None:
                self._chunks = deque()
            self._chunks.append(data)
            self.size += len(data)
            self._wake()

    def end(self, failure: Exception | None = None) -> None:
        """Nothing will follow.  With `failure`, readers see it after what was queued; the first end counts."""
        if not self._ended:
            self._ended, self._failure = True, failure
            self._wake()

    async def receive(self, max_bytes: int) -> bytes:
        """As ByteStream.receive."""
        while not self._chunks:
            if self._ended:
                if self._failure:
                    raise afresh(self._failure)
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        chunk = self._chunks.popleft()
        if len(chunk) > max_bytes:
            self._chunks.appendleft(chunk[max_bytes:])
            chunk = chunk[:max_bytes]
        self.size -= len(chunk)
        self._taken(len(chunk))
        return chunk

    @property
    def waiting(self) -> bytes:
        """All that is queued, which stays there."""
        return b"".join(self._chunks or ())

    def skip(self, count: int) -> None:
        """Take the first `count` bytes of what is queued, without waiting."""
        left = self.waiting[count:]
        taken, self.size = self.size - len(left), len(left)
        self._chunks = deque([left]) if left else None
        self._taken(taken)

    def drain(self) -> bytes:
        """Take all that is queued, without waiting and without telling `taken`: the source changes hands."""
        everything = b"".join(self._chunks or ())
        self._chunks = None
        self.size = 0
        return everything

    def let_go(self) -> None:
        """There is no source any more: `taken` is not called again, and who made this is not held by it."""
        self._taken = _nothing

    def come_back(self, taken: Callable[[int], None]) -> None:
        """Undo `let_go`."""
        self._taken = taken

    @property
    def ended(self) -> bool:
        """Nothing will follow what is queued."""
        return self._ended

    @property
    def silent(self) -> bool:
        """Who asks to receive has to wait: there are no bytes, and it has not ended."""
        return not (self.size or self._ended)

    @property
    def failure(self) -> Exception | None:
        """Why it ended, when not in order."""
        return self._failure

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)


def _nothing(count: int) -> None:
    pass
