"""What clients of the gateway asked, counted; without I/O.

Each request is a row of the last ones, and a count in its service's.  Services are those that the owner named: all of
it is bounded.  What stands behind a `?` is kept nowhere.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

LAST = 50


class Access(NamedTuple):
    """A request that was answered; `when` in seconds since 1970, `service` "" for a page of the gateway's own, `key`
    the name of a scraper's key, `sent` bytes of the answer's body; `method` and `target` "" of what was no request."""

    when: float
    client: str
    user: str
    key: str
    service: str
    method: str
    target: str
    status: int
    sent: int
    took: float


@dataclass(slots=True)
class Count:
    """The requests for one service: by the hundreds of their status, bytes of the answers, seconds that they took."""

    by_class: Counter[int] = field(default_factory=Counter)
    sent: int = 0
    took: float = 0.0

    @property
    def requests(self) -> int:
        """All of them."""
        return self.by_class.total()


class Accesses:
    """All since `since`, in seconds since 1970."""

    def __init__(self, since: float) -> None:
        self.since = since
        self._last: deque[Access] = deque(maxlen=LAST)
        self._counts: dict[str, Count] = {}

    def add(self, one: Access) -> None:
        """Count it."""
        self._last.append(one)
        if (count := self._counts.get(one.service)) is None:
            count = self._counts[one.service] = Count()
        count.by_class[one.status // 100] += 1
        count.sent += one.sent
        count.took += one.took

    @property
    def last(self) -> list[Access]:
        """The last ones, the newest at the end."""
        return list(self._last)

    @property
    def counts(self) -> Mapping[str, Count]:
        """By service; "" is what the gateway answered for itself."""
        return self._counts
