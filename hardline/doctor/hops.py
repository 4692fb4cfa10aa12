"""The first routers on the way out, as they tell of themselves when a packet of ours comes to its end at them.

Packets with a small TTL are sent to an address that nobody has, and get no further than MOST routers.  The one at which
their time is up says so by ICMP, a few times a second at most, which a socket with IP_RECVERR hears without any right.
Linux only; blocks for ROUNDS seconds at most.
Source: ip(7); RFC 792; RFC 5737.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import sys
import time

MOST, ROUNDS = 2, 3
WITHIN = 1.0  # seconds, a round

_NOBODY = ("203.0.113.1", 33434)  # TEST-NET-3, and where traceroute begins
_IP_RECVERR, _MSG_ERRQUEUE = 11, 0x2000  # linux/in.h, linux/socket.h
_EXTENDED = struct.Struct("=IBBBBII")  # struct sock_extended_err of linux/errqueue.h
_BY_ICMP = 2
_OFFENDER = struct.Struct("=HH4s")  # the begin of a struct sockaddr_in


def first_hops() -> tuple[str, ...]:
    """Their IPv4 addresses in order, "" for each that says nothing; nothing at all where that cannot be found out."""
    if sys.platform != "linux":
        return ()
    found = dict[int, str]()
    for _ in range(ROUNDS):
        with contextlib.ExitStack() as opened:
            asking = dict[int, tuple[int, socket.socket]]()
            try:
                for ttl in (one for one in range(1, MOST + 1) if not found.get(one)):
                    asked = opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                    asked.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
                    asked.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
                    asked.setblocking(False)
                    asked.connect(_NOBODY)
                    asked.send(b"hardline doctor")
                    asking[asked.fileno()] = ttl, asked
            except OSError:
                return ()
            if not asking:
                break
            found |= _heard(asking)
    return tuple(found.get(ttl, "") for ttl in range(1, MOST + 1))


def _heard(asking: dict[int, tuple[int, socket.socket]]) -> dict[int, str]:
    """By TTL."""
    poll, found, until = select.poll(), dict[int, str](), time.monotonic() + WITHIN
    for descriptor in asking:
        poll.register(descriptor, select.POLLERR)
    while len(found) < len(asking) and (left := until - time.monotonic()) > 0:
        for descriptor, _ in poll.poll(1000 * left):
            poll.unregister(descriptor)
            ttl, one = asking[descriptor]
            found[ttl] = _offender(one)
    return found


def _offender(one: socket.socket) -> str:
    try:
        _, said, _, _ = one.recvmsg(512, 512, _MSG_ERRQUEUE)
    except OSError:
        return ""
    for level, kind, data in said:
        if level == socket.IPPROTO_IP and kind == _IP_RECVERR and len(data) >= _EXTENDED.size + _OFFENDER.size:
            _, origin, *_ = _EXTENDED.unpack_from(data)
            family, _, address = _OFFENDER.unpack_from(data, _EXTENDED.size)
            if origin == _BY_ICMP and family == socket.AF_INET:
                return socket.inet_ntoa(address)
    return ""
