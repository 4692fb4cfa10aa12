"""Where the world may reach this node: what a host tells its visitors, who then know it when they have left the LAN.

    [Node] public ─┐
    interfaces ────┴─▶ Whereabouts ──▶ WANHosts in the host's hello (docs/PROTOCOL.md 7.3)

Nothing is asked of anybody, and nothing private is told: an address of this network means another machine elsewhere.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence

from hardline.discovery.interfaces import Address, InterfaceAddress, interface_addresses
from hardline.routes import Endpoint

MAX_TOLD = 8
_LOOK_EVERY = 5.0  # seconds

# Addresses of the Yggdrasil network, which the world has only with a program of its own: last.
_YGGDRASIL = ipaddress.IPv6Network("200::/7")


class Whereabouts:
    """The endpoints of this node, most wanted first.

    `public` is what the owner says, `port` the one that we listen on, `bind` the addresses that it is limited to.
    `now` is seconds on any monotonic clock.
    """

    def __init__(
        self,
        public: Sequence[Endpoint],
        bind: Sequence[str],
        port: Callable[[], int],
        now: Callable[[], float],
        addresses: Callable[[Sequence[str]], Iterable[InterfaceAddress]] = interface_addresses,
    ) -> None:
        self._public = tuple(public)
        self._bind = tuple(bind)
        self._port = port
        self._now = now
        self._addresses = addresses
        self._seen: tuple[str, ...] = ()
        self._look_at = now()

    def current(self) -> tuple[Endpoint, ...]:
        """At most MAX_TOLD."""
        if self._now() >= self._look_at:
            self._look_at = self._now() + _LOOK_EVERY
            self._seen = told_addresses(found.address for found in self._addresses(self._bind))
        own = (Endpoint(address, self._port()) for address in self._seen)
        return tuple(dict.fromkeys((*self._public, *own)))[:MAX_TOLD]


def told_addresses(addresses: Iterable[str]) -> tuple[str, ...]:
    """Those that lead to this machine from anywhere: IPv4, then IPv6, then Yggdrasil."""
    found = sorted({ipaddress.ip_address(text.partition("%")[0]) for text in addresses}, key=_order)
    return tuple(str(address) for address in found if _leads_here(address))


def _leads_here(address: Address) -> bool:
    return address in _YGGDRASIL or (address.is_global and not address.is_multicast)


def _order(address: Address) -> tuple[bool, int, int]:
    return address in _YGGDRASIL, address.version, int(address)
