"""How the kernel would send to an address: by an attached network, a route of its own, or the default route.

    Linux: RTM_GETROUTE, "which entry of your tables matches?" ──▶ its prefix, type, gateway, interface
    elsewhere, or where netlink is forbidden: the source address that a UDP socket gets; nothing is sent

A VPN's interface is point to point: what is behind it is no attached network.  Source: rtnetlink(7), netdevice(7).
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import socket
import struct
import sys
from collections.abc import Iterator

from hardline import machine
from hardline.addresses import Address, Way, unmapped

_REQUEST, _GETROUTE, _ERROR = 1, 26, 2
_FIB_MATCH = 0x2000
_DST, _OIF, _GATEWAY, _MULTIPATH, _VIA = 1, 4, 5, 9, 18
_LOCAL, _UNICAST = 2, 1
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
# VPNs split the default route in halves; no network of a site is as large as these.
_AS_GOOD_AS_DEFAULT = {4: 7, 6: 6}
_SIOCGIFFLAGS, _POINT_TO_POINT = 0x8913, 0x10
_ELSEWHERE = {4: "1.1.1.1", 6: "2606:4700:4700::1111"}  # of the default route; nothing is sent there


def way_to(address: Address) -> Way:
    """Ask the kernel; takes microseconds, and nothing is sent."""
    address = unmapped(address)
    if sys.platform == "linux":
        with contextlib.suppress(OSError, struct.error):
            return _by_netlink(address)
    return by_source(address)


def _by_netlink(address: Address) -> Way:
    route = struct.pack("=BBBBBBBBI", _FAMILY[address.version], address.max_prefixlen, 0, 0, 0, 0, 0, 0, _FIB_MATCH)
    attribute = struct.pack("=HH", 4 + len(address.packed), _DST) + address.packed
    head = struct.pack("=IHHII", 16 + len(route) + len(attribute), _GETROUTE, _REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asked:
        asked.send(head + route + attribute)
        reply = asked.recv(8192, socket.MSG_DONTWAIT)
    if struct.unpack_from("=H", reply, 4)[0] == _ERROR:
        return Way.NOWHERE
    prefix, kind, attributes = reply[17], reply[23], _attributes(reply[28:])
    if kind == _LOCAL:
        return Way.HERE
    if prefix <= _AS_GOOD_AS_DEFAULT[address.version]:
        return Way.DEFAULT
    if attributes.keys() & {_GATEWAY, _MULTIPATH, _VIA}:
        return Way.ROUTED
    if kind != _UNICAST or _OIF not in attributes:
        return Way.NOWHERE
    index = int.from_bytes(attributes[_OIF], sys.byteorder)
    return Way.ROUTED if _is_point_to_point(index) else Way.ATTACHED


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        found[kind] = data[4:length]
        data = data[(max(length, 4) + 3) & ~3 :]
    return found


def _is_point_to_point(index: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        name = socket.if_indextoname(index).encode()
        flags = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, struct.pack("16sH22x", name, 0))
    return bool(struct.unpack_from("=H", flags, 16)[0] & _POINT_TO_POINT)


def by_source(address: Address) -> Way:
    """The same without netlink: what goes out by the interface of the default route counts as going by it."""
    source = _source(str(address))
    if source is None:
        return Way.NOWHERE
    if source == str(address):
        return Way.HERE
    if any(address in network for network in _attached()):
        return Way.ATTACHED
    return Way.DEFAULT if source == _source(_ELSEWHERE[address.version]) else Way.ROUTED


def _attached() -> Iterator[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    for held in machine.addresses():  # which needs no netlink either
        yield ipaddress.ip_network(f"{held.address}/{held.prefix}", strict=False)


def _source(address: str) -> str | None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asked:
            asked.connect((address, 9))
            return str(asked.getsockname()[0])
    except OSError:
        return None
