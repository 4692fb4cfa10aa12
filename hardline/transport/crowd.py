"""Who gives way when there is no room left, without I/O.

    guests, the newcomer's networks ──gives_way──▶ the guest that leaves, or nobody: the newcomer does not come in

Whoever has most pays, counted by the widest network that they share (a /48, then a /56, then a /64; an IPv4 address is
alone).  Nobody pays for a newcomer that has more than he.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Networks = tuple[str, str, str]
Count = tuple[int, ...]

G = TypeVar("G")
H = TypeVar("H", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Seat(Generic[G]):
    """What counts of a guest: his networks, the widest first, whether he does something, when he last did (seconds)."""

    guest: G
    networks: Networks
    in_use: bool
    last_used: float


def gives_way(seats: Sequence[Seat[G]], newcomer: Networks) -> G | None:
    """Who leaves for somebody from `newcomer`; None when the newcomer is who has most, and all of his are in use.

    Of those who have most the one leaves that does nothing, for longest.  Who has as many as the newcomer will have
    leaves only when he does nothing.
    """
    count = _Counted([*(seat.networks for seat in seats), newcomer])
    his = count.of(newcomer)
    may_leave = [
        (crowd, not seat.in_use, -seat.last_used, -number)
        for number, seat in enumerate(seats)
        if (crowd := count.of(seat.networks)) > his or (crowd == his and not seat.in_use)
    ]
    return seats[-max(may_leave)[-1]].guest if may_leave else None


def waits_beside(waiting: Mapping[H, str], newcomer: str) -> H | None:
    """Of `waiting`, all of one source, by address and in order of arrival, who leaves for one more.

    None when no address has more of them than the newcomer's.
    """
    addresses = Counter(waiting.values())
    most = max(addresses.values())
    if most <= addresses[newcomer]:
        return None
    return next(one for one, address in waiting.items() if addresses[address] == most)


class Crowd(Generic[H]):
    """Those who wait, in order of arrival, counted as they come and go: a flood of them must not cost their number
    each time."""

    def __init__(self) -> None:
        self._here: dict[H, Networks] = {}
        self._widest, self._wider, self._source = (Counter[str]() for _ in range(3))
        self._sizes = Counter[int]()  # how many of the widest networks have so many
        self._most = 0  # of those

    def __len__(self) -> int:
        return len(self._here)

    def add(self, one: H, networks: Networks) -> None:
        """`one` is the last to come."""
        self._here[one] = networks
        widest, wider, source = networks
        self._wider[wider] += 1
        self._source[source] += 1
        self._widest[widest] = size = self._widest[widest] + 1
        self._sizes[size] += 1
        self._sizes[size - 1] -= 1
        self._most = max(self._most, size)

    def discard(self, one: H) -> Networks | None:
        """It has left; returns where it was from."""
        if (networks := self._here.pop(one, None)) is None:
            return None
        for counter, network in zip((self._widest, self._wider, self._source), networks, strict=True):
            counter[network] -= 1
            if not counter[network]:
                del counter[network]
        size = self._widest[networks[0]]
        self._sizes[size] += 1
        self._sizes[size + 1] -= 1
        if size + 1 == self._most and not self._sizes[self._most]:
            self._most = size
        return networks

    def waits_longest(self) -> H:
        """Who leaves when they are too many; there is somebody."""
        most, found, highest = self._most, list[H](), (0, 0)
        for one, (widest, wider, source) in self._here.items():
            if self._widest[widest] == most and (count := (self._wider[wider], self._source[source])) > highest:
                found, highest = [one], count
                if count == (most, most):
                    break  # nobody has more
        return found[0]


class _Counted:
    def __init__(self, everybody: Iterable[Networks]) -> None:
        self._counters: tuple[Counter[str], ...] = tuple(map(Counter, zip(*everybody, strict=True)))

    def of(self, networks: Networks) -> Count:
        return tuple(counter[network] for counter, network in zip(self._counters, networks, strict=True))
