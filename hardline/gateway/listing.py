"""Which of the gateway's services are there: looked for when somebody looks, and not more often than every few seconds.

Who is not there is shown as such, with the time since it was reached last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from hardline.errors import HardlineError
from hardline.gateway.clients import is_in
from hardline.gateway.names import Names
from hardline.gateway.pages import Listed
from hardline.settings.gateway import NamedSection
from hardline.tasks import TaskSet
from hardline.tunnel.visitor import Visitor

_EVERY = 5.0  # seconds between two tries to reach them
_WAIT = 1.0  # seconds that a look waits for who is being reached
_AT_ONCE = 8


class Listing:
    """What of `named` is listed."""

    def __init__(self, named: Mapping[str, NamedSection], names: Names, visitor: Visitor) -> None:
        self._named, self._names, self._visitor = named, names, visitor
        self._seen: dict[str, float] = {}  # by the loop's time; as many as there are names
        self._tasks, self._room = TaskSet("gateway"), asyncio.Semaphore(_AT_ONCE)
        self._looked = -_EVERY

    def reached(self, name: str) -> None:
        """Its service was reached now."""
        self._seen[name] = asyncio.get_running_loop().time()

    async def look(self, host: str, client: str) -> list[Listed]:
        """Those that are listed for `client`, with their addresses for a browser at `host`."""
        loop = asyncio.get_running_loop()
        shown = [
            name
            for name, one in sorted(self._named.items())
            if one.listed and not (one.addresses and not is_in(client, one.addresses))
        ]
        if loop.time() - self._looked >= _EVERY and not len(self._tasks):
            self._looked = loop.time()
            if tries := [self._tasks.start(self._reach(name), "look") for name in self._cold()]:
                await asyncio.wait(tries, timeout=_WAIT)
        return [self._row(name, host) for name in shown]

    async def aclose(self) -> None:
        """Look for nobody any more."""
        await self._tasks.aclose()

    def _cold(self) -> list[str]:
        return [
            n for n, one in self._named.items() if one.listed and one.label and not self._visitor.is_warm(one.label)
        ]

    async def _reach(self, name: str) -> None:
        label = self._named[name].label
        assert label is not None, "the settings were checked"
        async with self._room:
            try:
                await self._visitor.reach(label)
            except HardlineError:
                return
            self.reached(name)

    def _row(self, name: str, host: str) -> Listed:
        label, now = self._named[name].label, asyncio.get_running_loop().time()
        online = label is not None and self._visitor.is_warm(label)
        if online:
            self._seen[name] = now
        seen = self._seen.get(name)
        return Listed(name, self._names.address(name, host), online, None if seen is None else now - seen)
