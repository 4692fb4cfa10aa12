"""Work that blocks and may hang, in a thread for which nobody waits: not who has left, nor the program's end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """What `work` returns, or raises.  Safe to cancel: what it does goes on to its end, and is dropped."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Any] = loop.create_future()

    def settle(result: object, failure: Exception | None) -> None:
        if found.done():
            return
        if failure is not None:
            found.set_exception(failure)
        else:
            found.set_result(result)

    def do() -> None:
        result: object = None
        failure: Exception | None = None
        try:
            result = work()
        except Exception as wrong:
            failure = wrong
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=do, name="doctor", daemon=True).start()
    answer: T = await found
    return answer
