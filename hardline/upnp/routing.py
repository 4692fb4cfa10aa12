"""Default gateways out of the kernel's tables, without I/O.

Source: Linux, /proc/net/route (addresses as host-order hex), /proc/net/ipv6_route and /proc/net/if_inet6.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

_UP, _GATEWAY = 0x1, 0x2
_TEMPORARY, _UNUSABLE = 0x01, 0x08 | 0x20 | 0x40  # failed, deprecated, tentative
MAX_LINES = 10_000


@dataclass(frozen=True, slots=True)
class OnInterface:
    """An address, and the interface of ours at which it is: of a default gateway, or our own."""

    address: str
    interface: str


def gateways_4(text: str) -> list[OnInterface]:
    """The IPv4 default gateways in /proc/net/route, the preferred one first."""
    found = []
    for line in text.splitlines()[1:MAX_LINES]:
        fields = line.split()
        try:
            name, destination, gateway, flags, metric, mask = (fields[i] for i in (0, 1, 2, 3, 6, 7))
            if int(destination, 16) or int(mask, 16) or int(flags, 16) & (_UP | _GATEWAY) != _UP | _GATEWAY:
                continue
            packed = struct.pack("=I", int(gateway, 16))
            found.append((int(metric), OnInterface(str(ipaddress.IPv4Address(packed)), name)))
        except (ValueError, IndexError, struct.error):
            continue
    return _preferred(found)


def gateways_6(text: str) -> list[OnInterface]:
    """The IPv6 default gateways in /proc/net/ipv6_route; a link-local one has its interface as scope."""
    found = []
    for line in text.splitlines()[:MAX_LINES]:
        fields = line.split()
        try:
            destination, prefix, hop, metric, flags, name = (fields[i] for i in (0, 1, 4, 5, 8, 9))
            if int(prefix, 16) or int(destination, 16) or int(flags, 16) & (_UP | _GATEWAY) != _UP | _GATEWAY:
                continue
            address = ipaddress.IPv6Address(int(hop, 16))
            scoped = f"{address}%{name}" if address.is_link_local else str(address)
            found.append((int(metric, 16), OnInterface(scoped, name)))
        except (ValueError, IndexError):
            continue
    return _preferred(found)


def lasting_6(text: str) -> list[OnInterface]:
    """Our own IPv6 addresses in /proc/net/if_inet6 that will stay: not those made to be forgotten (RFC 8981)."""
    found = []
    for line in text.splitlines()[:MAX_LINES]:
        fields = line.split()
        try:
            address, flags, name = fields[0], int(fields[4], 16), fields[5]
            if not flags & (_TEMPORARY | _UNUSABLE):
                found.append(OnInterface(str(ipaddress.IPv6Address(int(address, 16))), name))
        except (ValueError, IndexError):
            continue
    return found


def _preferred(found: list[tuple[int, OnInterface]]) -> list[OnInterface]:
    ordered = sorted(found, key=lambda entry: entry[0])
    return list(dict.fromkeys(gateway for _, gateway in ordered))
