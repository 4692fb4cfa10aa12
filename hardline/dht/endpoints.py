"""Which endpoints are told to the world, and which are believed, without I/O.

    what a host knows of itself ──publishable──▶ the record (signed), the original's value (nobody signs it)
    a signed record ──believable(signed=True)──▶ candidates, private addresses among them: VPNs, sites with routes
    an unsigned value ──believable(signed=False)─▶ candidates in the public internet or in Yggdrasil, and no names

What nobody signed could lead every visitor to a printer on its own LAN; a name could do it too, a moment later.
Source: docs/PROTOCOL.md, sections 7.2 and 8.4.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from hardline.addresses import Kind, kind_of, leads_to
from hardline.routes import Endpoint

_OF_A_SITE = (Kind.PRIVATE, Kind.CARRIER, Kind.RESERVED)
_WORDS = {
    Kind.NONE: "the unspecified address",
    Kind.LOOPBACK: "a loopback address",
    Kind.MULTICAST: "a multicast address",
    Kind.LINK_LOCAL: "a link-local address",  # which means something on its own link only
}


def refused(endpoint: Endpoint, *, signed: bool) -> str | None:
    """Why an endpoint from the DHT is neither published nor dialled, or None."""
    address = endpoint.address
    if address is None:
        if not signed:
            return "a name that nobody signed"
        name = endpoint.host.rstrip(".")
        return "a loopback name" if name == "localhost" or name.endswith(".localhost") else None
    if getattr(address, "scope_id", None) is not None:
        return _WORDS[Kind.LINK_LOCAL]
    kind = kind_of(leads_to(address))
    if not signed and kind in _OF_A_SITE:
        return "a private address"
    return _WORDS.get(kind)


def publishable(endpoints: Iterable[Endpoint], *, signed: bool) -> list[Endpoint]:
    """Those of this host's endpoints that visitors would use, in the same order, each once."""
    return [endpoint for endpoint in dict.fromkeys(endpoints) if refused(endpoint, signed=signed) is None]


def believable(endpoints: Iterable[Endpoint], ours: Collection[Endpoint], *, signed: bool) -> list[Endpoint]:
    """Those of a stranger's endpoints that may be dialled; `ours` are this node's own listeners."""
    return [endpoint for endpoint in publishable(endpoints, signed=signed) if endpoint not in ours]
