"""The lifespan of an ASGI application: its startup before anybody is let in, its shutdown when all have left.

    start ── lifespan.startup ──▶ app ── startup.complete ──▶ visitors … stop ── lifespan.shutdown ──▶ app

An application that knows nothing of it raises or returns at once, and is served all the same.
Source: asgi.readthedocs.io, "Lifespan Protocol", version 2.0.
"""

from __future__ import annotations

import asyncio
from typing import Any

from hardline import log
from hardline.apps.failures import end_soon, was_cancelled
from hardline.apps.kinds import AsgiApp, Message, Scope
from hardline.errors import HardlineError
from hardline.showable import one_line
from hardline.tasks import TaskSet

_MOST = 500  # characters of what an application says of its failure


class Lifespan:
    """Of one application, which is called `name`.  `state` is for its requests, each gets a copy."""

    def __init__(self, app: AsgiApp, name: str) -> None:
        self.state: dict[str, Any] = {}
        self._app, self._name = app, name
        self._tasks = TaskSet("lifespan")
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._started: asyncio.Future[str] | None = None  # what went wrong, "" for nothing
        self._task: asyncio.Task[None] | None = None
        self._ended = False

    async def start(self) -> None:
        """Return when the application has started.  There is no time limit inside.

        Raises HardlineError with what the application says of its failure; nothing of it runs any more then.
        """
        self._started = asyncio.get_running_loop().create_future()
        self._to_app.put_nowait({"type": "lifespan.startup"})
        self._task = self._tasks.start(self._run(), self._name)
        try:
            failure = await self._started
        except BaseException:
            await self._cancel()
            raise
        if failure:
            await self._cancel()
            raise HardlineError(f"{self._name}: the application did not start: {failure}", hint="mend its startup")

    async def stop(self, patience: float) -> None:
        """Tell it to shut down and wait `patience` seconds for that; then it is cancelled.  Idempotent."""
        if self._task is not None and not self._task.done():
            self._to_app.put_nowait({"type": "lifespan.shutdown"})
            await asyncio.wait([self._task], timeout=patience)
        await self._cancel()

    async def _run(self) -> None:
        scope: Scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        try:
            await self._app(scope, self._to_app.get, self._send)
        except BaseException as failure:
            if was_cancelled(failure):
                raise
            if self._is_up:
                log.warning("app.lifespan_failed", service=self._name, reason=repr(failure)[:_MOST])
            elif not isinstance(failure, Exception):  # which is none of those that know nothing of a lifespan
                self._tell(repr(failure)[:_MOST])
        self._tell("")

    async def _cancel(self) -> None:
        """An application may go on all the same: nobody waits for that."""
        if self._task is not None and await end_soon([self._task]):
            log.warning("app.lifespan_failed", service=self._name, reason="it goes on, though it was cancelled")

    async def _send(self, message: Message) -> None:
        match message["type"]:
            case "lifespan.startup.complete":
                self._tell("")
            case "lifespan.startup.failed":
                self._tell(_last_line(message.get("message", "")) or "it does not say why")
            case "lifespan.shutdown.failed":
                reason = _last_line(message.get("message", ""))
                log.warning("app.lifespan_failed", service=self._name, reason=reason or "it does not say why")

    @property
    def _is_up(self) -> bool:
        return self._started is not None and self._started.done() and not self._started.result()

    def _tell(self, failure: str) -> None:
        if self._started is not None and not self._started.done():
            self._started.set_result(failure)


def _last_line(text: str) -> str:
    """Of a traceback, what was raised."""
    lines = str(text).strip().splitlines()
    return one_line(lines[-1], _MOST) if lines else ""
