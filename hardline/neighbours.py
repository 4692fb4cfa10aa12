"""Which machine of a network attached to this one an address belongs to, as the kernel knows it.

    192.168.1.7, fe80::1%eth0, 2001:db8::7 ──▶ a route without a router? ──▶ its hardware address: one machine

A machine has several addresses, and takes more as it likes; it has one card, and who forges that of another one is
heard by both.  "" is the answer where nobody knows: behind a router, on this computer, elsewhere than on Linux.
Source: rtnetlink(7); linux/rtnetlink.h, linux/neighbour.h.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
import sys
from collections.abc import Iterator

from hardline.addresses import unmapped

_REQUEST, _TOO_LONG = 1, 0.1  # NLM_F_REQUEST; seconds
_NEW_ROUTE, _GET_ROUTE, _NEW_NEIGHBOUR, _GET_NEIGHBOUR = 24, 26, 28, 30
_DESTINATION, _OUT, _ROUTER, _VIA, _HARDWARE = 1, 4, 5, 18, 2  # RTA_DST and NDA_DST, RTA_OIF, …, NDA_LLADDR
_UNICAST = 1  # RTN_UNICAST: not one of our own
_HEAD, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=HH")
_LARGEST = 8192


def machine_at(address: str) -> str:
    """The machine that has `address`, an IP address, as an opaque text; "" where it is not known.

    Asks the kernel, which answers at once.
    """
    if sys.platform != "linux":
        return ""
    try:
        parsed = unmapped(ipaddress.ip_address(address))
    except ValueError:
        return ""
    if parsed.is_loopback:
        return ""
    with (
        contextlib.suppress(OSError, struct.error),
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel,
    ):
        kernel.settimeout(_TOO_LONG)
        scope = parsed.scope_id if isinstance(parsed, ipaddress.IPv6Address) else None
        interface = socket.if_nametoindex(scope) if scope else _interface(kernel, parsed)
        if interface and (card := _card(kernel, parsed, interface)):
            return f"{interface} {card.hex()}"
    return ""


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _interface(kernel: socket.socket, address: Address) -> int:
    """By which interface it is reached without a router; 0 for none."""
    asked = struct.pack("=8BI", _family(address), address.max_prefixlen, *bytes(6), 0)
    answer = _asked(kernel, _GET_ROUTE, asked + _attribute(_DESTINATION, address.packed), _NEW_ROUTE)
    if len(answer) < 12 or answer[7] != _UNICAST:
        return 0
    told = dict(_attributes(answer[12:]))
    if _OUT not in told or _ROUTER in told or _VIA in told:
        return 0
    return int.from_bytes(told[_OUT], sys.byteorder)


def _card(kernel: socket.socket, address: Address, interface: int) -> bytes:
    asked = struct.pack("=BxxxiHBB", _family(address), interface, 0, 0, 0)
    answer = _asked(kernel, _GET_NEIGHBOUR, asked + _attribute(_DESTINATION, address.packed), _NEW_NEIGHBOUR)
    return dict(_attributes(answer[12:])).get(_HARDWARE, b"")


def _asked(kernel: socket.socket, what: int, body: bytes, answered: int) -> bytes:
    """What the kernel answers behind its head; b"" for an error."""
    kernel.send(_HEAD.pack(_HEAD.size + len(body), what, _REQUEST, 1, 0) + body)
    answer = kernel.recv(_LARGEST)
    length, kind, *_ = _HEAD.unpack_from(answer)
    return answer[_HEAD.size : length] if kind == answered else b""


def _family(address: Address) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _attribute(kind: int, data: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(data), kind) + data + bytes(-len(data) % 4)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if length < _ATTRIBUTE.size:
            return
        yield kind, data[_ATTRIBUTE.size : length]
        data = data[length + -length % 4 :]
