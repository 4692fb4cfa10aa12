"""Tasks with an owner and a name, and work that must go on.

Every task of the program is started here, so that none is without somebody who waits for it or cancels it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

from hardline import log

T = TypeVar("T")


class TaskSet:
    """Tasks that live as long as their owner: `aclose` cancels and awaits whatever is left.

    A task that fails is logged with its name and disturbs nobody else; where one failure
    should end its siblings, use asyncio.TaskGroup.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(
        self, work: Coroutine[Any, Any, Any], name: str, *, expects: type[Exception] | None = None
    ) -> asyncio.Task[Any]:
        """Run `work` until it ends or the set is closed.

        A failure of the kind that it `expects` is not logged: whoever awaits the task deals with it.
        """
        task = asyncio.get_running_loop().create_task(work, name=f"{self._owner}.{name}")
        self._tasks.add(task)
        task.add_done_callback(lambda ended: self._ended(ended, expects))
        return task

    async def aclose(self) -> None:
        """Cancel what still runs and wait until it is gone.  Idempotent."""
        me = asyncio.current_task()
        while rest := [task for task in self._tasks if task is not me]:
            for task in rest:
                task.cancel()
            await asyncio.wait(rest)

    def _ended(self, task: asyncio.Task[Any], expects: type[Exception] | None) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) and not (expects and isinstance(failure, expects)):
            log.warning("task.failed", task=task.get_name(), reason=repr(failure))


class OnceAWhile(Generic[T]):
    """What `make` returns, made anew at most every `seconds`: who asks in between gets what there is.

    Who asks while it is being made waits for it.  A failure is the asker's, and the next one tries again.
    """

    def __init__(self, make: Callable[[], Awaitable[T]], seconds: float) -> None:
        self._make, self._seconds = make, seconds
        self._making = asyncio.Lock()
        self._made: tuple[T, float] | None = None

    async def get(self) -> T:
        """It, as of the last `seconds`."""
        loop = asyncio.get_running_loop()
        async with self._making:
            if self._made is None or loop.time() - self._made[1] >= self._seconds:
                self._made = await self._make(), loop.time()
            return self._made[0]


async def keep_running(
    work: Callable[[], Awaitable[None]], name: str, *, first: float = 0.5, longest: float = 60.0
) -> None:
    """Run `work` again and again, with a pause that doubles from `first` to `longest` seconds after each failure.

    Returns only when `work` returns; a run that lasted longer than `longest` starts the pauses anew.
    """
    loop, pause = asyncio.get_running_loop(), first
    while True:
        began = loop.time()
        try:
            return await work()
        except Exception as failure:
            if loop.time() - began > longest:
                pause = first
            log.warning("task.restarted", task=name, reason=repr(failure), pause_s=pause)
        await asyncio.sleep(pause)
        pause = min(2 * pause, longest)
