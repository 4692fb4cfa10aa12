"""On which interfaces the LAN is heard and spoken to, as they come and go.

    follow(addresses) ──▶ one socket per address that speaks ─────────┐
                     ──▶ the group joined on the interface of each ──┴──▶ `readable`, when something has come

What cannot be opened is `left`, and tried again by the next `follow`.  Source: docs/PROTOCOL.md, section 6.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
from collections.abc import Callable

from hardline import log
from hardline.discovery.heard import Sender
from hardline.discovery.interfaces import InterfaceAddress, by_importance
from hardline.discovery.lpd import BROADCAST, PORT
from hardline.discovery.multicast import (
    IN_ENOUGH_GROUPS,
    family_of,
    group_of,
    hearing_socket,
    joins,
    set_membership,
    speaking_socket,
)

_REMEMBERED_SOURCES = 1024
_MAX_HEARING = 32  # sockets of a family


class LanSockets:
    """Sockets from `open` to `close`, on the addresses that `follow` is given; `readable` is called with each of them.

    `multicast` and `broadcast` are the ways that packets for all take.
    """

    def __init__(self, readable: Callable[[socket.socket], None], *, multicast: bool, broadcast: bool) -> None:
        self._readable, self._multicast, self._broadcast = readable, multicast, broadcast
        self._known: dict[tuple[str, object], InterfaceAddress | None] = {}
        self._hearing: dict[socket.AddressFamily, list[socket.socket]] = {}
        self._speaking: dict[InterfaceAddress, socket.socket] = {}
        self._refused: set[InterfaceAddress] = set()
        self._deaf: set[InterfaceAddress] = set()
        self._warned = False

    @property
    def speaking(self) -> frozenset[InterfaceAddress]:
        """The addresses that are spoken from."""
        return frozenset(self._speaking)

    @property
    def hears(self) -> bool:
        """What others send to all by IPv4 comes here."""
        return socket.AF_INET in self._hearing

    @property
    def left(self) -> bool:
        """Something could not be opened."""
        return bool(self._refused or self._deaf)

    def open(self) -> None:
        """Hear what is sent to this machine; the groups, and speaking, come with `follow`."""
        for family in (socket.AF_INET, socket.AF_INET6):
            try:
                self._listen(family)
            except OSError as failure:
                # Searching still works; being found by others does not.
                log.warning("lan.deaf", family=family.name, port=PORT, reason=str(failure))

    def follow(self, addresses: frozenset[InterfaceAddress]) -> None:
        """Hear and speak there, and nowhere else."""
        self._known.clear()
        self._refused &= addresses
        self._deaf &= addresses
        for gone in self._speaking.keys() - addresses:
            self._drop(gone)
        for address in by_importance(self._deaf):
            self._join(address)
        for address in by_importance(addresses - self._speaking.keys()):
            try:
                speaking = speaking_socket(address)
            except OSError as failure:  # a new IPv6 address cannot be used for its first second or two
                if address not in self._refused:
                    log.debug("lan.skipped", interface=address.name, address=address.address, reason=str(failure))
                self._refused.add(address)
                continue
            self._refused.discard(address)
            self._speaking[address] = speaking
            asyncio.get_running_loop().add_reader(speaking, self._readable, speaking)
            self._join(address)
            log.debug("lan.joined", interface=address.name, address=address.address)

    def close(self) -> None:
        """Idempotent."""
        loop = asyncio.get_running_loop()
        for one in (*(one for several in self._hearing.values() for one in several), *self._speaking.values()):
            loop.remove_reader(one)
            one.close()
        self._hearing.clear()
        self._speaking.clear()

    def send_everywhere(self, packet: bytes) -> None:
        """To all, on every interface."""
        for address, speaking in list(self._speaking.items()):
            if self._multicast:
                self._send_to_group(speaking, packet, address)
            if self._broadcast and speaking.family == socket.AF_INET:
                _send(speaking, packet, (BROADCAST, PORT))

    def send(self, interface: InterfaceAddress, packet: bytes, to: Sender) -> None:
        """To one address alone, from ours at `interface`."""
        if (speaking := self._speaking.get(interface)) is not None:
            _send(speaking, packet, to)

    def send_to_group(self, interface: InterfaceAddress, packet: bytes) -> None:
        """To all who listen there, and not by broadcast."""
        speaking = self._speaking.get(interface)
        if self._multicast and speaking is not None:
            self._send_to_group(speaking, packet, interface)

    def attached(self, source: str, sender: Sender) -> InterfaceAddress | None:
        """The address of ours on the subnet that `source` is on; a link-local one by its scope."""
        scope = sender[3] if len(sender) > 3 else 0
        key = (source, scope)
        if key not in self._known:
            if len(self._known) >= _REMEMBERED_SOURCES:
                self._known.clear()
            self._known[key] = self._look_up(source, scope)
        return self._known[key]

    def _look_up(self, source: str, scope: object) -> InterfaceAddress | None:
        try:
            address = ipaddress.ip_address(source)
        except ValueError:
            return None
        for own in self._speaking:
            if address in own.network and (not scope or own.index == scope):
                return own
        return None

    def _send_to_group(self, speaking: socket.socket, packet: bytes, address: InterfaceAddress) -> None:
        scope = (0, address.index) if speaking.family == socket.AF_INET6 else ()
        _send(speaking, packet, (group_of(speaking), PORT, *scope))

    def _listen(self, family: socket.AddressFamily, address: InterfaceAddress | None = None) -> None:
        """Open the first socket of a family, or one more for `address`."""
        hearing = hearing_socket(family, group_only=address is not None)
        try:
            if address is not None:
                set_membership(hearing, address, member=True)
        except OSError:
            hearing.close()
            raise
        self._hearing.setdefault(family, []).append(hearing)
        asyncio.get_running_loop().add_reader(hearing, self._readable, hearing)

    def _join(self, address: InterfaceAddress) -> None:
        """Hear the group there; where a socket is in as many groups as one may be, by another one."""
        family = family_of(address)
        if family not in self._hearing:
            return
        self._deaf.discard(address)
        try:
            for hearing in self._hearing[family]:
                if joins(hearing, address):
                    return
            if len(self._hearing[family]) >= _MAX_HEARING:
                raise OSError(errno.ENOBUFS, "in as many groups as may be")
            self._listen(family, address)
        except OSError as failure:
            self._deaf.add(address)
            # Anything else happens while interfaces come and go.
            worth = failure.errno in IN_ENOUGH_GROUPS and not self._warned
            self._warned |= worth
            say = log.warning if worth else log.debug
            say("lan.not_joined", interface=address.name, reason=str(failure), consequence="tried again")

    def _drop(self, address: InterfaceAddress) -> None:
        speaking = self._speaking.pop(address)
        asyncio.get_running_loop().remove_reader(speaking)
        speaking.close()
        family = family_of(address)
        if any(other.index == address.index and family_of(other) == family for other in self._speaking):
            return
        for hearing in self._hearing.get(family, ()):
            with contextlib.suppress(OSError):
                set_membership(hearing, address, member=False)


def _send(speaking: socket.socket, packet: bytes, to: Sender) -> None:
    # Interfaces come and go, firewalls say EPERM, ICMP errors of earlier packets surface here: searches are repeated.
    with contextlib.suppress(OSError):
        speaking.sendto(packet, to)
