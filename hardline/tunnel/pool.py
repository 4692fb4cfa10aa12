"""Several hosts with one certificate: which are known, and which candidates may lead to another one, without I/O.

Nearly every service has one host, and nobody pays for what it has not: that a host is alone is found out once in ALONE
seconds, by a search, and by a dial only where something was found that is not known to be the same host.  Where there
are several, or were LATELY, it is looked for those that are missing: soon after one was lost, then now and then.

Source: docs/PROTOCOL.md, section 7.6.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hardline.routes import Candidate, Endpoint, Handle, PathKind, Plain, Via

MAX_INSTANCES = 4  # hosts that one visitor has sessions with
ALONE, LATELY = 900.0, 3600.0  # seconds
SOON = (1.0, 5.0, 15.0)  # seconds before the first looks, and before those after a loss
NEAR, FAR = 20.0, 60.0  # seconds between the looks after them, by the LAN only, and everywhere
_KEPT = 16

Place = tuple[Endpoint, str]  # an endpoint, and the name that a relay has for the host, "" for none


@dataclass(frozen=True, slots=True)
class Held:
    """A session in use: the way that it took, the host, and where that says that it can be reached, too."""

    candidate: Candidate
    instance: str
    own: frozenset[Endpoint | Via] = frozenset()


class Pool:
    """What is known of the hosts of one key hash.  `now` is seconds on any monotonic clock."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}
        self._alone_since: float | None = None
        self.at: dict[Place, str] = {}  # who answered there
        self._refused: dict[Place, float] = {}  # until when nobody is asked there

    def seen(self, instance: str, now: float) -> None:
        """A host is there."""
        self._seen.pop(instance, None)
        self._seen[instance] = now
        while len(self._seen) > _KEPT:
            del self._seen[next(iter(self._seen))]

    def answered(self, candidate: Candidate, instance: str) -> None:
        """Whom a dial led to."""
        self.at.pop(place_of(candidate), None)
        self.at[place_of(candidate)] = instance
        while len(self.at) > _KEPT:
            del self.at[next(iter(self.at))]

    def refused(self, candidate: Candidate, now: float) -> None:
        """Whoever is there does not let us in: each time that is asked for may count as a guess."""
        self._refused.pop(place_of(candidate), None)
        self._refused[place_of(candidate)] = now + ALONE
        while len(self._refused) > _KEPT:
            del self._refused[next(iter(self._refused))]

    def worth_a_dial(self, found: Iterable[Candidate], held: Sequence[Held], now: float) -> list[Candidate]:
        """Those of `found` that may lead to another host than those that are `held`, best kind first."""
        asked = [one for one in found if self._refused.get(place_of(one), now) <= now]
        return worth_a_dial(asked, held, self.at)

    def looked(self, now: float) -> None:
        """All that was found was tried."""
        self._alone_since = now

    def is_one(self, now: float) -> bool:
        """No second host was seen lately."""
        return sum(now - at < LATELY for at in self._seen.values()) < 2

    def pause(self, now: float, looks: int, *, near: bool) -> float:
        """Seconds until it is time to look, after so many `looks` since the first session or the last loss."""
        if self.is_one(now) and self._alone_since is not None:
            return max(SOON[0], self._alone_since + ALONE - now)
        return SOON[looks] if looks < len(SOON) else NEAR if near else FAR


def place_of(candidate: Candidate) -> Place:
    """Where it leads, however it became known."""
    name = candidate.server_name
    return candidate.endpoint, name.name if isinstance(name, Handle) else ""


def is_shared(candidate: Candidate) -> bool:
    """Several hosts may be behind it, in turns: a relay that knows the service by its own name."""
    return candidate.kind is PathKind.RELAYED and not isinstance(candidate.server_name, Handle)


def worth_a_dial(found: Iterable[Candidate], held: Sequence[Held], at: Mapping[Place, str]) -> list[Candidate]:
    """Those of `found` that may lead to another host than those that are `held`, best kind first; `at` says who
    answered where."""
    chosen: dict[Place, Candidate] = {}
    for candidate in found:
        place = place_of(candidate)
        before = chosen.get(place)
        if _is_another(candidate, held, at) and (before is None or candidate.kind < before.kind):
            chosen[place] = candidate
    return sorted(chosen.values(), key=lambda one: (one.kind, not one.instance))


def _is_another(candidate: Candidate, held: Sequence[Held], at: Mapping[Place, str]) -> bool:
    if isinstance(candidate.server_name, Plain):
        return False
    if is_shared(candidate):
        return True
    place, kinds = place_of(candidate), dict[str, PathKind]()
    for one in held:
        kind = one.candidate.kind
        kinds[one.instance] = min(kind, kinds.get(one.instance, kind))
        if place_of(one.candidate) == place:
            return False
        if kind <= candidate.kind and _is_own(candidate, one):
            return False
    instance = candidate.instance or at.get(place, "")
    if instance in kinds:
        return candidate.kind < kinds[instance]
    if instance:
        return True
    # What may be the same host is looked for elsewhere (docs/PROTOCOL.md 9.7), or it answers there by each of its
    # addresses.
    if candidate.kind is not PathKind.RELAYED and all(kind is PathKind.RELAYED for kind in kinds.values()):
        return False
    near = {_network_of(one.candidate.endpoint) for one in held if one.candidate.kind is PathKind.LAN}
    return candidate.kind is not PathKind.LAN or not near or _network_of(candidate.endpoint) in near


def _is_own(candidate: Candidate, one: Held) -> bool:
    name = candidate.server_name
    where = Via(candidate.endpoint, name.name) if isinstance(name, Handle) else candidate.endpoint
    return where in one.own


def _network_of(endpoint: Endpoint) -> tuple[int, bool, str]:
    """What the addresses of one host on one network differ in: family, and the reach of IPv6."""
    address = endpoint.address
    if isinstance(address, ipaddress.IPv6Address):
        return 6, address.is_link_local, address.scope_id or ""
    return 4, False, ""
