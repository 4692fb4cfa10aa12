"""Where the world may reach this node: what a host publishes, and tells its visitors, who then know it elsewhere.

    [Node] public, else the router, else what visitors agree on, else what a relay saw, else [Node] ip_service ─┐
    this machine's own public addresses ────────────────────────────────────────────────────────────────────────┴─▶

Nothing is asked of anybody here, and nothing private is told: an address of this network means another machine
elsewhere.  Source: docs/PROTOCOL.md, sections 7.3 and 7.5.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence

from hardline.addresses import Address, Kind, kind_of
from hardline.discovery.interfaces import InterfaceAddress
from hardline.routes import Endpoint

MAX_TOLD = 8
OWN = "its own address"


class Whereabouts:
    """The endpoints of this node, most wanted first.

    `sources` are what knows how the world sees us, by name, the most trusted first: the first one that knows something
    decides.  `port` is the one that we listen on, `addresses` those of this machine that count.
    """

    def __init__(
        self,
        sources: Mapping[str, Callable[[], Sequence[Endpoint]]],
        port: Callable[[], int],
        addresses: Callable[[], Iterable[InterfaceAddress]],
    ) -> None:
        self._sources = dict(sources)
        self._port = port
        self._addresses = addresses

    def current(self) -> tuple[Endpoint, ...]:
        """At most MAX_TOLD."""
        return tuple(self.explained())

    def explained(self) -> dict[Endpoint, str]:
        """The same, each with the name of the source that knows it."""
        found: dict[Endpoint, str] = {}
        for name, source in self._sources.items():
            if endpoints := source():
                found = dict.fromkeys(endpoints, name)
                break
        for address in told_addresses(one.address for one in self._addresses()):
            found.setdefault(Endpoint(address, self._port()), OWN)
        return dict(list(found.items())[:MAX_TOLD])


def told_addresses(addresses: Iterable[str]) -> tuple[str, ...]:
    """Those that lead to this machine from anywhere: IPv4, then IPv6, then Yggdrasil, which few can use."""
    found = sorted({ipaddress.ip_address(text.partition("%")[0]) for text in addresses}, key=_order)
    return tuple(str(address) for address in found if _leads_here(address))


def _leads_here(address: Address) -> bool:
    return kind_of(address) in (Kind.PUBLIC, Kind.YGGDRASIL)


def _order(address: Address) -> tuple[bool, int, int]:
    return kind_of(address) is Kind.YGGDRASIL, address.version, int(address)
