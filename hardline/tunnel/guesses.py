"""How often a password may be guessed, and what is said of it in the log, without I/O.

    a hello with a password ──wait──▶ 0: it is judged; right, or `wrong`        so many seconds: it is refused unread

    an address ──▶ 5 wrong ones, then one in 10 s    its /64 ──▶ 20, 8 s    its /56 ──▶ 40, 7 s    its /48 ──▶ 60, 6 s
    a machine of an attached network, by whichever of its addresses ──▶ 8, 9 s

Every wrong one counts in all networks of who guessed.  All that ever guessed wrong have sixty a minute of one service
together.  Whose widest network has not is never refused, whatever others do; nor is, while its own allowance lasts, an
address that gave the right word lately, whatever its neighbours do.  What is remembered is bounded: those that guessed
last stay.  `now` is seconds on any monotonic clock.  Source: docs/PROTOCOL.md, section 4.3.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

# Guesses at once, and seconds until there is one more: of an address, and of the ever wider networks around it.  The
# wider one gains faster, so that nobody empties it from inside a single narrower one.
ALLOWED = ((5, 10.0), (20, 8.0), (40, 7.0), (60, 6.0))
OF_A_MACHINE, MACHINE_EVERY = 8, 9.0  # it has one address of each family at least, and another one that is link-local
OF_A_SERVICE, SERVICE_EVERY = 60, 1.0
REMEMBERED = 3600.0  # seconds after its last wrong guess that a network is known by
PROVEN_FOR = 86_400.0  # seconds after the right word
MAX_NETWORKS = 8192  # of a service
MAX_PROVEN = 1024
MAX_SERVICES = 1024
TELL_AFTER = 5  # wrong guesses: somebody who mistypes is no news
TELL_EVERY = 3600.0


class Guesses:
    """Those of all services.

    A service is any key, another one when its password changes: who gave the old one has proven nothing.  `networks`
    are an address and what is around it, the narrowest first (transport.sources.around); `machine` is whose address
    that is, "" where nobody knows (neighbours.machine_at).
    """

    def __init__(self) -> None:
        self._services: OrderedDict[Hashable, _Service] = OrderedDict()

    def wait(self, service: Hashable, networks: Sequence[str], now: float, machine: str = "") -> float:
        """Seconds until a guess from `networks` is judged; 0: now."""
        if (known := self._services.get(service)) is None:
            return 0.0
        proven = now - known.proven.get(networks[0], -math.inf) < PROVEN_FOR
        buckets = [
            bucket
            for network in (networks[:1] if proven else (*networks, _named(machine)))
            if (bucket := known.networks.get(network)) is not None and now - bucket.filled < REMEMBERED
        ]
        if buckets and not proven:
            buckets.append(known.bucket)
        return max((bucket.wait(now) for bucket in buckets), default=0.0)

    def right(self, service: Hashable, networks: Sequence[str], now: float) -> None:
        """The right word came from `networks`."""
        _keep(self._service(service, now).proven, networks[0], now, MAX_PROVEN)

    def wrong(self, service: Hashable, networks: Sequence[str], now: float, machine: str = "") -> int:
        """A wrong one came from `networks`.  How many the owner is to be told of now; 0: none."""
        known, counted = self._service(service, now), list(zip(networks, ALLOWED, strict=False))
        if machine:
            counted.append((_named(machine), (OF_A_MACHINE, MACHINE_EVERY)))
        for network, (most, every) in counted:
            bucket = known.networks.get(network) or _Bucket(most, every, now)
            bucket.take(now)
            _keep(known.networks, network, bucket, MAX_NETWORKS)
        known.bucket.take(now)
        known.untold += 1
        return self.untold(service, now) if known.untold >= TELL_AFTER else 0

    def untold(self, service: Hashable, now: float) -> int:
        """How many the owner has not been told of and may be told of now, which this counts as done."""
        known = self._services.get(service)
        if known is None or now < known.tell_at:
            return 0
        count, known.untold = known.untold, 0
        if count:
            known.tell_at = now + TELL_EVERY
        return count

    def _service(self, service: Hashable, now: float) -> _Service:
        known = self._services.get(service) or _Service(_Bucket(OF_A_SERVICE, SERVICE_EVERY, now))
        _keep(self._services, service, known, MAX_SERVICES)
        return known


def _named(machine: str) -> str:
    """What no address is called."""
    return f"machine {machine}"


def _keep(table: OrderedDict[K, V], key: K, value: V, most: int) -> None:
    """Set as the newest; the oldest goes when there are more than `most`."""
    table[key] = value
    table.move_to_end(key)
    if len(table) > most:
        table.popitem(last=False)


class _Bucket:
    """Holds `most`, and gains one every `every` seconds."""

    __slots__ = ("_every", "_left", "_most", "filled")

    def __init__(self, most: int, every: float, now: float) -> None:
        self._most, self._every = most, every
        self._left = float(most)
        self.filled = now

    def wait(self, now: float) -> float:
        left = self._left_at(now)
        return 0.0 if left >= 1 else (1 - left) * self._every

    def take(self, now: float) -> None:
        self._left = max(self._left_at(now) - 1, 0.0)
        self.filled = now

    def _left_at(self, now: float) -> float:
        return min(float(self._most), self._left + (now - self.filled) / self._every)


@dataclass(slots=True)
class _Service:
    bucket: _Bucket
    networks: OrderedDict[str, _Bucket] = field(default_factory=OrderedDict)
    proven: OrderedDict[str, float] = field(default_factory=OrderedDict)  # addresses, and since when
    untold: int = 0
    tell_at: float = -math.inf
