"""How many visits a relay has, of each name and of each source, and whether there may be one more.

    why_not ─ "" ─▶ began ──▶ it waits, then it is carried ──▶ ended
       └─ a reason: it is not taken

What is a public port's or domain's is nobody's secret: where all its places are taken, somebody gives way to others.
So does somebody of those who wait, where all their places are taken: their host need not mean to come.
Source: docs/PROTOCOL.md, section 9.6.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import Protocol, TypeVar

from hardline.allowance import Allowance
from hardline.relay.limits import RelayLimits
from hardline.relay.pair import Pair
from hardline.transport.crowd import Crowd, Seat, gives_way
from hardline.transport.descriptors import KEPT, scarce
from hardline.transport.sources import networks

MAX_WAITING = 1024  # visitors that wait
SOURCES_OF_A_NETWORK = 4  # all of whose places one /48 may have: it has 65 536 sources
DESCRIPTORS_LEFT = 4 * KEPT  # for all that is no visit: control connections, joins, this node's own


class FromSomewhere(Protocol):
    """A visitor that waits."""

    @property
    def source(self) -> str: ...


V = TypeVar("V", bound=FromSomewhere)
H = TypeVar("H", bound=Hashable)


class Visits:
    """Those of one relay; nobody new comes while it is `draining`, or what may pass this month is `used_up`."""

    def __init__(self, limits: RelayLimits) -> None:
        self._limits = limits
        self._of_name: Counter[str] = Counter()
        self._of_source: Counter[str] = Counter()
        self._of_network: Counter[str] = Counter()
        self._new = Allowance(4 * limits.new_pairs, limits.new_pairs)
        self.draining = self.used_up = False

    @property
    def names(self) -> tuple[str, ...]:
        """Those that have any."""
        return tuple(self._of_name)

    def why_not(self, name: str, source: str, makes_room: Callable[[], bool] | None) -> str:
        """Why there is no visit more of `name`; "" where there is.

        `makes_room` has somebody leave who is at a full one, and says whether there was anybody; None for one that is
        known to invited visitors only.
        """
        if self.draining or self.used_up:
            return "drain" if self.draining else "monthly"
        most = self._limits.pairs if makes_room is None else self._limits.pairs_of_port
        is_full = self._of_name.get(name, 0) >= most
        if is_full and makes_room is None:
            return "pairs"
        if self._of_source.get(source, 0) >= self._limits.pairs_per_source:
            return "pairs_per_source"
        if self._of_network.get(_network(source), 0) >= SOURCES_OF_A_NETWORK * self._limits.pairs_per_source:
            return "pairs_per_network"
        if scarce(DESCRIPTORS_LEFT):
            return "descriptors"
        if not self._new.take(source, asyncio.get_running_loop().time()):
            return "new_pairs"
        return "pairs" if is_full and makes_room is not None and not makes_room() else ""

    def began(self, name: str, source: str) -> None:
        """One more."""
        for counted, whose in self._counts(name, source):
            counted[whose] += 1

    def ended(self, name: str, source: str) -> None:
        """One less."""
        for counted, whose in self._counts(name, source):
            counted[whose] -= 1
            if not counted[whose]:
                del counted[whose]

    def _counts(self, name: str, source: str) -> tuple[tuple[Counter[str], str], ...]:
        return (self._of_name, name), (self._of_source, source), (self._of_network, _network(source))


def wait_in(room: Crowd[H], one: H, address: str, turn_away: Callable[[H], None], refusals: Counter[str]) -> None:
    """Have `one` from `address` wait beside the others in `room`, where it is until `discard`.

    Where MAX_WAITING do, who does so for longest of the network that has most of them is turned away.
    """
    if len(room) >= MAX_WAITING:
        refusals["waiting"] += 1
        turn_away(room.waits_longest())
    room.add(one, networks(address))


def makes_room(here: Iterable[V | Pair], address: str, turn_away: Callable[[V], None], refusals: Counter[str]) -> bool:
    """Have one of those who are at a full name give way to somebody from `address`: whether there was anybody to.

    Whoever waits is turned away, a pair is cut; it is counted in `refusals`.
    """
    seats = [Seat(one, networks(_address(one.source)), in_use=True, last_used=0.0) for one in here]
    leaving = gives_way(seats, networks(address))
    if leaving is None:
        return False
    refusals["gave_way"] += 1
    if isinstance(leaving, Pair):
        leaving.close(reset=True)
    else:
        turn_away(leaving)
    return True


def _network(source: str) -> str:
    """The widest that it lies in."""
    return networks(_address(source))[0]


def _address(source: str) -> str:
    return source.partition("/")[0]
