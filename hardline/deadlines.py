"""Times that are nearly always kept, for less than a timer each.

    add(one) ─▶ [one, another, …] ─ seconds later ─▶ expired(one)        Deadlines: one timer for many
                 └─ discard(one)
    with limit(seconds): await … ─ seconds later ─▶ TimeoutError         Limit: one timer for a task, again and again

A timer for each connection, or for each of its steps, costs more than what it guards.  Since all that have Deadlines
have the same time, who came first is due first.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Hashable
from types import TracebackType
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


class Limit:
    """How long the task that made it waits for something; not nested.

    Its timer is left where it is while it rings no later than it should: then it is set anew.
    """

    __slots__ = ("_due", "_loop", "_rang", "_rings", "_task", "_timer")

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None, "only a task can be told that its time is over"
        self._loop, self._task = asyncio.get_running_loop(), task
        self._due = self._rings = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._rang = False

    def __call__(self, seconds: float) -> Limit:
        """What is awaited in a `with` of it may take so many seconds from now on."""
        self._due = self._loop.time() + seconds
        self._set()
        return self

    def at_most(self, seconds: float) -> None:
        """No more than so many seconds from now on."""
        self._due = min(self._due, self._loop.time() + seconds)
        self._set()

    def close(self) -> None:
        """It is not used again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._due = math.inf
        if self._rang:
            self._rang = False
            if self._task.uncancel() <= 0 and kind is asyncio.CancelledError:
                raise TimeoutError from failure

    def _set(self) -> None:
        if self._timer is not None:
            if self._rings <= self._due:
                return
            self._timer.cancel()
        self._rings = self._due
        self._timer = self._loop.call_at(self._due, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._due == math.inf:
            return
        if self._loop.time() < self._due:
            self._set()
        else:
            self._rang = True
            self._task.cancel()
