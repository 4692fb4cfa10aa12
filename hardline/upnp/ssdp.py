"""Asking who is a router, and which answers may be followed, without I/O.

    us ── M-SEARCH ──▶ 239.255.255.250:1900 and the default gateway; over IPv6 ff02::c and ff05::c
       ◀── HTTP/1.1 200 OK, LOCATION: http://192.168.1.1:5000/rootDesc.xml ── whoever wants to

The answer names a URL that will be fetched.  It is followed only to where the answer itself came from, and only when
that is a neighbour of ours: nobody sends us to fetch something from elsewhere, or from this computer.
Source: UPnP Device Architecture 2.0, section 1.3.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from hardline.errors import PeerError

GROUP, PORT = "239.255.255.250", 1900
GROUPS_6 = ("ff02::c", "ff05::c")
MAX_ANSWER = 4096
MAX_URL = 512

_TARGETS = (
    "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
    "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
)
_TARGETS_6 = (_TARGETS[0], "urn:schemas-upnp-org:service:WANIPv6FirewallControl:1")
_LINK = ipaddress.IPv6Network("fe80::/64")
_PLAIN_URL = re.compile(r"[!-~]+\Z")


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class HttpPlace:
    """Where something is asked by HTTP, and the address of ours to ask it from.  A link-local host has its scope."""

    host: str
    port: int
    path: str
    own: str

    @property
    def parts(self) -> list[str | int]:
        """As JSON has it."""
        return [self.host, self.port, self.path, self.own]


def searches(to: str = GROUP) -> list[bytes]:
    """The packets to send to `to`."""
    bare = to.partition("%")[0]
    host, targets = (f"[{bare}]", _TARGETS_6) if ":" in bare else (bare, _TARGETS)
    return [
        f'M-SEARCH * HTTP/1.1\r\nHOST: {host}:{PORT}\r\nMAN: "ssdp:discover"\r\nMX: 1\r\nST: {target}\r\n\r\n'.encode()
        for target in targets
    ]


def location(packet: bytes, sender: str, neighbours: Iterable[Network], own: Iterable[str]) -> str:
    """The URL of the description in an answer that came from `sender`.

    Raises PeerError where it is no answer of a router, or leads to anybody but a neighbour that sent it itself.
    """
    if len(packet) > MAX_ANSWER:
        raise PeerError(f"an SSDP answer of {len(packet)} bytes")
    lines = packet.decode("latin-1").split("\r\n")
    if not re.match(r"HTTP/1\.[01] 200(\s|\Z)", lines[0]):
        raise PeerError("no answer to an SSDP search")
    headers = {name.strip().upper(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    if headers.get("ST", "") not in (*_TARGETS, *_TARGETS_6):
        raise PeerError("an SSDP answer of something that is no router")
    url = headers.get("LOCATION", "")
    if len(url) > MAX_URL or not _PLAIN_URL.match(url):
        raise PeerError("an SSDP answer without a usable LOCATION")
    if host_of(url) != sender:
        raise PeerError(f"an SSDP answer of {sender} that leads to {url[:80]}")
    address = ipaddress.ip_address(sender)
    if sender in own or not any(address in network for network in neighbours):
        raise PeerError(f"an SSDP answer of {sender}, which is no neighbour")
    return url


def host_of(url: str) -> str:
    """The address that a URL leads to, as everybody reads it.  Raises PeerError where there is a doubt."""
    try:
        parts = urlsplit(url)
        # Without a user: readers differ on where the host begins.
        if parts.scheme != "http" or "@" in parts.netloc or parts.port == 0 or not parts.path.startswith("/"):
            raise ValueError
        text = parts.hostname or ""
        address = ipaddress.ip_address(text)
        written = text if address.version == 4 else f"[{text}]"
        if "%" in text or parts.netloc.lower() not in (written, f"{written}:{parts.port}"):
            raise ValueError
    except ValueError:
        raise PeerError(f"expected http://ADDRESS:PORT/PATH, not {url[:80]!r}") from None
    return str(address)


def place(url: str, own: str, interface: str) -> HttpPlace:
    """Where a URL that `location` returned leads, for whoever asks from `own`."""
    parts, host = urlsplit(url), host_of(url)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    linked = ":" in host and ipaddress.IPv6Address(host) in _LINK
    return HttpPlace(f"{host}%{interface}" if linked else host, parts.port or 80, path, own)


def near(own: str) -> tuple[ipaddress.IPv6Network, ...]:
    """The networks of the neighbours of an IPv6 address: a link has 64 bits of it, whatever a lease of it says."""
    return ipaddress.IPv6Network((own, 64), strict=False), _LINK


def is_in(address: str, network: Network) -> bool:
    """Whether an address is of a network."""
    return ipaddress.ip_address(address) in network
