"""A ByteStream of nothing but memory: the plainest thing that keeps the contract of hardline/streams.py."""

from __future__ import annotations

import asyncio

from hardline.errors import ConnectionLost
from hardline.streams import DEFAULT_RECEIVE

CAPACITY = 65_536


class _Direction:
    def __init__(self) -> None:
        self.data = bytearray()
        self.ended = False
        self.cut = False
        self.changed = asyncio.Condition()


class MemoryStream:
    """One end; `pair` makes two."""

    def __init__(self, inward: _Direction, outward: _Direction) -> None:
        self._inward, self._outward = inward, outward
        self._finished = False

    @classmethod
    def pair(cls) -> tuple[MemoryStream, MemoryStream]:
        """Two ends of one pipe."""
        one, other = _Direction(), _Direction()
        return cls(one, other), cls(other, one)

    async def receive(self, max_bytes: int = DEFAULT_RECEIVE) -> bytes:
        """As ByteStream.receive."""
        side = self._inward
        async with side.changed:
            await side.changed.wait_for(lambda: side.data or side.ended or side.cut)
            if not side.data:
                if side.cut:
                    raise ConnectionLost("the other end cut the pipe")
                return b""
            data = bytes(side.data[:max_bytes])
            del side.data[:max_bytes]
            side.changed.notify_all()
            return data

    async def send(self, data: bytes) -> None:
        """As ByteStream.send."""
        side = self._outward
        async with side.changed:
            if self._finished or side.cut:
                raise ConnectionLost("the pipe was closed")
            side.data += data
            side.changed.notify_all()
            await side.changed.wait_for(lambda: len(side.data) < CAPACITY or side.cut)
            if side.cut:
                raise ConnectionLost("the pipe was closed")

    async def send_eof(self) -> None:
        """As ByteStream.send_eof."""
        self._finished = True
        async with self._outward.changed:
            self._outward.ended = True
            self._outward.changed.notify_all()

    async def aclose(self) -> None:
        """As ByteStream.aclose."""
        for side in (self._inward, self._outward):
            async with side.changed:
                side.cut = side.cut or not side.ended
                side.changed.notify_all()
        self._finished = True
