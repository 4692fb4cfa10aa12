"""Where visitors say that they reached this node, and when they are believed, without I/O.

    hello {"reached": "198.51.100.7:7008"} from 203.0.113.9 ─┐
    hello {"reached": "198.51.100.7:7008"} from 192.0.32.5 ──┴─▶ agreed: 198.51.100.7:7008

One visitor alone could send everybody else anywhere; two that come from different networks and say the same must both
have come that way.  Source: docs/PROTOCOL.md, section 7.5.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable

from hardline.addresses import is_public
from hardline.errors import PeerError
from hardline.routes import Endpoint

LASTS = 86_400.0  # seconds that a word counts
MAX_ENDPOINTS, MAX_NETWORKS = 32, 8  # kept; of one endpoint
_NETWORK = {4: 16, 6: 32}  # bits that tell one network from another: what one customer or attacker rarely has two of


class Reached:
    """`now` is seconds on any monotonic clock."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._said: OrderedDict[Endpoint, dict[object, float]] = OrderedDict()

    def said(self, source: Endpoint, reached: str) -> bool:
        """A visitor at `source` told what it dialled; True when that made an endpoint agreed that was not before."""
        network = _network(source)
        try:
            endpoint = Endpoint.parse(reached)
        except PeerError:
            return False
        if network is None or not _is_public(endpoint):
            return False
        before = endpoint in self.agreed
        networks = self._said.setdefault(endpoint, {})
        networks.pop(network, None)
        networks[network] = self._now()
        while len(networks) > MAX_NETWORKS:
            del networks[next(iter(networks))]
        self._said.move_to_end(endpoint)
        while len(self._said) > MAX_ENDPOINTS:
            self._said.popitem(last=False)
        return not before and endpoint in self.agreed

    @property
    def agreed(self) -> tuple[Endpoint, ...]:
        """What two networks agree on, the one that was said last first."""
        since = self._now() - LASTS
        return tuple(
            endpoint
            for endpoint, networks in reversed(self._said.items())
            if sum(heard >= since for heard in networks.values()) >= 2
        )

    @property
    def heard(self) -> tuple[Endpoint, ...]:
        """What any visitor from outside said, the last first: that it is so, though one alone decides nothing."""
        since = self._now() - LASTS
        return tuple(at for at, networks in reversed(self._said.items()) if max(networks.values()) >= since)

    def forget(self) -> None:
        """This machine is in another network now: what was said was of the old one."""
        self._said.clear()


def _is_public(endpoint: Endpoint) -> bool:
    return is_public(endpoint.host)


def _network(source: Endpoint) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """Where a visitor came from, when that is the world and not our own site."""
    address = source.address
    if address is None or not _is_public(source):
        return None
    return ipaddress.ip_network((int(address), _NETWORK[address.version]), strict=False)
