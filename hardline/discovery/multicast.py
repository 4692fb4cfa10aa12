"""The UDP sockets of LAN discovery: one that hears a group on many interfaces, one per address that speaks.

Originals bind the same port on the same machine, so it is shared (SO_REUSEPORT).  Source: docs/PROTOCOL.md, section 6.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct

from hardline.discovery.interfaces import InterfaceAddress
from hardline.discovery.lpd import GROUP_4, GROUP_6, PORT

_GROUPS = {socket.AF_INET: GROUP_4, socket.AF_INET6: GROUP_6}
_RECEIVE_BUFFER = 262_144
# Linux: net.ipv4.igmp_max_memberships, or net.core.optmem_max.
IN_ENOUGH_GROUPS = (errno.ENOBUFS, errno.ENOMEM)


def family_of(address: InterfaceAddress) -> socket.AddressFamily:
    """The address's family."""
    return socket.AF_INET6 if ":" in address.address else socket.AF_INET


def hearing_socket(family: socket.AddressFamily, *, group_only: bool = False) -> socket.socket:
    """A socket on the discovery port, shared with others of this machine.  Raises OSError.

    One that is for the `group_only` does not hear what an earlier one hears: broadcasts, and what is sent to us alone.
    """
    hearing = socket.socket(family, socket.SOCK_DGRAM)
    try:
        hearing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            hearing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        hearing.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        if family == socket.AF_INET6:
            hearing.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        else:
            hearing.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            # Linux would hand every group that anybody on this machine joined to every socket on the port.
            with contextlib.suppress(OSError):
                hearing.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_MULTICAST_ALL", 49), 0)
        hearing.bind((_GROUPS[family] if group_only else "", PORT))
        hearing.setblocking(False)
    except BaseException:
        hearing.close()
        raise
    return hearing


def set_membership(hearing: socket.socket, address: InterfaceAddress, *, member: bool) -> None:
    """Join or leave the group on the interface of `address`.  Raises OSError."""
    if hearing.family == socket.AF_INET6:
        option = socket.IPV6_JOIN_GROUP if member else socket.IPV6_LEAVE_GROUP
        request = socket.inet_pton(socket.AF_INET6, GROUP_6) + struct.pack("@I", address.index)
        hearing.setsockopt(socket.IPPROTO_IPV6, option, request)
        return
    option = socket.IP_ADD_MEMBERSHIP if member else socket.IP_DROP_MEMBERSHIP
    request = socket.inet_aton(GROUP_4) + socket.inet_aton(address.address) + struct.pack("@i", address.index)
    hearing.setsockopt(socket.IPPROTO_IP, option, request)


def joins(hearing: socket.socket, address: InterfaceAddress) -> bool:
    """Join the group on the interface of `address`, or be in it already; False when the socket is in enough groups.

    Raises OSError for anything else.
    """
    try:
        set_membership(hearing, address, member=True)
    except OSError as failure:
        if failure.errno in IN_ENOUGH_GROUPS:
            return False
        if failure.errno != errno.EADDRINUSE:
            raise
    return True


def speaking_socket(address: InterfaceAddress) -> socket.socket:
    """A socket that sends from `address`, on its interface only, one hop far.  Raises OSError."""
    family = family_of(address)
    speaking = socket.socket(family, socket.SOCK_DGRAM)
    try:
        speaking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        if family == socket.AF_INET6:
            speaking.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, address.index)
            speaking.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1)
            speaking.bind((address.address, 0, 0, address.index if address.ip.is_link_local else 0))
        else:
            interface = socket.inet_aton(GROUP_4) + socket.inet_aton(address.address) + struct.pack("@i", address.index)
            speaking.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
            speaking.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
            speaking.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            speaking.bind((address.address, 0))
        speaking.setblocking(False)
    except BaseException:
        speaking.close()
        raise
    return speaking


def group_of(speaking: socket.socket) -> str:
    """The group that a socket's family speaks to."""
    return _GROUPS[socket.AddressFamily(speaking.family)]
