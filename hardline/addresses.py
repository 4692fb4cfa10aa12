"""What an IP address is: public, private, of this computer …; without I/O.

    "::ffff:192.168.1.9" ──parse──▶ address ──kind_of──▶ what is written
                                       └──leads_to──▶ 192.168.1.9 ──kind_of──▶ where packets end up

The one table for all that judge addresses: what is told to the world, what is believed of others, what is dialled.  It
is IANA's registries of special addresses, written out: what Python knows of them changes with its version.  Forms in
which an IPv4 address is dressed as IPv6: mapped and compatible (RFC 4291, 2.5.5), translated (RFC 2765), 6to4
(RFC 3056) and NAT64 (RFC 6052).  Carrier addresses are 100.64.0.0/10 (RFC 6598) and 192.0.0.0/24 (DS-Lite, RFC 6333).
"""

from __future__ import annotations

import enum
import ipaddress
from functools import lru_cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Kind(enum.Enum):
    """What is known of an address; the value is how people read it."""

    PUBLIC = "public"
    NONE = "none"
    PRIVATE = "private"
    CARRIER = "carrier NAT"
    LOOPBACK = "loopback"
    LINK_LOCAL = "link-local"
    MULTICAST = "multicast"
    DOCUMENTATION = "documentation"
    YGGDRASIL = "Yggdrasil"  # which the world has only with a program of its own
    RESERVED = "reserved"
    NONSENSE = "not an address"  # of texts


class Way(enum.Enum):
    """How this computer's kernel would send to an address."""

    HERE = "this computer"
    ATTACHED = "an attached network"
    ROUTED = "a route of its own"  # a VPN, a site with routers
    DEFAULT = "the default route"
    NOWHERE = "no route"


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
    (Kind.PRIVATE, "fc00::/7 fec0::/10 64:ff9b:1::/48"),
    (Kind.LINK_LOCAL, "fe80::/10"),
    (Kind.MULTICAST, "ff00::/8"),
    (Kind.DOCUMENTATION, "2001:db8::/32 3fff::/20"),
    (Kind.YGGDRASIL, "200::/7"),
    (Kind.RESERVED, "2001::/23 2002::/16"),
)
_ROUTED_6 = ipaddress.IPv6Network("2000::/3")
_TABLE = [
    (kind, ipaddress.ip_network(network))
    for special in (_SPECIAL_4, _SPECIAL_6)
    for kind, networks in special
    for network in networks.split()
]
# What has its IPv4 address in the last 32 bits.
_DRESSED = [ipaddress.IPv6Network(text) for text in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")]


def parse(text: str) -> Address | None:
    """Read an address, with or without scope; None for anything else."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def unmapped(address: Address) -> Address:
    """The IPv4 address in an IPv4-mapped one, which is how a socket for both families names it; else itself."""
    return getattr(address, "ipv4_mapped", None) or address


@lru_cache(1024)
def kind_of(address: Address) -> Kind:
    """What the address is, as it is written; only an IPv4-mapped one is the IPv4 address."""
    address = unmapped(address)
    for kind, network in _TABLE:
        if address.version == network.version and address in network:
            return kind
    return Kind.PUBLIC if address.version == 4 or address in _ROUTED_6 else Kind.RESERVED


def leads_to(address: Address) -> Address:
    """The address that packets to it end up at: what is inside a mapped, compatible, 6to4 or NAT64 one, else itself."""
    if address.version == 4 or kind_of(address) in (Kind.NONE, Kind.LOOPBACK):
        return address
    if inside := address.sixtofour:
        return inside
    bare = ipaddress.IPv6Address(int(address))
    return ipaddress.IPv4Address(int(bare) & 0xFFFF_FFFF) if any(bare in one for one in _DRESSED) else address


def is_public(text: str) -> bool:
    """Whether `text` is an address that the world can send to, as it is written."""
    address = parse(text)
    return address is not None and kind_of(address) is Kind.PUBLIC


def refused(address: Address, way: Way) -> str | None:
    """Why what strangers name is not dialled, in words for people, or None (docs/PROTOCOL.md 7.2).

    `way` is how this computer would send to `address`.  What it sees by itself in its own network is not judged here.
    """
    inside = leads_to(address)
    kind = kind_of(inside)
    if kind in _NEVER:
        return _NEVER[kind]
    if way is Way.HERE:
        return "this computer itself"
    if kind in _OF_A_SITE and (way is not Way.ROUTED or kind_of(address) is not kind):
        return f"a private address by {way.value}"
    return None


_NEVER = {
    Kind.NONE: "the unspecified address",
    Kind.MULTICAST: "a multicast address",
    Kind.LOOPBACK: "a loopback address",
    Kind.LINK_LOCAL: "a link-local address",
}
_OF_A_SITE = (Kind.PRIVATE, Kind.CARRIER, Kind.RESERVED)  # mean another machine in every network
