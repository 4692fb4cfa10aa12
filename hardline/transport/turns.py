"""One piece of work in each turn of the event loop, in order of asking, so that others have the time between.

    ask(a), ask(b) ──▶ turn 1: a ──▶ whoever else is ready ──▶ turn 2: b

A handshake takes a millisecond or two of computing: thirty that come in at once would stop everybody for 50.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from weakref import WeakKeyDictionary


class Turns:
    """Those of one event loop: get it with `of_this_loop`."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()

    @classmethod
    def of_this_loop(cls) -> Turns:
        return _turns.setdefault(asyncio.get_running_loop(), cls())

    def ask(self, work: Callable[[], None]) -> None:
        """Do `work` in a turn of its own, soon."""
        self._waiting.append(work)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        work = self._waiting[0]
        try:
            work()
        finally:
            self._waiting.popleft()
            if self._waiting:
                asyncio.get_running_loop().call_soon(self._next)


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, Turns] = WeakKeyDictionary()
