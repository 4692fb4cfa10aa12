"""Which endpoints are told to the world, and which are believed, without I/O.

    what a host knows of itself ──publishable──▶ the record (signed), the original's value (nobody signs it)
    a signed record ──believable(signed=True)──▶ candidates, private addresses among them: VPNs, sites with routes
    an unsigned value ──believable(signed=False)─▶ candidates in the public internet or in Yggdrasil, and no names

What nobody signed could lead every visitor to a printer on its own LAN; a name could do it too, a moment later.
Source: docs/PROTOCOL.md, sections 7.2 and 8.4.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable

from hardline.routes import Endpoint

# Not Python's own `is_private`, which changes from version to version.
_PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4"),
        *("::/8", "64:ff9b::/96", "64:ff9b:1::/48", "100::/8", "2001::/32", "fc00::/7", "fe80::/9", "ff00::/8"),
    )
)


def refused(endpoint: Endpoint, *, signed: bool) -> str | None:
    """Why an endpoint from the DHT is neither published nor dialled, or None."""
    address = endpoint.address
    if address is None:
        if not signed:
            return "a name that nobody signed"
        name = endpoint.host.rstrip(".")
        return "a loopback name" if name == "localhost" or name.endswith(".localhost") else None
    if address.is_unspecified:
        return "the unspecified address"
    if address.is_loopback:
        return "a loopback address"
    if address.is_multicast:
        return "a multicast address"
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None or address.is_link_local:
            return "a link-local address"  # which means something on its own link only
        if not signed and address.sixtofour and refused(Endpoint(str(address.sixtofour), endpoint.port), signed=False):
            return "a private address"
    if not signed and any(address in network for network in _PRIVATE if network.version == address.version):
        return "a private address"
    return None


def publishable(endpoints: Iterable[Endpoint], *, signed: bool) -> list[Endpoint]:
    """Those of this host's endpoints that visitors would use, in the same order, each once."""
    return [endpoint for endpoint in dict.fromkeys(endpoints) if refused(endpoint, signed=signed) is None]


def believable(endpoints: Iterable[Endpoint], ours: Collection[Endpoint], *, signed: bool) -> list[Endpoint]:
    """Those of a stranger's endpoints that may be dialled; `ours` are this node's own listeners."""
    return [endpoint for endpoint in publishable(endpoints, signed=signed) if endpoint not in ours]
