"""This machine's addresses, each with its interface and network."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
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
    """All addresses of this machine, or those among `bind`; a wildcard in `bind` stands for its whole family."""
    wanted = {str(ipaddress.ip_address(text)) for text in bind}
    found = set()
    for adapter in ifaddr.get_adapters():
        for entry in adapter.ips:
            text = entry.ip[0] if isinstance(entry.ip, tuple) else entry.ip
            wildcard = "::" if ":" in text else "0.0.0.0"
            if not wanted or wildcard in wanted or str(ipaddress.ip_address(text)) in wanted:
                found.add(InterfaceAddress(adapter.nice_name, adapter.index or 0, text, entry.network_prefix))
    return frozenset(found)
