"""Something about this node is another than it was: told to whoever shows it, many changes as one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator


class Changes:
    """`tell` whenever something happened; who watches looks for himself at what."""

    def __init__(self) -> None:
        self._watchers: set[asyncio.Event] = set()

    def tell(self) -> None:
        """Sessions, services, paths or the way here: something changed."""
        for news in self._watchers:
            news.set()

    async def watch(self, pause: float = 0.0, every: float | None = None) -> AsyncGenerator[None, None]:
        """Yield now, and after every change, at most once in `pause` seconds; nothing that came meanwhile is missed.

        Without one it is yielded after `every` seconds all the same.
        """
        news = asyncio.Event()
        self._watchers.add(news)
        news.set()
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(every):
                        await news.wait()
                news.clear()
                yield
                if pause:
                    await asyncio.sleep(pause)
        finally:
            self._watchers.discard(news)
