"""A place among the connections that a service takes, and the wait for it.

connections.py alone knows who has a place and who waits: what has become of a waiting task's future, which may be
over a turn of the event loop before the task is, decides nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from hardline.errors import ServiceFailed
from hardline.tunnel.connections import Connections


class Places:
    """Those of one service."""

    def __init__(self, limit: int) -> None:
        self._connections: Connections[Place] = Connections(limit)

    def resize(self, limit: int) -> None:
        """Have `limit` from now on; nobody loses one."""
        _tell(self._connections.resize(limit))

    def take(self, source: str, visitor: object) -> Place:
        """A place for `visitor` of `source`, or the wait for one."""
        return Place(self._connections, source, visitor)


class Place:
    """A place, once it has `come`.  Say `leave` in the end, whether or not it has."""

    __slots__ = ("_connections", "_turn", "come")

    def __init__(self, connections: Connections[Place], source: str, visitor: object) -> None:
        self._connections = connections
        self._turn: asyncio.Future[None] | None = None
        self.come = connections.enter(self, source, visitor)

    async def wait(self, seconds: float) -> None:
        """Until it has come, or `stop_waiting`.  Raises ServiceFailed when it does not within `seconds`."""
        if self.come:
            return
        self._turn = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                await self._turn
        except TimeoutError:
            raise ServiceFailed("limit", "all connections to the local service are in use") from None

    def stop_waiting(self) -> None:
        """Have `wait` return now."""
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)

    def leave(self) -> None:
        """Have it no more, and wait for it no more.  Idempotent."""
        _tell(self._connections.leave(self))


def _tell(places: Iterable[Place]) -> None:
    for place in places:
        place.come = True
        place.stop_waiting()
