"""Who asks: by the connection, or by what a trusted proxy in front of this gateway says; without I/O.

    from 192.0.2.7                                        ──▶ 192.0.2.7
    from 127.0.0.1, trusted, X-Forwarded-For: 6.6.6.6, 192.0.2.7   ──▶ 192.0.2.7

A client can write what it likes in front of what the proxy adds: the last address that is no trusted proxy's counts.
What is no address there is nobody's: then it is the proxy itself that asks.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Sequence

from hardline.addresses import unmapped

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_WITH_PORT = re.compile(r"(?:\[(?P<six>[^\[\]]*)\]|(?P<four>[^:\[\]]*))(?::[0-9]{1,5})?\Z")


def client_of(peer: str, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str:
    """The address of who asks; `peer` is that of the connection, `forwarded_for` the lines of X-Forwarded-For."""
    client = peer
    said = [item.strip() for line in forwarded_for for item in line.split(",")]
    while said and is_in(client, trusted):
        address = _address(said.pop())
        if address is None:
            break
        client = str(address)
    return client


@functools.lru_cache(4096)
def is_in(address: str, networks: Sequence[Network]) -> bool:
    """Whether one of `networks` has it."""
    parsed = _address(address)
    return parsed is not None and any(parsed.version == one.version and parsed in one for one in networks)


def _address(text: str) -> Address | None:
    if (match := _WITH_PORT.match(text)) is not None:
        text = match["six"] or match["four"] or ""
    try:
        return unmapped(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return None
