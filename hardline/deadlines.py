"""Things that all have the same time, and one timer for all of them.

    add(one) ─▶ [one, another, …] ─ seconds later ─▶ expired(one)
                 └─ discard(one)

A timer for each connection costs more than what it guards, nearly all the time.  Since all have the same time, who came
first is due first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Deadlines(Generic[T]):
    """Calls `expired` with what was added `seconds` ago and not discarded; never, for None."""

    def __init__(self, seconds: float | None, expired: Callable[[T], object]) -> None:
        self._seconds, self._expired = seconds, expired
        self._due: dict[T, float] = {}  # in the order of their times
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._due)

    def __contains__(self, one: T) -> bool:
        return one in self._due

    def add(self, one: T) -> None:
        """From now on its time runs, anew if it did already."""
        if self._seconds is None:
            return
        loop = asyncio.get_running_loop()
        self._due.pop(one, None)
        self._due[one] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._look)

    def discard(self, one: T) -> float | None:
        """Its time runs no more.  Returns when, by the loop, it would have been over; None where it did not run."""
        return self._due.pop(one, None)

    def close(self) -> list[T]:
        """Nobody's time runs any more.  Returns whose did."""
        left = list(self._due)
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return left

    def _look(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        over = []
        for one, due in self._due.items():
            if due > now:
                self._timer = loop.call_at(due, self._look)
                break
            over.append(one)
        for one in over:
            if self._due.pop(one, None) is not None:
                self._expired(one)
