"""This machine's addresses, each with its interface and network."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import ifaddr

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True, order=True)
class InterfaceAddress:
    """One address of one interface."""

    name: str
    index: int
    address: str
    prefix: int

    @property
    def ip(self) -> Address:
        """The address, parsed; without scope."""
        return ipaddress.ip_address(self.address)

    @property
    def network(self) -> Network:
        """The subnet that is attached there."""
        return ipaddress.ip_network(f"{self.address}/{self.prefix}", strict=False)


def interface_addresses(bind: Sequence[str] = ()) -> frozenset[InterfaceAddress]:
    """All addresses of this machine, or those among `bind`."""
    found = set()
    for adapter in ifaddr.get_adapters():
        for entry in adapter.ips:
            text = entry.ip[0] if isinstance(entry.ip, tuple) else entry.ip
            found.add(InterfaceAddress(adapter.nice_name, adapter.index or 0, text, entry.network_prefix))
    return limited(found, bind)


def limited(found: Iterable[InterfaceAddress], bind: Sequence[str]) -> frozenset[InterfaceAddress]:
    """Those among `bind`, where it names any; a wildcard in it stands for its whole family."""
    wanted = {str(ipaddress.ip_address(text)) for text in bind}
    if not wanted:
        return frozenset(found)
    return frozenset(one for one in found if {"::" if ":" in one.address else "0.0.0.0", str(one.ip)} & wanted)
