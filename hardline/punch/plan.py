"""Whom a try connects to, and how often, without I/O.

    what the other side says ──▶ targets: at most 4, one of each address
                                 Patience: at most 6 packets that knock at one of them

What the other side and the relay say is only their word: nobody who did not ask for it may be knocked at much, and
no machine of our own network because of what somebody else calls it.  Source: docs/PROTOCOL.md, section 10.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hardline.addresses import Address, Kind, Way, kind_of, leads_to, refused
from hardline.punch.messages import Punch
from hardline.routes import HTTPS, LOWEST_TOLD, Endpoint

MOST_TARGETS = 4
MOST_NEAR = 1  # in the own network
MOST_REVERSED = 2
MOST_KNOCKS = 6  # packets to one target
FIRST_PAUSE, LONGEST_PAUSE = 0.04, 0.64  # seconds, the upper ends of what chance draws
_A_NETWORK_6 = 64  # bits: what one household has


@dataclass(frozen=True, slots=True)
class Ours:
    """The families, 4 and 6, that we can connect from, and whether both sides are `beside` each other, behind one
    address: not by what the other side says."""

    families: frozenset[int]
    beside: bool = False


def targets(theirs: Punch, ours: Ours, way_to: Callable[[Address], Way]) -> tuple[Endpoint, ...]:
    """Whom to connect to: by IPv6 first, then in the network that both are in, then where the world sees them."""
    far = [one for one in theirs.at if _is_told(one, way_to)]
    wanted = [one for one in far if _family(one) == 6]
    if ours.beside:
        wanted += [one for one in theirs.lan if _is_near(one, way_to)][:MOST_NEAR]
    wanted += [one for one in far if _family(one) == 4]
    return _one_each((one for one in wanted if _family(one) in ours.families), MOST_TARGETS)


def reversals(theirs: Punch, seen: Endpoint, way_to: Callable[[Address], Way]) -> tuple[Endpoint, ...]:
    """At which of those that are open to everybody to call the visitor: only where he is `seen`, or in the same /64."""
    return _one_each((one for one in theirs.open if _is_told(one, way_to) and _is_of(one, seen)), MOST_REVERSED)


def _is_told(one: Endpoint, way_to: Callable[[Address], Way]) -> bool:
    """The world can send there, it is not this machine, and nothing that waits for others is at such a port.

    No address in the clothes of another: each would be one more target of the same machine.
    """
    address = one.address
    if address is None or kind_of(address) is not Kind.PUBLIC or leads_to(address) != address or not _is_high(one):
        return False
    return refused(address, way_to(address)) is None


def _is_near(one: Endpoint, way_to: Callable[[Address], Way]) -> bool:
    """It is in a private network that we are attached to."""
    address = one.address
    if address is None or kind_of(address) is not Kind.PRIVATE or not _is_high(one):
        return False
    return way_to(address) is Way.ATTACHED


def _is_high(one: Endpoint) -> bool:
    return one.port >= LOWEST_TOLD or one.port == HTTPS


def _is_of(one: Endpoint, seen: Endpoint) -> bool:
    address, there = one.address, seen.address
    if address is None or there is None or address.version != there.version:
        return False
    bits = 0 if address.version == 4 else 128 - _A_NETWORK_6
    return int(address) >> bits == int(there) >> bits


def _family(one: Endpoint) -> int:
    return 6 if ":" in one.host else 4


def _one_each(wanted: Iterable[Endpoint], most: int) -> tuple[Endpoint, ...]:
    by_host: dict[str, Endpoint] = {}
    for one in wanted:
        by_host.setdefault(one.host, one)
    return tuple(by_host.values())[:most]


class Patience:
    """How often one target is knocked at, in one try."""

    def __init__(self) -> None:
        self._left = MOST_KNOCKS
        self._pause = FIRST_PAUSE

    @property
    def left(self) -> int:
        """Packets that may still go there; a connection is worth beginning with two."""
        return self._left

    def refused(self, after: float) -> None:
        """A connection that was begun `after` seconds ago was refused: the kernel had knocked once, and about once more
        for each second."""
        self._left -= 1 + int(after)

    def pause(self, chance: float) -> float:
        """Seconds until the next connection, by `chance` (0 to 1).

        Not always the same: two sides with the same pause would miss each other for ever.
        """
        pause, self._pause = self._pause * chance, min(2 * self._pause, LONGEST_PAUSE)
        return pause
