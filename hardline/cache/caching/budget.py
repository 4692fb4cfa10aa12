"""The download limit of one site, for the event loop: who has to wait is woken when it may go on (kept/shares.py)."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable

from hardline.cache.kept.bucket import TokenBucket
from hardline.cache.kept.shares import SLICE, Shares, Turn


class Budget:
    """Bytes that may be downloaded to be stored."""

    def __init__(self, bucket: TokenBucket) -> None:
        self._shares = Shares(bucket)
        self._waiting: dict[Turn, asyncio.Future[None]] = {}
        self._timer: asyncio.Handle | None = None

    @property
    def is_spent(self) -> bool:
        """Whether whoever asks now would have to wait."""
        return self._shares.is_spent(asyncio.get_running_loop().time())

    def take(self, count: int) -> bool:
        """Take `count` bytes if they are there at once."""
        return self._shares.take(count, asyncio.get_running_loop().time())

    def ask(self, source: Hashable, count: int, *, small: bool) -> Turn:
        """Wait for `count` bytes, at most SLICE, until `granted` returns."""
        assert count <= SLICE
        turn = self._shares.ask(source, count, small=small)
        self._waiting[turn] = asyncio.get_running_loop().create_future()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_soon(self._go_on)
        return turn

    def also_for(self, turn: Turn, source: Hashable) -> None:
        """`source` waits for `turn`, too."""
        self._shares.also_for(turn, source)

    async def granted(self, turn: Turn) -> bool:
        """Wait for it; False when it was given up.  Cancelled, it is given up."""
        future = self._waiting[turn]
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError:
            if not future.cancelled():
                self.give_up(turn)
                raise
            return False
        return True

    def give_up(self, turn: Turn) -> None:
        """Nobody wants it any more."""
        turn.is_over = True
        if (future := self._waiting.pop(turn, None)) is not None:
            future.cancel()

    def _go_on(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        for turn in self._shares.grant(loop.time()):
            if (future := self._waiting.pop(turn, None)) is not None:
                future.set_result(None)
        wait = self._shares.wait(loop.time())
        if wait is not None:
            self._timer = loop.call_later(wait + 0.001, self._go_on)
