"""What a part of the LAN goes by: the addresses that it was told last, and when it tries again what it could not use.

NetworkWatch ── told ─┐
other news ──── nudge ┴─▶ wait: ends at once, or, while something is left to be tried again, in a while ─▶ take
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hardline.discovery.interfaces import InterfaceAddress, limited

AGAIN = (1.0, 2.0, 5.0, 10.0)  # seconds until what could not be used is tried once more, since the last news


class Following:
    """The addresses among `bind` (none: all), and the waits of one task from one look at them to the next."""

    def __init__(self, bind: Sequence[str] = ()) -> None:
        self._bind = tuple(bind)
        self._addresses: frozenset[InterfaceAddress] = frozenset()
        self._news = asyncio.Event()
        self._tries = 0

    def told(self, addresses: frozenset[InterfaceAddress]) -> None:
        """This machine has these addresses now."""
        self._addresses = limited(addresses, self._bind)
        self.nudge()

    def nudge(self) -> None:
        """Something else is new."""
        self._news.set()

    def take(self) -> frozenset[InterfaceAddress]:
        """The addresses now; what was news before is none any more."""
        self._news.clear()
        return self._addresses

    async def wait(self, *, left: bool) -> None:
        """Until there is news; where something was `left`, not for long."""
        pause = AGAIN[min(self._tries, len(AGAIN) - 1)] if left else None
        try:
            async with asyncio.timeout(pause):
                await self._news.wait()
            self._tries = 0
        except TimeoutError:
            self._tries += 1
