"""A run queue: one piece of work in each turn of the event loop, its sources one after the other, and others have the
time between.

    ask(a1, A), ask(a2, A), ask(b1, B) ──▶ turn 1: a1 ──▶ whoever else is ready ──▶ turn 2: b1 ──▶ … ──▶ turn 3: a2

A handshake takes a millisecond or two of computing, a page for what is no request half of one: thirty that come in at
once would stop everybody for 50, and who brings hundreds makes nobody wait for more than one of them.  It is not for
work of every day: with one small request a turn a file service served half as many.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from weakref import WeakKeyDictionary


class Turns:
    """Those of one event loop: get it with `of_this_loop`."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[Callable[[], object]]] = (
            OrderedDict()
        )  # by source, as they have their turn
        self._under_way = False

    @classmethod
    def of_this_loop(cls) -> Turns:
        return _turns.setdefault(asyncio.get_running_loop(), cls())

    def ask(self, work: Callable[[], None], source: str) -> None:
        """Do `work` in a turn of its own, soon; `source` is who brought it (sources.py)."""
        self._waiting.setdefault(source, deque()).append(work)
        if not self._under_way:
            self._under_way = True
            asyncio.get_running_loop().call_soon(self._next)

    async def mine(self, source: str) -> None:
        """Return in a turn of its own."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def come() -> None:
            if not turn.done():
                turn.set_result(None)

        self.ask(come, source)
        await turn

    def _next(self) -> None:
        source, works = self._waiting.popitem(last=False)
        work = works.popleft()
        if works:
            self._waiting[source] = works
        try:
            work()
        finally:
            self._under_way = bool(self._waiting)
            if self._under_way:
                asyncio.get_running_loop().call_soon(self._next)


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, Turns] = WeakKeyDictionary()
