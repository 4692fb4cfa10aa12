"""On which interfaces multicast DNS is heard and spoken: by zeroconf's sockets, and by ours where it has no room.

addresses ── wanted ──▶ one IPv4 address per interface, the number of each with IPv6 ──▶ zeroconf's engine
                                      those that its one socket for all groups has no room for ──▶ `speak_beyond`
"""

from __future__ import annotations

import contextlib
import functools
import socket
from collections.abc import Collection, Sequence
from typing import Any

import ifaddr

from hardline import log
from hardline.discovery.interfaces import InterfaceAddress, by_importance
from hardline.discovery.multicast import IN_ENOUGH_GROUPS

PORT = 5353

_GROUP = "224.0.0.251"
_MAX_SPEAKERS = 128  # interfaces, each with IPv4 and with IPv6


class Speakers:
    """What is spoken from, until `close`."""

    def __init__(self) -> None:
        self._sixes, self._warned = _can_look(), False
        self._members: list[socket.socket] = []
        self._joined: dict[str, socket.socket] = {}

    def wanted(self, addresses: Collection[InterfaceAddress]) -> list[str | int]:
        """One IPv4 address of each interface, and the number of each that has IPv6: zeroconf wants them so."""
        fours, sixes = dict[int, str](), dict[int, None]()
        for one in by_importance(addresses):
            if one.ip.version == 4:
                fours.setdefault(one.index, one.address)
            elif not one.ip.is_loopback and self._sixes:  # loopback has no multicast
                sixes[one.index] = None
        if max(len(fours), len(sixes)) > _MAX_SPEAKERS:
            self._warn(f"{len(fours)} interfaces, the first {_MAX_SPEAKERS} are used")
        return [*list(fours.values())[:_MAX_SPEAKERS], *list(sixes)[:_MAX_SPEAKERS]]

    async def speak_beyond(self, engine: Any, speakers: Sequence[str | int]) -> None:
        """Use the IPv4 addresses that zeroconf could not: its socket is in as many groups as one may be.

        On Linux what arrives in a group that any socket has joined is given to every socket at its port.
        """
        for gone in self._joined.keys() - set(speakers):
            with contextlib.suppress(OSError):
                self._joined.pop(gone).setsockopt(socket.IPPROTO_IP, socket.IP_DROP_MEMBERSHIP, _membership(gone))
        speaking = senders(engine)
        for address in speakers:
            if isinstance(address, str) and address not in speaking:
                try:
                    self._join(address)
                    # It is one of the engine's from now on, which closes it.
                    await engine._async_wrap_socket(_mouth(address), True)
                except OSError as failure:
                    if failure.errno in IN_ENOUGH_GROUPS:
                        self._warn(f"{address}: {failure}")
                    else:  # it has gone again
                        log.debug("mdns.skipped", reason=str(failure))

    def close(self) -> None:
        """Idempotent."""
        for member in self._members:
            member.close()
        self._members.clear()
        self._joined.clear()

    def _join(self, address: str) -> None:
        if address in self._joined:
            return
        for member in self._members:
            try:
                member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, _membership(address))
            except OSError as failure:
                if failure.errno not in IN_ENOUGH_GROUPS:
                    raise
            else:
                self._joined[address] = member
                return
        member = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, _membership(address))
        except OSError:
            member.close()
            raise
        self._members.append(member)
        self._joined[address] = member

    def _warn(self, reason: str) -> None:
        """Once: what does not work on one interface seldom works on the next."""
        say = log.debug if self._warned else log.warning
        self._warned = True
        say("mdns.skipped", reason=reason, consequence="no DNS-SD there")


def senders(engine: Any) -> set[str]:
    """The addresses that zeroconf speaks from."""
    return {str(one.sock_name[0]).partition("%")[0] for one in engine.senders}


def try_port() -> None:
    """Raises OSError where zeroconf would, which then leaves a socket behind."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        probe.bind(("", PORT))


@functools.cache
def _can_look() -> bool:
    """zeroconf looks for IPv6 addresses itself, by netlink."""
    try:
        ifaddr.get_adapters()
    except OSError:
        return False
    return True


def _membership(address: str) -> bytes:
    return socket.inet_aton(_GROUP) + socket.inet_aton(address)


def _mouth(address: str) -> socket.socket:
    """A socket as zeroconf has one for each interface.  Raises OSError."""
    mouth = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        mouth.setblocking(False)
        mouth.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            mouth.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
        mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
        mouth.bind((address, PORT))
    except BaseException:
        mouth.close()
        raise
    return mouth
