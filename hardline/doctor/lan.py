"""A look around the LAN: who hears us, and who is there.

    own search, to the group of each interface ──▶ heard back on the same one?
                                               ◀── nodes of hardline, with the day on their clocks
    questions of DNS-SD and UPnP, to everybody ◀── devices of any kind

Everything that comes is anybody's word, and bounded: it is counted and shown, and nothing is done by it.
Source: docs/PROTOCOL.md, section 6; RFC 6762, section 6.7; RFC 6763, section 9; UPnP Device Architecture, 1.3.2.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence

from hardline.discovery.interfaces import InterfaceAddress, by_importance
from hardline.discovery.lpd import MAX_PACKET, PORT, VERSION, Answer, Search, parse
from hardline.discovery.multicast import family_of, group_of, hearing_socket, set_membership, speaking_socket
from hardline.doctor.facts import Lan, Other, Voice
from hardline.errors import PeerError
from hardline.identity import KeyHash, utc_day
from hardline.machine import routes
from hardline.routes import Endpoint
from hardline.settings.node import LanSection

SAID_AT = (0.0, 0.4, 0.8)  # seconds: packets get lost
LISTENS = 1.8  # seconds
CONNECTS_WITHIN = 1.0
MAX_VOICES, MAX_OTHERS, MAX_DEVICES, MAX_KNOWN = 16, 64, 256, 8
MAX_HEARD = 4000  # packets

# "What is here?" of DNS-SD: one question for PTR _services._dns-sd._udp.local, answered to who asks.
_DNS_SD = bytes.fromhex("000000000001000000000000") + b"\x09_services\x07_dns-sd\x04_udp\x05local\x00\x00\x0c\x80\x01"
_DNS_SD_AT = {socket.AF_INET: ("224.0.0.251", 5353), socket.AF_INET6: ("ff02::fb", 5353)}
_UPNP = b'M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: "ssdp:discover"\r\nMX: 1\r\nST: ssdp:all\r\n\r\n'
_UPNP_AT = ("239.255.255.250", 1900)


def off(lan: LanSection, bind: Sequence[str]) -> str:
    """Why a node with these settings says nothing to all; "" where it does."""
    if not lan.enabled or not lan.multicast:
        return f"the LAN is not asked ([LAN] {'multicast' if lan.enabled else 'enabled'} = no)"
    if bind and all(ipaddress.ip_address(one).is_loopback for one in bind):
        return "it listens for this computer only ([Node] bind)"
    return ""


async def look_around(
    addresses: Collection[InterfaceAddress], known: Mapping[KeyHash, Endpoint], clock: Callable[[], float]
) -> Lan:
    """Speak from `addresses` of this computer, and listen.  `known` are hosts and where they were on a LAN, `clock` is
    seconds since 1970.  Safe to cancel."""
    looking = _Looking(addresses, known, clock)
    try:
        await asyncio.to_thread(looking.open)
        return await looking.run()
    finally:
        looking.close()


class _Looking:
    """The sockets of one look."""

    def __init__(
        self, addresses: Collection[InterfaceAddress], known: Mapping[KeyHash, Endpoint], clock: Callable[[], float]
    ) -> None:
        inside = {one.name for one in addresses if one.ip.is_loopback}
        wanted = [one for one in addresses if one.of_note and one.name not in inside and one.rank < 3]
        self._addresses = by_importance(wanted)[:MAX_VOICES]
        self._ours = {one.address.partition("%")[0] for one in addresses}
        self._clock, self._today = clock, utc_day(clock())
        here = [one.network for one in self._addresses]
        near = {key: at for key, at in known.items() if at.address and any(_in(at, network) for network in here)}
        self._known = dict(list(near.items())[:MAX_KNOWN])
        self._speaking: dict[InterfaceAddress, socket.socket] = {}
        self._hearing: dict[InterfaceAddress, socket.socket] = {}
        self._problems: dict[InterfaceAddress, str] = {}
        self._cookies: dict[InterfaceAddress, str] = {}
        self._came_back = set[str]()
        self._others: dict[str, Other] = {}
        self._devices: dict[str, None] = {}
        self._left = MAX_HEARD
        self._deaf = ""
        self._routers = set[str]()

    def open(self) -> None:
        """Have the sockets.  Blocks for a moment."""
        self._routers = {route.router for route in routes() if route.router}
        for address in self._addresses:
            self._cookies[address] = str(uuid.uuid4())
            try:
                self._speaking[address] = speaking_socket(address)
            except OSError as failure:
                self._problems[address] = _why(failure)
            try:
                # Bound to the group: what is sent to the daemon alone stays the daemon's.
                hearing = self._hearing[address] = hearing_socket(family_of(address), group_only=True)
                set_membership(hearing, address, member=True)
            except OSError as failure:
                self._problems.setdefault(address, _why(failure))
                if address not in self._hearing and family_of(address) == socket.AF_INET:
                    self._deaf = _why(failure)

    async def run(self) -> Lan:
        """Speak and listen."""
        loop = asyncio.get_running_loop()
        for one in (*self._speaking.values(), *self._hearing.values()):
            loop.add_reader(one, self._readable, one)
        began = loop.time()
        for at in SAID_AT:
            await asyncio.sleep(max(0.0, began + at - loop.time()))
            self._say()
        await asyncio.sleep(max(0.0, began + LISTENS - loop.time()))
        missed = await self._missed()
        voices = tuple(
            Voice(one.name, one.address, self._problems.get(one, ""), self._cookies[one] in self._came_back)
            for one in self._addresses
        )
        return Lan(
            self._clock(),
            voices=voices,
            others=tuple(self._others.values()),
            devices=tuple(self._devices),
            missed=tuple(missed),
            deaf=self._deaf,
        )

    def close(self) -> None:
        """Idempotent."""
        loop = asyncio.get_running_loop()
        for one in (*self._speaking.values(), *self._hearing.values()):
            loop.remove_reader(one)
            one.close()
        self._speaking.clear()
        self._hearing.clear()

    def _say(self) -> None:
        for address, speaking in self._speaking.items():
            scope = (0, address.index) if speaking.family == socket.AF_INET6 else ()
            try:
                search = Search("", self._cookies[address], VERSION).encode()
                speaking.sendto(search, (group_of(speaking), PORT, *scope))
            except OSError as failure:
                self._problems[address] = _why(failure)
                continue
            with contextlib.suppress(OSError):
                for key_hash in self._known:
                    asked = Search(key_hash.rolling(self._today), self._cookies[address], VERSION).encode()
                    speaking.sendto(asked, (group_of(speaking), PORT, *scope))
                group, port = _DNS_SD_AT[socket.AddressFamily(speaking.family)]
                speaking.sendto(_DNS_SD, (group, port, *scope))
                if speaking.family == socket.AF_INET:
                    speaking.sendto(_UPNP, _UPNP_AT)

    def _readable(self, sock: socket.socket) -> None:
        for _ in range(16):
            try:
                data, sender = sock.recvfrom(MAX_PACKET + 1)
            except OSError:
                return
            self._left -= 1
            if self._left < 0:
                asyncio.get_running_loop().remove_reader(sock)  # a flood: what was heard has to do
                return
            self._heard(data, str(sender[0]).partition("%")[0])

    def _heard(self, data: bytes, source: str) -> None:
        packet: object = None
        if data.startswith(b"HARDLINE-"):
            with contextlib.suppress(PeerError):
                packet = parse(data)
        if source in self._ours:
            if isinstance(packet, Search):
                self._came_back.add(packet.cookie)
            return
        if isinstance(packet, Answer) and len(self._others) < MAX_OTHERS:
            # A node says the same cookie wherever it is heard, and with each of its services.
            self._others.setdefault(packet.cookie or source, Other(source, packet.title, packet.day))
        if source not in self._routers and len(self._devices) < MAX_DEVICES:
            self._devices[source] = None

    async def _missed(self) -> list[str]:
        """The known hosts that answered nothing, and that can be connected to all the same."""
        silent = [at for at in self._known.values() if at.host.partition("%")[0] not in self._devices]
        found = await asyncio.gather(*map(_connects, silent))
        return [str(at) for at, connects in zip(silent, found, strict=True) if connects]


async def _connects(at: Endpoint) -> bool:
    try:
        async with asyncio.timeout(CONNECTS_WITHIN):
            _, writer = await asyncio.open_connection(at.host, at.port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


def _in(at: Endpoint, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    address = at.address
    return address is not None and address.version == network.version and address in network


def _why(failure: OSError) -> str:
    return (failure.strerror or str(failure)).lower()
