"""Work that waits for a disk, away from the event loop, without losing what it opened.

    answer ── off_loop(work, discard) ──▶ thread ──▶ result ──▶ answer
                                                      └─ the visitor has left meanwhile ──▶ discard(result)

A disk can be asleep, or at the other end of a network that is down: its threads are its own, so that nothing else in
the daemon waits for one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_THREADS = 16
_pool = ThreadPoolExecutor(_THREADS, "disk")


async def off_loop(work: Callable[[], T], discard: Callable[[T], object]) -> T:
    """Run `work` in a thread.  Cancelled, it goes on to its end, and its result goes to `discard`."""
    future = asyncio.get_running_loop().run_in_executor(_pool, work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        future.add_done_callback(lambda done: None if done.cancelled() or done.exception() else discard(done.result()))
        raise


class Shift:
    """Work on one thing in threads, piece after piece; `release` is called at the end, but never while a piece runs."""

    def __init__(self, release: Callable[[], object]) -> None:
        self._release = release
        self._piece: asyncio.Future[object] | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """One piece.  Cancelled, it goes on to its end."""
        future = asyncio.get_running_loop().run_in_executor(_pool, work)
        self._piece = future  # type: ignore[assignment]
        return await asyncio.shield(future)

    def end(self) -> None:
        """There are no more pieces."""
        if self._piece is None or self._piece.done():
            self._release()
        else:
            self._piece.add_done_callback(lambda _: self._release())
