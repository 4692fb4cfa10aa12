"""What an address that a router claims to have is worth, without I/O.

    "203.0.113.9" ──judge──▶ External(address, kind) ── kind PUBLIC: published; any other: said, with its reason

The tables are IANA's registries of special addresses, written out: what Python knows of them changes with its version.
Carrier addresses are 100.64.0.0/10 (RFC 6598) and 192.0.0.0/24 (DS-Lite, RFC 6333).
"""

from __future__ import annotations

import enum
import ipaddress
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_TEXT = 64


class Kind(enum.Enum):
    """What is known of an external address; the value is how people read it."""

    PUBLIC = "public"
    NONE = "none"
    PRIVATE = "private"
    CARRIER = "carrier NAT"
    LOOPBACK = "loopback"
    LINK_LOCAL = "link-local"
    MULTICAST = "multicast"
    DOCUMENTATION = "documentation"
    RESERVED = "reserved"
    NONSENSE = "not an address"


@dataclass(frozen=True, slots=True)
class External:
    """An address as the router told it.  `address` is None where that was none at all."""

    address: Address | None
    kind: Kind

    @property
    def public(self) -> bool:
        """Whether the world can send to it."""
        return self.kind is Kind.PUBLIC

    def __str__(self) -> str:
        return str(self.address) if self.address else ""


_SPECIAL_4 = (
    (Kind.NONE, "0.0.0.0/32"),
    (Kind.PRIVATE, "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16"),
    (Kind.CARRIER, "100.64.0.0/10 192.0.0.0/24"),
    (Kind.LOOPBACK, "127.0.0.0/8"),
    (Kind.LINK_LOCAL, "169.254.0.0/16"),
    (Kind.DOCUMENTATION, "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24"),
    (Kind.MULTICAST, "224.0.0.0/4"),
    (
        Kind.RESERVED,
        "0.0.0.0/8 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.175.48.0/24 198.18.0.0/15 240.0.0.0/4",
    ),
)
# Only 2000::/3 is routed.  In it: documentation, protocol assignments with Teredo, and 6to4, which nobody carries now.
_SPECIAL_6 = (
    (Kind.NONE, "::/128"),
    (Kind.LOOPBACK, "::1/128"),
    (Kind.PRIVATE, "fc00::/7"),
    (Kind.LINK_LOCAL, "fe80::/10"),
    (Kind.MULTICAST, "ff00::/8"),
    (Kind.DOCUMENTATION, "2001:db8::/32 3fff::/20"),
    (Kind.RESERVED, "2001::/23 2002::/16"),
)
_ROUTED_6 = ipaddress.IPv6Network("2000::/3")
_TABLE = [
    (kind, ipaddress.ip_network(network))
    for special in (_SPECIAL_4, _SPECIAL_6)
    for kind, networks in special
    for network in networks.split()
]


def judge(text: str) -> External:
    """Say what the address in `text` is.  Never raises."""
    words = text[: MAX_TEXT + 1].strip()
    if not words:
        return External(None, Kind.NONE)
    try:
        address = ipaddress.ip_address(words)
    except ValueError:
        return External(None, Kind.NONSENSE)
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id:
            return External(None, Kind.NONSENSE)
        if address.ipv4_mapped:
            return judge(str(address.ipv4_mapped))
    for kind, network in _TABLE:
        if address.version == network.version and address in network:
            return External(address, kind)
    if address.version == 6 and address not in _ROUTED_6:
        return External(address, Kind.RESERVED)
    return External(address, Kind.PUBLIC)
