"""Connections that have not said yet who they are: so many at a time, and so many of one source; without I/O.

When there are too many the one leaves that waits longest among those who have most (crowd.py).
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from hardline.transport.crowd import Crowd, waits_beside
from hardline.transport.sources import networks

C = TypeVar("C", bound=Hashable)


class Newcomers(Generic[C]):
    """At most `most` of them, and `of_a_source` of one source."""

    def __init__(self, most: int, of_a_source: int) -> None:
        self._most, self._of_a_source = most, of_a_source
        self._here: Crowd[C] = Crowd()
        self._of_source: dict[str, dict[C, str]] = {}  # their addresses, in order of arrival

    def come(self, connection: C, address: str) -> list[C]:
        """One more from `address`.  Returns who leaves: the newcomer itself when nobody of its source has more."""
        leaving, his = list[C](), networks(address)
        beside = self._of_source.get(his[-1], {})
        if len(beside) >= self._of_a_source:
            if (one := waits_beside(beside, address)) is None:
                return [connection]
            leaving.append(one)
            self.known(one)
        if len(self._here) >= self._most:
            one = self._here.waits_longest()
            leaving.append(one)
            self.known(one)
        self._here.add(connection, his)
        self._of_source.setdefault(his[-1], {})[connection] = address
        return leaving

    def known(self, connection: C) -> None:
        """It has said who it is, or left."""
        if (his := self._here.discard(connection)) is not None:
            beside = self._of_source[his[-1]]
            del beside[connection]
            if not beside:
                del self._of_source[his[-1]]
