"""Invitations that were accepted while their hosts were away: shown as soon as these are back.

Nobody has to visit for that: who invited is to see that it was accepted.  It is tried more and more seldom, and not at
all where nothing waits.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from hardline.errors import HardlineError
from hardline.identity import Label
from hardline.peers.accepted import Accepted
from hardline.tasks import TaskSet
from hardline.tunnel.link import Path

FIRST, LONGEST = 5.0, 600.0  # seconds between two tries


class WaitsForHosts:
    """Of what `accepted` has open, by `greet`; its task is one of `tasks`."""

    def __init__(self, accepted: Accepted, greet: Callable[[Label], Awaitable[Path | None]], tasks: TaskSet) -> None:
        self._accepted, self._greet, self._tasks = accepted, greet, tasks
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Wait for those that are away now, too."""
        if self._task is not None:
            self._task.cancel()  # which waits for long by now, perhaps
        if self._accepted.open:
            self._task = self._tasks.start(self._wait(), "accepted")

    async def _wait(self) -> None:
        pause = FIRST
        while waiting := self._accepted.open:
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST)
            for label in waiting:
                with contextlib.suppress(HardlineError, TimeoutError):
                    await self._greet(label)
