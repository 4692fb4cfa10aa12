"""How something ended, for everybody who asks."""

from __future__ import annotations

import asyncio
from collections.abc import Generator

from hardline.errors import afresh


class Outcome:
    """Settled once, in order or with a failure.  Awaited as often as one likes: each time its failure is raised anew.

    So whoever waits may be cancelled without anybody else being so, nobody has to wait, and a failure keeps no frames.
    """

    __slots__ = ("_told",)

    def __init__(self) -> None:
        self._told: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def __await__(self) -> Generator[object, None, None]:
        failure = yield from asyncio.shield(self._told).__await__()
        if failure is not None:
            raise afresh(failure)

    def done(self) -> bool:
        """Whether it is known."""
        return self._told.done()

    def settle(self, failure: Exception | None = None) -> None:
        """It ended, because of `failure` or in order.  The first one counts."""
        if not self._told.done():
            self._told.set_result(None if failure is None else afresh(failure))

    async def within(self, seconds: float) -> bool:
        """Whether it is known after so many seconds, or as soon as it is."""
        await asyncio.wait([self._told], timeout=seconds)
        return self._told.done()
