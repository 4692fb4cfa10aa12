"""This machine's addresses, each with its interface and network, and how much depends on it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from hardline.machine import addresses, has_carrier, is_made, routes

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True, order=True)
class InterfaceAddress:
    """One address of one interface.

    `rank` is the smaller the more depends on the interface: first those with a default route, then those that lead out
    of the computer, then what is only in it, and last what is not plugged in.  `of_note`: others may be reached there,
    and not only programs in containers of this computer.
    """

    name: str
    index: int
    address: str
    prefix: int
    rank: int = field(default=0, compare=False)
    of_note: bool = field(default=True, compare=False)

    @property
    def ip(self) -> Address:
        """The address, parsed; without scope."""
        return ipaddress.ip_address(self.address)

    @property
    def network(self) -> Network:
        """The subnet that is attached there."""
        return ipaddress.ip_network(f"{self.address}/{self.prefix}", strict=False)


def interface_addresses(bind: Sequence[str] = ()) -> frozenset[InterfaceAddress]:
    """All addresses of this machine, or those among `bind`.  Blocks for a moment."""
    held = addresses()
    leading = {route.interface for route in routes()}
    names = {one.interface for one in held}
    made = {name for name in names if name not in leading and is_made(name)}
    unplugged = {name for name in names if not has_carrier(name)}
    inside = {one.interface for one in held if ipaddress.ip_address(one.address).is_loopback}
    # A container knows nothing but what is made: there that is the network.
    noted = names - made if names - made - inside else names

    def rank(name: str) -> int:
        return 3 if name in unplugged else 0 if name in leading else 2 if name in made else 1

    found = (InterfaceAddress(*one, rank(one.interface), one.interface in noted) for one in held)
    return limited(found, bind)


def by_importance(found: Iterable[InterfaceAddress]) -> list[InterfaceAddress]:
    """Those first on which most depends."""
    return sorted(found, key=lambda one: (one.rank, one))


def limited(found: Iterable[InterfaceAddress], bind: Sequence[str]) -> frozenset[InterfaceAddress]:
    """Those among `bind`, where it names any; a wildcard in it stands for its whole family."""
    wanted = {str(ipaddress.ip_address(text)) for text in bind}
    if not wanted:
        return frozenset(found)
    return frozenset(one for one in found if {"::" if ":" in one.address else "0.0.0.0", str(one.ip)} & wanted)
