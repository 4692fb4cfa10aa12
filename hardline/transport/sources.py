"""Who somebody is by his address, for everything that is shared out among strangers; without I/O.

    192.0.2.7 ──▶ 192.0.2.7          2001:db8:1:2:3::9 ──▶ 2001:db8:1:2::/64, in …:1::/56, in …:1::/48

Every customer of an IPv6 provider has 2⁶⁴ addresses, and often 2⁸⁰.  A source is an opaque text: what is no address
stands for itself.
"""

from __future__ import annotations

import functools
import ipaddress
from dataclasses import dataclass

from hardline.addresses import unmapped

Networks = tuple[str, str, str]

_PREFIXES = (48, 56, 64)


@dataclass(eq=False, slots=True, weakref_slot=True)
class Source:
    """A source that has sessions, which share it; `streams` are open in all of them."""

    name: str
    streams: int = 0


@functools.lru_cache(maxsize=4096)
def networks(address: str) -> Networks:
    """The networks that `address` lies in, the widest first; the last is its source."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return (address,) * 3
    parsed = unmapped(parsed)
    if isinstance(parsed, ipaddress.IPv4Address):
        return (str(parsed),) * 3
    scope = f"%{parsed.scope_id}" if parsed.scope_id else ""
    widest, wider, source = (
        f"{ipaddress.IPv6Network((int(parsed), prefix), strict=False)}{scope}" for prefix in _PREFIXES
    )
    return widest, wider, source


def source_of(address: str) -> str:
    """Whom `address` belongs to: itself, or its /64."""
    return networks(address)[-1]


def around(address: str) -> tuple[str, ...]:
    """`address`, and the networks that it lies in where they are wider, the narrowest first."""
    widest, wider, source = networks(address)
    return (source,) if widest == source else (address, source, wider, widest)
