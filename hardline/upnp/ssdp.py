"""Asking who is a router, and which answers may be followed, without I/O.

    us ── M-SEARCH ──▶ 239.255.255.250:1900 and the default gateway
       ◀── HTTP/1.1 200 OK, LOCATION: http://192.168.1.1:5000/rootDesc.xml ── whoever wants to

The answer names a URL that will be fetched.  It is followed only to where the answer itself came from, and only when
that is a neighbour of ours: nobody sends us to fetch something from elsewhere, or from this computer.
Source: UPnP Device Architecture 2.0, section 1.3.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from hardline.errors import PeerError

GROUP, PORT = "239.255.255.250", 1900
MAX_ANSWER = 4096
MAX_URL = 512

_TARGETS = (
    "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
    "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
)
_PLAIN_URL = re.compile(r"[!-~]+\Z")


def searches(to: str = GROUP) -> list[bytes]:
    """The packets to send to `to`."""
    return [
        f'M-SEARCH * HTTP/1.1\r\nHOST: {to}:{PORT}\r\nMAN: "ssdp:discover"\r\nMX: 1\r\nST: {target}\r\n\r\n'.encode()
        for target in _TARGETS
    ]


def location(packet: bytes, sender: str, neighbours: Iterable[ipaddress.IPv4Network], own: Iterable[str]) -> str:
    """The URL of the description in an answer that came from `sender`.

    Raises PeerError where it is no answer of a router, or leads to anybody but a neighbour that sent it itself.
    """
    if len(packet) > MAX_ANSWER:
        raise PeerError(f"an SSDP answer of {len(packet)} bytes")
    lines = packet.decode("latin-1").split("\r\n")
    if not re.match(r"HTTP/1\.[01] 200(\s|\Z)", lines[0]):
        raise PeerError("no answer to an SSDP search")
    headers = {name.strip().upper(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    if headers.get("ST", "") not in _TARGETS:
        raise PeerError("an SSDP answer of something that is no router")
    url = headers.get("LOCATION", "")
    if len(url) > MAX_URL or not _PLAIN_URL.match(url):
        raise PeerError("an SSDP answer without a usable LOCATION")
    if host_of(url) != sender:
        raise PeerError(f"an SSDP answer of {sender} that leads to {url[:80]}")
    address = ipaddress.IPv4Address(sender)
    if sender in own or not any(address in network for network in neighbours):
        raise PeerError(f"an SSDP answer of {sender}, which is no neighbour")
    return url


def host_of(url: str) -> str:
    """The IPv4 address that a URL leads to, as everybody reads it.  Raises PeerError where there is a doubt."""
    try:
        parts = urlsplit(url)
        # Without a user: readers differ on where the host begins.
        if parts.scheme != "http" or "@" in parts.netloc or parts.port == 0 or not parts.path.startswith("/"):
            raise ValueError
        address = ipaddress.IPv4Address(parts.hostname or "")
        if parts.netloc not in (str(address), f"{address}:{parts.port}"):
            raise ValueError
    except ValueError:
        raise PeerError(f"expected http://ADDRESS:PORT/PATH, not {url[:80]!r}") from None
    return str(address)


def is_in(address: str, network: ipaddress.IPv4Network) -> bool:
    """Whether an IPv4 address is of a network."""
    return ipaddress.IPv4Address(address) in network
