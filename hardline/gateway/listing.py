"""Which of the gateway's services are there: looked for when somebody looks, and not more often than every few seconds.

Who is not there is shown as such, with the time since it was reached last, as far as this node remembers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from hardline.errors import HardlineError
from hardline.gateway.clients import is_in
from hardline.gateway.names import Names
from hardline.gateway.pages import Listed
from hardline.identity import KeyHash
from hardline.routes import RememberedHost
from hardline.settings.gateway import NamedSection
from hardline.tasks import TaskSet
from hardline.tunnel.visitor import Visitor

_EVERY = 5.0  # seconds between two tries to reach them
_WAIT = 1.0  # seconds that a look waits for who is being reached
_AT_ONCE = 8


Remembered = Callable[[KeyHash], Awaitable[RememberedHost | None]]


class Listing:
    """Those of `named`; `remembered` tells what was known of a host before."""

    def __init__(
        self, named: Mapping[str, NamedSection], names: Names, visitor: Visitor, remembered: Remembered
    ) -> None:
        self._named, self._names, self._visitor, self._remembered = named, names, visitor, remembered
        self._seen: dict[str, float] = {}  # seconds since 1970, 0 for never
        self._tried: dict[str, float] = {}
        self._trying: set[str] = set()
        self._tasks, self._room = TaskSet("gateway"), asyncio.Semaphore(_AT_ONCE)

    def replace(self, named: Mapping[str, NamedSection], names: Names) -> None:
        """There are others now; who stays the same keeps when it was seen."""
        same = {name for name, one in named.items() if name in self._named and self._named[name].label == one.label}
        self._seen = {name: when for name, when in self._seen.items() if name in same}
        self._tried = {name: when for name, when in self._tried.items() if name in same}
        self._named, self._names = named, names

    def reached(self, name: str) -> None:
        """Its service was reached now."""
        if name in self._named:
            self._seen[name] = time.time()

    def listed_for(self, client: str) -> list[str]:
        """The names of those that are listed, for who may ask them."""
        return [
            name
            for name, one in sorted(self._named.items())
            if one.listed and not (one.addresses and not is_in(client, one.addresses))
        ]

    async def look(self, host: str, shown: Sequence[str]) -> list[Listed]:
        """Those of these names, with their addresses for a browser at `host`."""
        if tries := [self._tasks.start(self._reach(name), "look") for name in self._to_try(shown)]:
            await asyncio.wait(tries, timeout=_WAIT)
        await self.recall(shown)
        return [self._row(name, host) for name in shown if name in self._named]

    async def recall(self, names: Iterable[str]) -> None:
        """Find out when those were seen that have not been reached since the start."""
        for name in names:
            label = self._named[name].label if name in self._named else None
            if name not in self._seen and label is not None:
                known = await self._remembered(label.key_hash)
                self._seen.setdefault(name, float(known.last_seen) if known else 0.0)

    def state(self, name: str) -> tuple[bool, float | None]:
        """Whether there is a way to its host now, and the seconds since it was reached."""
        one, now = self._named.get(name), time.time()
        online = one is not None and one.label is not None and self._visitor.is_warm(one.label)
        if online:
            self._seen[name] = now
        seen = self._seen.get(name)
        return online, max(now - seen, 0.0) if seen else None

    async def aclose(self) -> None:
        """Look for nobody any more."""
        await self._tasks.aclose()

    def _to_try(self, shown: Sequence[str]) -> list[str]:
        now = asyncio.get_running_loop().time()
        cold = [
            name
            for name in shown
            if name not in self._trying and now - self._tried.get(name, -_EVERY) >= _EVERY and not self.state(name)[0]
        ]
        self._tried |= dict.fromkeys(cold, now)
        self._trying.update(cold)
        return cold

    async def _reach(self, name: str) -> None:
        label = self._named[name].label if name in self._named else None
        try:
            async with self._room:
                if label is not None:
                    await self._visitor.reach(label)
        except HardlineError:
            return
        finally:
            self._trying.discard(name)
        self.reached(name)

    def _row(self, name: str, host: str) -> Listed:
        return Listed(name, self._names.address(name, host), *self.state(name))
