"""When a node runs: from its start to its end, in one event loop.

begin ─▶ closers, in the order in which parts are opened ─ ready ─▶ end: drained, then closed in the reverse order
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from hardline import log
from hardline.errors import HardlineError
from hardline.tasks import TaskSet


class Lifecycle:
    """That of one node, which may begin again after its end.

    `tasks` are cancelled first at the end, then `closers` are called, the last one first; it is `ready` in between.
    """

    def __init__(self) -> None:
        self.tasks = TaskSet("node")
        self.closers: list[Callable[[], Awaitable[None]]] = []
        self.ready = asyncio.Event()
        self._end = TaskSet("node")
        self._stopping: asyncio.Task[None] | None = None
        self._started = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self) -> None:
        """It starts, in this event loop.  Raises HardlineError where it has already."""
        if self._started:
            raise HardlineError("this node was started already", hint="stop it first")
        self._started, self._loop = True, asyncio.get_running_loop()

    async def end(self, drain: Callable[[], Awaitable[None]], forget: Callable[[], None]) -> None:
        """Wait for `drain`, then end everything; `forget` is called when nobody uses the parts any more.

        Cancelled, it does not wait for `drain`, and ends everything all the same.
        """
        self.check_loop()
        try:
            if self.closers:
                await drain()
        finally:
            if self._stopping is None:
                self._stopping = self._end.start(self._close(forget), "stop")
            await asyncio.shield(self._stopping)
            self._stopping = None

    def check_loop(self) -> None:
        """Raises HardlineError where another event loop started it."""
        if self._loop is not None and self._loop is not asyncio.get_running_loop():
            raise HardlineError(
                "this node belongs to another event loop", hint="asyncio.run_coroutine_threadsafe calls it there"
            )

    def runs_here(self) -> bool:
        """Whether it is ready.  Raises as `check_loop`."""
        self.check_loop()
        return self.ready.is_set()

    def check_running(self) -> None:
        """Raises HardlineError where it does not run, or not here."""
        if not self.runs_here():
            raise HardlineError("this node does not run", hint="start it, and use it before it is stopped")

    async def _close(self, forget: Callable[[], None]) -> None:
        self.ready.clear()
        await self.tasks.aclose()
        closers = self.closers.copy()
        self.closers.clear()
        forget()
        for close in reversed(closers):
            try:
                await close()
            except Exception as failure:  # the others end all the same
                log.warning("node.not_closed", reason=repr(failure))
        if closers:
            log.event("node.stopped")
        self._started, self._loop = False, None
