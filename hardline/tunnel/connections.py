"""Who has a connection to a service that takes only so many ([Service] max_connections), without I/O.

    enter(source, ticket) ──▶ True: it has a place      False: it waits
    leave(source) ──▶ the tickets whose turn it is now

A source has at most as many places as it leaves free: whoever holds all that he gets, another one still finds some.
Of those that wait the source goes first that has fewest.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")


class Connections(Generic[T]):
    """The places of one service; `limit` is how many."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held: Counter[str] = Counter()
        self._taken = 0
        self._waiting: OrderedDict[T, str] = OrderedDict()

    def enter(self, source: str, ticket: T) -> bool:
        """`source` wants a place.  False: not yet, `leave` will return `ticket`, unless it gives up."""
        if source not in self._waiting.values() and self._may_have_one(source):
            self._take(source)
            return True
        self._waiting[ticket] = source
        return False

    def give_up(self, ticket: T) -> None:
        """Who waited does so no more."""
        self._waiting.pop(ticket, None)

    def leave(self, source: str) -> list[T]:
        """`source` needs one of its places no more.  Returns who has got one now."""
        self._held[source] -= 1
        self._taken -= 1
        if not self._held[source]:
            del self._held[source]
        return self._admit()

    def resize(self, limit: int) -> list[T]:
        """Have `limit` places from now on; nobody loses one.  Returns who has got one now."""
        self.limit = limit
        return self._admit()

    def _admit(self) -> list[T]:
        admitted = []
        while may_come := [one for one, source in self._waiting.items() if self._may_have_one(source)]:
            ticket = min(may_come, key=lambda one: self._held[self._waiting[one]])
            self._take(self._waiting.pop(ticket))
            admitted.append(ticket)
        return admitted

    def _may_have_one(self, source: str) -> bool:
        free = self.limit - self._taken
        return free > 0 and (self._held[source] < free or not self._held[source])

    def _take(self, source: str) -> None:
        self._held[source] += 1
        self._taken += 1
