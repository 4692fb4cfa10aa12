"""Connections that have not said yet who they are: so many at a time, and so many of one source; without I/O.

When there are too many the one leaves that waits longest among those who have most (crowd.py).
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from hardline.transport.crowd import waits_beside, waits_longest
from hardline.transport.sources import networks, source_of

C = TypeVar("C", bound=Hashable)


class Newcomers(Generic[C]):
    """At most `most` of them, and `of_a_source` of one source."""

    def __init__(self, most: int, of_a_source: int) -> None:
        self._most, self._of_a_source = most, of_a_source
        self._here: dict[C, str] = {}  # their addresses, in order of arrival

    def come(self, connection: C, address: str) -> list[C]:
        """One more from `address`.  Returns who leaves: the newcomer itself when nobody of its source has more."""
        leaving, source = list[C](), source_of(address)
        beside = {other: host for other, host in self._here.items() if source_of(host) == source}
        if len(beside) >= self._of_a_source:
            if (one := waits_beside(beside, address)) is None:
                return [connection]
            leaving.append(one)
            del self._here[one]
        if len(self._here) >= self._most:
            one = waits_longest({other: networks(host) for other, host in self._here.items()})
            leaving.append(one)
            del self._here[one]
        self._here[connection] = address
        return leaving

    def known(self, connection: C) -> None:
        """It has said who it is, or left."""
        self._here.pop(connection, None)
