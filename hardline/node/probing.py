"""Whether something answers where the services of this node are: looked at only while somebody wants to know.

A connection is opened and closed again; nothing is said on it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

from hardline.errors import ConnectionLost, ServiceFailed
from hardline.settings.directory import Service
from hardline.settings.local import LocalService
from hardline.transport.own import OwnListeners
from hardline.tunnel.local import open_local

WITHIN = 1.0  # seconds; who is slower than that is asked again
_AT_ONCE = 16


class Probing:
    """`own` knows which service would be this process itself, and that one is left alone."""

    def __init__(self, own: OwnListeners) -> None:
        self._own = own
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def answers(self, services: Iterable[Service]) -> dict[str, bool]:
        """By the name of each service that has an address: whether somebody accepts connections there."""
        targets = {one.name: target for one in services if (target := one.settings.target) is not None}
        found = await asyncio.gather(*map(self._answers, targets.values()))
        return dict(zip(targets, found, strict=True))

    async def _answers(self, target: LocalService) -> bool:
        async with self._turns:
            if await self._own.leads_home(target):
                return False
            try:
                async with asyncio.timeout(WITHIN):
                    stream = await open_local(target)
            except (ServiceFailed, ConnectionLost, TimeoutError, OSError):
                return False
            with contextlib.suppress(ConnectionLost):
                await stream.aclose()
            return True
