"""Which Host headers a server on a port of its own answers to, without I/O.

    a page of the internet ── its name, pointed at this computer (DNS rebinding) ──▶ nothing here

A browser takes whatever answers under a name for that name's own: so only names are answered that nobody else can have.
An address is no name: whoever is asked by his address was meant.  Source: RFC 9110, sections 7.2 and 15.5.20 (421).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

MAX_HOST = 512

_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[^\s:@/\\?#\[\],]+)(:(?P<port>[0-9]{0,5}))?\Z")
_THIS_MACHINE = frozenset(("localhost", "127.0.0.1", "[::1]"))
_HTTP_PORT = 80  # what an address without a port means


class Hosts:
    """The hosts of a server that listens at the IP `address` and `port`; `names` are others that its owner gave it.

    For this machine alone it is reached by this machine's own names, at its own port.  For a network it is reached by
    the address it listens at, or by any address where it listens at all; its port may be mapped there.
    """

    def __init__(self, address: str, port: int, names: Iterable[str] = ()) -> None:
        bound = ipaddress.ip_address(address)
        self._port = port if bound.is_loopback else None
        self._any_address = bound.is_unspecified
        self._own = {f"[{bound}]" if bound.version == 6 else str(bound)}
        if bound.is_loopback or bound.is_unspecified:
            self._own |= _THIS_MACHINE
        self._names = {name.lower().removesuffix(".") for name in names}

    def answers(self, host: str) -> bool:
        """Whether `host`, the Host header of a request, is one of ours."""
        match = _HOST.match(host) if len(host) <= MAX_HOST and host.isascii() and host.isprintable() else None
        if match is None or int(match["port"] or 0) > 65_535:
            return False
        name = match["name"].lower().removesuffix(".")
        if name in self._names:
            return True
        if self._port not in (None, int(match["port"] or _HTTP_PORT)):
            return False
        return name in self._own or (self._any_address and is_address(name))


def is_name(text: str) -> bool:
    """Whether a Host header can name `text`, which has no port."""
    match = _HOST.match(text) if len(text) <= MAX_HOST and text.isascii() and text.isprintable() else None
    return match is not None and match["name"] == text


def is_address(name: str) -> bool:
    """Whether a Host names an IP address, one of IPv6 in brackets."""
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
