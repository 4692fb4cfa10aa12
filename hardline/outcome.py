"""How something ended, for everybody who asks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator

from hardline.errors import afresh

_OPEN = object()


class Outcome:
    """Settled once, in order or with a failure.  Awaited as often as one likes: each time its failure is raised anew.

    So whoever waits may be cancelled without anybody else being so, nobody has to wait, and a failure keeps no frames.
    """

    __slots__ = ("_ended", "_tells", "_told")

    def __init__(self) -> None:
        self._ended: object = _OPEN  # None for in order, or the failure
        self._told: asyncio.Future[None] | None = None  # for those who wait
        self._tells: Callable[[Exception | None], object] | None = None

    def __await__(self) -> Generator[object, None, None]:
        if self._ended is _OPEN:
            yield from asyncio.shield(self._future()).__await__()
        if isinstance(self._ended, Exception):
            raise afresh(self._ended)

    def done(self) -> bool:
        """Whether it is known."""
        return self._ended is not _OPEN

    def settle(self, failure: Exception | None = None) -> None:
        """It ended, because of `failure` or in order.  The first one counts."""
        if self._ended is not _OPEN:
            return
        self._ended = None if failure is None else afresh(failure)
        told, self._told = self._told, None
        if told is not None:
            told.set_result(None)
        self._tell()

    def then(self, tell: Callable[[Exception | None], object]) -> None:
        """Have `tell` called once, with the failure or None, where it is settled; at once, where it is already.

        For one only, who needs no task to wait in.
        """
        self._tells = tell
        self._tell()

    async def within(self, seconds: float) -> bool:
        """Whether it is known after so many seconds, or as soon as it is."""
        if self._ended is _OPEN:
            await asyncio.wait([self._future()], timeout=seconds)
        return self._ended is not _OPEN

    def _future(self) -> asyncio.Future[None]:
        if self._told is None:
            self._told = asyncio.get_running_loop().create_future()
        return self._told

    def _tell(self) -> None:
        if self._ended is not _OPEN and (tell := self._tells) is not None:
            self._tells = None
            tell(self._ended if isinstance(self._ended, Exception) else None)
