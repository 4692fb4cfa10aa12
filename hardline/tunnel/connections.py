"""Who has a connection to a service that takes only so many ([Service] max_connections), without I/O.

    enter(ticket, source, visitor) ──▶ True: it has a place      False: it waits
    leave(ticket), which waits or has one ──▶ the tickets that have got one now

A source has at most as many places as it leaves free, and a visitor who has two leaves his source another: whoever
holds all that he gets, others still find some.  Of those that wait the source goes first that has fewest, and of its
visitors the one who has fewest; where that is the same, who had none for longest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)
Owner = tuple[str, object]  # a source, and a visitor of it


class Connections(Generic[T]):
    """The places of one service; `limit` is how many."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._owners: dict[T, Owner] = {}  # of those that have a place
        self._held: Counter[str | Owner] = Counter()
        self._waiting: dict[str, dict[object, dict[T, None]]] = {}
        self._waits_as: dict[T, Owner] = {}

    def enter(self, ticket: T, source: str, visitor: object) -> bool:
        """`visitor` of `source` wants a place.  False: not yet, `leave` or `resize` will return `ticket`."""
        if self._may_have_one(source, visitor):
            self._take(ticket, (source, visitor))
            return True
        self._waiting.setdefault(source, {}).setdefault(visitor, {})[ticket] = None
        self._waits_as[ticket] = source, visitor
        return False

    def leave(self, ticket: T) -> list[T]:
        """`ticket` needs its place no more, or waits no more.  Returns who has got one now.  Idempotent."""
        if ticket in self._waits_as:
            self._wait_no_more(ticket)
            return []
        if (owner := self._owners.pop(ticket, None)) is None:
            return []
        for holder in (owner[0], owner):
            self._held[holder] -= 1
            if not self._held[holder]:
                del self._held[holder]
        return self._admit()

    def resize(self, limit: int) -> list[T]:
        """Have `limit` places from now on; nobody loses one.  Returns who has got one now."""
        self.limit = limit
        return self._admit()

    def _admit(self) -> list[T]:
        admitted = []
        while may_come := [
            (source, visitor)
            for source, visitors in self._waiting.items()
            for visitor in visitors
            if self._may_have_one(source, visitor)
        ]:
            owner = source, visitor = min(may_come, key=lambda one: (self._held[one[0]], self._held[one]))
            ticket = next(iter(self._waiting[source][visitor]))
            self._wait_no_more(ticket)
            self._go_last(source, visitor)
            self._take(ticket, owner)
            admitted.append(ticket)
        return admitted

    def _wait_no_more(self, ticket: T) -> None:
        source, visitor = self._waits_as.pop(ticket)
        visitors = self._waiting[source]
        del visitors[visitor][ticket]
        if not visitors[visitor]:
            del visitors[visitor]
        if not visitors:
            del self._waiting[source]

    def _go_last(self, source: str, visitor: object) -> None:
        if (visitors := self._waiting.pop(source, None)) is not None:
            if (tickets := visitors.pop(visitor, None)) is not None:
                visitors[visitor] = tickets
            self._waiting[source] = visitors

    def _may_have_one(self, source: str, visitor: object) -> bool:
        free, held = self.limit - len(self._owners), self._held[source]
        if free <= 0 or (held and held >= free):
            return False
        return self._held[source, visitor] < 2 or held + 1 < free - 1

    def _take(self, ticket: T, owner: Owner) -> None:
        self._owners[ticket] = owner
        self._held[owner[0]] += 1
        self._held[owner] += 1
