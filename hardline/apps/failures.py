"""What applications do at their end: what they raise is their programmer's news, an event like any other, with where it
was raised; and what they do not end is not waited for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

REMOVED = "the service was removed"  # what its visitors are told from then on
AT_LAST = 1.0  # seconds that an application has to end once it was cancelled

SILENT = logging.Logger("uvicorn", logging.CRITICAL + 1)  # it tells strangers' malformed requests, and all twice

_logger = logging.getLogger("hardline")


def tell(service: str, failure: BaseException) -> None:
    """An application raised `failure`; handlers that show tracebacks get it."""
    fields = {"service": service, "reason": repr(failure)[:500]}
    _logger.warning("app.failed", exc_info=failure, extra={"fields": fields})


def was_cancelled(failure: BaseException) -> bool:
    """Whether the task that an application runs in was cancelled, rather than that something of its own was."""
    task = asyncio.current_task()
    return isinstance(failure, asyncio.CancelledError) and task is not None and task.cancelling() > 0


async def end_soon(tasks: Iterable[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    """Cancel them, and wait AT_LAST seconds; returns those that go on all the same."""
    left = {task for task in tasks if not task.done()}
    for task in left:
        task.cancel()
    if left:
        _, left = await asyncio.wait(left, timeout=AT_LAST)
    return left
