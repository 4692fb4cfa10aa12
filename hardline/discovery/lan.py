"""Finding and being found on the local network, by the original's packets.

    find ── search (rolling code) ──▶ group and broadcast, on every interface ──▶ whoever serves it
         ◀── answer, unicast (and to the group, for a listed service) ───────────

An unanswered rolling search is followed by a browse, matched on the key hash: machines whose clocks are wrong still
find each other.  An answer proves nothing: it is a candidate like any other.
Source: docs/PROTOCOL.md, section 6.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence

from hardline import log
from hardline.discovery.answering import AnswerPolicy, LanService
from hardline.discovery.interfaces import InterfaceAddress, interface_addresses
from hardline.discovery.lpd import BROADCAST, MAX_PACKET, PORT, Answer, Search, parse
from hardline.discovery.multicast import family_of, group_of, hearing_socket, set_membership, speaking_socket
from hardline.discovery.offers import Offer, Offers
from hardline.discovery.rates import Rates
from hardline.errors import PeerError
from hardline.identity import KeyHash, utc_day
from hardline.routes import Candidate, Endpoint, Via

LOOK_EVERY = 5.0  # seconds between looks at the machine's interfaces
SEARCH_AT = (0.0, 0.1, 0.3)
BROWSE_AT = 0.5
GIVE_UP_AT = 1.0

_BATCH = 16  # packets per turn of the event loop: a flood must leave time for everybody else
_MAX_WAITING = 16
_MAX_CANDIDATES = 256
_MAX_PER_SOURCE = 4
_USUAL_PORT = 7008
_REMEMBERED_SOURCES = 1024

# A link-local address works on this link and nowhere else, and what works is remembered: others may come first.
_LINK_LOCAL_WAIT = 0.03

# Packets read per second: from all, and of them from one source a fifth.  Reading one costs more than sending it.
_READ = 1000.0
_SHARE = 0.2


class _Search:
    """A find under way."""

    def __init__(self, target: KeyHash, today: int) -> None:
        self.target = target
        self.arrived: asyncio.Queue[Candidate] = asyncio.Queue(_MAX_WAITING)
        self._seen: set[Candidate] = set()
        self._sources: Counter[str] = Counter()
        days = (day for day in (today - 1, today, today + 1) if day >= 0)
        self._names = tuple(name.encode() for name in (str(target), *map(target.rolling, days)))

    def may_want(self, data: bytes) -> bool:
        """It can still use an answer, and these bytes look like one: worth reading even in a flood."""
        return len(self._seen) < _MAX_CANDIDATES and any(name in data for name in self._names)

    def heard(self, answer: Answer, source: str, endpoint: Endpoint) -> None:
        candidate = Candidate(
            endpoint, Via.LAN, "LAN", plain=answer.version < 2 and answer.shows(self.target), day=answer.day
        )
        # Whoever forges answers of a source can use up its share with wrong ports, but not keep out the usual one.
        used_up = self._sources[source] >= _MAX_PER_SOURCE and endpoint.port != _USUAL_PORT
        if candidate in self._seen or used_up or self.arrived.full() or len(self._seen) >= _MAX_CANDIDATES:
            return
        self._seen.add(candidate)
        self._sources[source] += 1
        if ipaddress.ip_address(source).is_link_local:
            asyncio.get_running_loop().call_later(_LINK_LOCAL_WAIT, self._arrive, candidate)
        else:
            self._arrive(candidate)

    def _arrive(self, candidate: Candidate) -> None:
        if not self.arrived.full():
            self.arrived.put_nowait(candidate)


class Lan:
    """Searches for others, and answers their searches, from `open` on; `run` keeps it right when interfaces change.

    `services` are those that this node offers, `port` is the one it really listens on, `bind` the addresses whose
    interfaces are used (none: all), `clock` is seconds since 1970.
    """

    name = "LAN"
    via: Via | None = Via.LAN

    def __init__(
        self,
        *,
        services: Callable[[], Sequence[LanService]],
        port: Callable[[], int],
        clock: Callable[[], float],
        bind: Sequence[str] = (),
        multicast: bool = True,
        broadcast: bool = True,
    ) -> None:
        self._services, self._port, self._clock, self._bind = services, port, clock, tuple(bind)
        self._multicast, self._broadcast = multicast, broadcast
        self._cookie = str(uuid.uuid4())
        self._policy = AnswerPolicy()
        self._offers = Offers()
        self._searches: set[_Search] = set()
        self._asked, self._told = (Rates(_READ, _READ, share=_SHARE) for _ in range(2))
        self._known: dict[tuple[str, object], InterfaceAddress | None] = {}
        self._hearing: dict[socket.AddressFamily, socket.socket] = {}
        self._speaking: dict[InterfaceAddress, socket.socket] = {}
        self._refused: set[InterfaceAddress] = set()
        self._changed = asyncio.Event()

    async def open(self) -> None:
        """Hear and speak on the interfaces that are there now."""
        for family in (socket.AF_INET, socket.AF_INET6):
            self._hear(family)
        self._follow(await asyncio.to_thread(interface_addresses, self._bind))

    async def run(self) -> None:
        """Follow the interfaces as they come and go, until cancelled."""
        while True:
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await self._changed.wait()
            self._follow(await asyncio.to_thread(interface_addresses, self._bind))

    def refresh(self) -> None:
        """Look at the interfaces now."""
        self._changed.set()

    def moved(self) -> None:
        """This machine is in another network: what was offered in the old one is not here."""
        self._offers = Offers()
        self.refresh()

    async def aclose(self) -> None:
        """Close every socket.  Idempotent."""
        self._close()

    async def find(self, target: KeyHash) -> AsyncGenerator[Candidate, None]:
        """As Finder.find; ends after GIVE_UP_AT seconds."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        search = _Search(target, utc_day(self._clock()))
        self._searches.add(search)
        rolling = Search(target.rolling(utc_day(self._clock())), self._cookie)
        plan = [(began + after, rolling) for after in SEARCH_AT]
        plan.append((began + BROWSE_AT, Search("", self._cookie)))
        found = False
        try:
            while loop.time() < began + GIVE_UP_AT:
                while plan and plan[0][0] <= loop.time():
                    packet = plan.pop(0)[1]
                    if packet.code or not found:
                        self._send_everywhere(packet.encode())
                try:
                    async with asyncio.timeout_at(plan[0][0] if plan else began + GIVE_UP_AT):
                        candidate = await search.arrived.get()
                except TimeoutError:
                    continue
                found = True
                yield candidate
        finally:
            self._searches.discard(search)

    async def browse(self, wait: float) -> list[Offer]:
        """Ask who is there, wait `wait` seconds, and return what was heard lately."""
        self._send_everywhere(Search("", self._cookie).encode())
        await asyncio.sleep(wait)
        return self._offers.current(asyncio.get_running_loop().time())

    # Sockets.

    def _hear(self, family: socket.AddressFamily) -> None:
        try:
            hearing = hearing_socket(family)
        except OSError as failure:
            # Searching still works; being found by others does not.
            log.warning("lan.deaf", family=family.name, port=PORT, reason=str(failure))
            return
        self._hearing[family] = hearing
        asyncio.get_running_loop().add_reader(hearing, self._readable, hearing)

    def _follow(self, addresses: frozenset[InterfaceAddress]) -> None:
        self._known.clear()
        self._refused &= addresses
        for gone in self._speaking.keys() - addresses:
            self._drop(gone)
        for address in sorted(addresses - self._speaking.keys()):
            try:
                speaking = speaking_socket(address)
            except OSError as failure:  # a new IPv6 address cannot be used for its first second or two
                if address not in self._refused:
                    log.debug("lan.skipped", interface=address.name, address=address.address, reason=str(failure))
                self._refused.add(address)
                continue
            self._speaking[address] = speaking
            asyncio.get_running_loop().add_reader(speaking, self._readable, speaking)
            self._join(address)
            log.debug("lan.joined", interface=address.name, address=address.address)

    def _join(self, address: InterfaceAddress) -> None:
        hearing = self._hearing.get(family_of(address))
        if hearing is None:
            return
        try:
            set_membership(hearing, address, member=True)
        except OSError as failure:
            # EADDRINUSE: another address of the same interface joined it.
            log.debug("lan.not_joined", interface=address.name, reason=str(failure))

    def _drop(self, address: InterfaceAddress) -> None:
        speaking = self._speaking.pop(address)
        asyncio.get_running_loop().remove_reader(speaking)
        speaking.close()
        hearing = self._hearing.get(family_of(address))
        still = any(other.index == address.index and family_of(other) == family_of(address) for other in self._speaking)
        if hearing is not None and not still:
            with contextlib.suppress(OSError):
                set_membership(hearing, address, member=False)

    def _close(self) -> None:
        loop = asyncio.get_running_loop()
        for one in (*self._hearing.values(), *self._speaking.values()):
            loop.remove_reader(one)
            one.close()
        self._hearing.clear()
        self._speaking.clear()

    # Sending.

    def _send_everywhere(self, packet: bytes) -> None:
        for address, speaking in list(self._speaking.items()):
            self._speak(speaking, packet, address)

    def _speak(self, speaking: socket.socket, packet: bytes, address: InterfaceAddress) -> None:
        if self._multicast:
            scope = (0, address.index) if speaking.family == socket.AF_INET6 else ()
            _send(speaking, packet, (group_of(speaking), PORT, *scope))
        if self._broadcast and speaking.family == socket.AF_INET:
            _send(speaking, packet, (BROADCAST, PORT))

    # Receiving.

    def _readable(self, sock: socket.socket) -> None:
        for _ in range(_BATCH):
            try:
                data, sender = sock.recvfrom(MAX_PACKET + 1)
            except OSError:
                return  # nothing more, or an ICMP error for an earlier answer of ours
            if data.startswith(b"HARDLINE-S"):
                source = str(sender[0]).partition("%")[0]
                interface = self._attached(source, sender)
                if interface is not None and self._is_read(data, source):
                    with contextlib.suppress(PeerError):
                        self._packet(parse(data), source, sender, interface)

    def _is_read(self, data: bytes, source: str) -> bool:
        """A flood of one kind, or from one source, leaves time to read the others."""
        if any(search.may_want(data) for search in self._searches):
            return True
        rates = self._asked if data.startswith(b"HARDLINE-SEARCH") else self._told
        return rates.takes(source, asyncio.get_running_loop().time())

    def _packet(
        self, packet: Search | Answer, source: str, sender: tuple[object, ...], interface: InterfaceAddress
    ) -> None:
        if packet.cookie == self._cookie:
            return
        if isinstance(packet, Search):
            self._answer(packet, source, sender, interface)
            return
        scoped = f"{source}%{interface.name}" if source.startswith("fe80:") else source
        endpoint = Endpoint(scoped, packet.port)
        today = utc_day(self._clock())
        for search in self._searches:
            if packet.matches(search.target, today):
                search.heard(packet, source, endpoint)
        label = packet.label
        if label is not None and packet.listed:
            self._offers.heard(label, packet.title, scoped, endpoint, asyncio.get_running_loop().time())

    def _answer(self, search: Search, source: str, sender: tuple[object, ...], interface: InterfaceAddress) -> None:
        day, now = utc_day(self._clock()), asyncio.get_running_loop().time()
        for reply in self._policy.replies(search.code, source, self._services(), day=day, now=now):
            title = reply.service.title if reply.to_all else ""
            packet = Answer(self._port(), reply.name, self._cookie, title, version=2, day=day).encode()
            speaking = self._speaking.get(interface)
            if speaking is None:
                continue
            _send(speaking, packet, sender)
            if reply.to_all and self._multicast:
                scope = (0, interface.index) if speaking.family == socket.AF_INET6 else ()
                _send(speaking, packet, (group_of(speaking), PORT, *scope))

    def _attached(self, source: str, sender: tuple[object, ...]) -> InterfaceAddress | None:
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


def _send(speaking: socket.socket, packet: bytes, to: tuple[object, ...]) -> None:
    # Interfaces come and go, firewalls say EPERM, ICMP errors of earlier packets surface here: searches are repeated.
    with contextlib.suppress(OSError):
        speaking.sendto(packet, to)
