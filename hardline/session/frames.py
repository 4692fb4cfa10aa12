"""How many frames of peers are looked at in one turn of the event loop: one budget for all sessions.

    a read ──allowed──▶ so many at once        the rest ──wait──▶ in later turns, a few of each source at a time

Thousands of frames fit into one read, and a stranger has as many sessions as he likes: what one of them brings must
not make the others wait, nor must hundreds together.  Sources take turns, and then the sessions of each.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from weakref import WeakKeyDictionary

from hardline.native.books import Budget

AT_ONCE = 32  # of a read, as it comes
BUDGET = 64  # a turn: for reads as they come, and as much again for those that wait
IN_TURN = 16  # of a session that waits

Work = Callable[[int], int]


class FrameTurns(Budget):
    """Those of one event loop: get it with `of_this_loop`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.left = BUDGET
        self.waiting: OrderedDict[str, deque[Work]] = OrderedDict()  # by source
        self._next_turn_due = False

    @classmethod
    def of_this_loop(cls) -> FrameTurns:
        loop = asyncio.get_running_loop()
        found = _turns.get(loop)
        if found is None:
            found = _turns[loop] = cls()
        return found

    def allowed(self, source: str) -> int:
        """How many frames of a read from `source` may be looked at now; 0 while others of `source` wait."""
        return 0 if source in self.waiting else min(self.left, AT_ONCE)

    def looked(self, count: int) -> None:
        """So many were."""
        self.left -= count
        if self.left < AT_ONCE:  # not in every turn: most bring a frame or two
            self._plan()

    def wait(self, source: str, work: Work, *, again: bool = False) -> None:
        """Call `work` in a later turn with how many frames it may look at; it returns how many it did.

        A session that comes `again`, since that was not enough, lets others of its source go first.
        """
        waiting = self.waiting.setdefault(source, deque())
        if again:
            waiting.append(work)
        else:
            waiting.appendleft(work)
        self._plan()

    def _plan(self) -> None:
        if not self._next_turn_due:
            self._next_turn_due = True
            self._loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._next_turn_due = False
        self.left = left = BUDGET
        try:
            while left > 0 and self.waiting:
                source, waiting = self.waiting.popitem(last=False)
                work = waiting.popleft()
                if waiting:
                    self.waiting[source] = waiting
                left -= work(min(left, IN_TURN) if self.waiting else left)
        finally:
            if self.waiting:
                self._plan()


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, FrameTurns] = WeakKeyDictionary()
