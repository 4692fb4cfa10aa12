"""Finding and being found on the local network, by the original's packets.

    find ── search (rolling code) ──▶ group and broadcast, on every interface ──▶ whoever serves it
         ◀── answer, unicast (and to the group, where it is a label) ────────────
         ── where many answer: to each alone ──▶ ◀── who is there ──

An unanswered rolling search is followed by a browse, matched on the key hash: machines whose clocks are wrong still
find each other.  An answer proves nothing: it is a candidate like any other.  What was said to be here is taken back
when it is here no more.
Source: docs/PROTOCOL.md, section 6.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import secrets
import socket
import uuid
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

from hardline.discovery.answering import AnswerPolicy, LanService
from hardline.discovery.following import Following
from hardline.discovery.heard import Heard, Sender
from hardline.discovery.interfaces import InterfaceAddress
from hardline.discovery.looking import never, waited
from hardline.discovery.lpd import MAX_PACKET, VERSION, Answer, Goodbye, Search, parse, sealed, search_code
from hardline.discovery.offers import Offer, Offers
from hardline.discovery.rates import Rate, Rates
from hardline.discovery.sockets import LanSockets
from hardline.errors import PeerError
from hardline.identity import KeyHash, Label, utc_day
from hardline.routes import Candidate, Endpoint, PathKind, Trust

SEARCH_AT = (0.0, 0.1, 0.3)
BROWSE_AT = 0.5
GIVE_UP_AT = 1.0

_BATCH = 16  # packets per turn of the event loop: a flood must leave time for everybody else
_ONCE_MORE = 0.05  # seconds until a search that had to wait looks whether there is room

# A link-local address works on this link and nowhere else, and what works is remembered: others may come first.
_LINK_LOCAL_WAIT = 0.03

# Packets read per second: from all, and of them from one source a fifth.  Reading one costs more than sending it.
_READ = 1000.0
_SHARE = 0.2

# What is sent, whatever asks for it: pages can make a browser search for anything.  Searches a second, and at once.
_SEARCHES, _SEARCHES_AT_ONCE = 20.0, 40.0
BROWSE_PAUSE = 1.0
_ANSWERED_WITHIN = 0.3
_MISSED_FOR = 3.0
_CODES_FOR = 0.2
_MAX_MISSED = 256


class _Search:
    """A find under way."""

    def __init__(self, target: KeyHash, today: int) -> None:
        self.target = target
        self.heard = Heard(target, today, secrets.token_bytes(16))
        self._waiting: deque[Candidate] = deque()  # bounded by what is heard
        self._news = asyncio.Event()

    def found(self, candidate: Candidate, source: str) -> None:
        """A candidate is there, or will be in a moment."""
        if ipaddress.ip_address(source).is_link_local:
            asyncio.get_running_loop().call_later(_LINK_LOCAL_WAIT, self._arrive, candidate)
        else:
            self._arrive(candidate)

    async def next(self) -> Candidate:
        """Wait for the next one: who answered comes first."""
        while not self._waiting:
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()

    def _arrive(self, candidate: Candidate) -> None:
        if candidate.found_by.trust is Trust.ANSWERED:
            self._waiting.appendleft(candidate)
        else:
            self._waiting.append(candidate)
        self._news.set()


class Lan:
    """Searches for others, and answers their searches, from `open` on, on the addresses that it is told to `follow`.

    `run` keeps it right when they change.  `services` are those that this node offers, `port` is the one it really
    listens on, `bind` the addresses whose interfaces are used (none: all), `clock` is seconds since 1970,
    `host` what this computer is called in answers that all may hear, "" for nothing; `heard` is told of each service
    that somebody lists.
    """

    name = "LAN"
    kind: PathKind | None = PathKind.LAN

    def __init__(
        self,
        *,
        services: Callable[[], Sequence[LanService]],
        port: Callable[[], int],
        clock: Callable[[], float],
        bind: Sequence[str] = (),
        multicast: bool = True,
        broadcast: bool = True,
        host: str = "",
        heard: Callable[[KeyHash], None] = lambda key_hash: None,
    ) -> None:
        self._services, self._port, self._clock, self._host, self._heard = services, port, clock, host, heard
        self._cookies: deque[str] = deque([str(uuid.uuid4())], maxlen=2)  # what the old one said may still come
        self._policy = AnswerPolicy()
        self._offers = Offers()
        self._searches: set[_Search] = set()
        self._asked, self._told, self._asked_by_code = (Rates(_READ, _READ, share=_SHARE) for _ in range(3))
        self._codes, self._codes_until = frozenset[str](), float("-inf")
        self._first, self._again = (Rate(_SEARCHES, _SEARCHES_AT_ONCE) for _ in range(2))
        self._missed: OrderedDict[KeyHash, float] = OrderedDict()
        self._browse_at = float("-inf")  # the last one was sent, or the next one will be
        self._browse_later: asyncio.TimerHandle | None = None
        self._said: dict[Label, str] = {}  # by which word it is taken back
        self._sockets = LanSockets(self._readable, multicast=multicast, broadcast=broadcast)
        self._following = Following(bind)

    def open(self) -> None:
        """Hear and speak on the addresses that are known now."""
        self._sockets.open()
        self._sockets.follow(self._following.take())

    async def run(self) -> None:
        """Follow the addresses as they come and go, until cancelled."""
        while True:
            await self._following.wait(left=self._sockets.left)
            self._sockets.follow(self._following.take())

    def follow(self, addresses: frozenset[InterfaceAddress]) -> None:
        """This machine has these addresses now."""
        self._following.told(addresses)

    def services_changed(self) -> None:
        """Other services are offered: what is here no more is taken back."""
        self._codes_until = float("-inf")
        listed = {service.label for service in self._services() if service.listed}
        self._say_goodbye(self._said.keys() - listed)

    def moved(self) -> None:
        """This machine is in another network: what was offered in the old one is not here, and nobody knows it."""
        self._offers = Offers()
        self._said.clear()
        self._missed.clear()
        self._browse_at = min(self._browse_at, asyncio.get_running_loop().time() - BROWSE_PAUSE)
        self._cookies.append(str(uuid.uuid4()))

    async def aclose(self) -> None:
        """Say goodbye and close every socket.  Idempotent."""
        if self._browse_later is not None:
            self._browse_later.cancel()
        self._say_goodbye(list(self._said))
        self._sockets.close()

    async def find(self, target: KeyHash) -> AsyncGenerator[Candidate, None]:
        """As Finder.find; ends after GIVE_UP_AT seconds, or when others' browsing made its own late."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        today = utc_day(self._clock())
        search = _Search(target, today)
        self._searches.add(search)
        rolling = Search(target.rolling(today), self._cookie, VERSION).encode()
        # What was not there a moment ago is asked for once.
        plan = [began + after for after in SEARCH_AT[: 1 if self._was_missed(target, began) else None]]
        ends, browsed, asked, found = began + GIVE_UP_AT, False, False, False
        try:
            while loop.time() < ends:
                if plan and plan[0] <= loop.time():
                    if (self._again if asked else self._first).takes(loop.time()):
                        self._sockets.send_everywhere(rolling)
                        asked = True
                    elif not asked:
                        plan.insert(1, loop.time() + _ONCE_MORE)
                    plan.pop(0)
                if not browsed and not found and loop.time() >= began + BROWSE_AT:
                    browsed, ends = True, max(ends, self._browse() + _ANSWERED_WITHIN)
                events = [*plan[:1], *([began + BROWSE_AT] if not browsed and not found else []), ends]
                try:
                    async with asyncio.timeout_at(min(events)):
                        candidate = await search.next()
                except TimeoutError:
                    continue
                found = True
                yield candidate
        finally:
            self._searches.discard(search)
        if not found:
            self._missed[target] = loop.time()
            self._missed.move_to_end(target)
            if len(self._missed) > _MAX_MISSED:
                self._missed.popitem(last=False)

    async def browse(self, wait: float, enough: Callable[[], bool] = never) -> list[Offer]:
        """Ask who is there, wait `wait` seconds or until there is `enough`, and return what was heard lately."""
        self._browse()
        await waited(wait, enough)
        return self.offers

    @property
    def offers(self) -> list[Offer]:
        """What was heard lately."""
        return self._offers.current(asyncio.get_running_loop().time())

    @property
    def deaf(self) -> bool:
        """Others are not heard: somebody else has the port."""
        return not self._sockets.hears

    @property
    def _cookie(self) -> str:
        return self._cookies[-1]

    def _was_missed(self, target: KeyHash, now: float) -> bool:
        return now - self._missed.pop(target, float("-inf")) < _MISSED_FOR

    def _browse(self) -> float:
        """Ask who is there, for all who want to know within BROWSE_PAUSE; returns when it is, or was just, asked."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._browse_at:
            return self._browse_at
        pause = self._browse_at + BROWSE_PAUSE - loop.time()
        if pause > 0:
            self._browse_at += BROWSE_PAUSE
            self._browse_later = loop.call_later(pause, self._send_browse)
        else:
            self._browse_at = loop.time()
            self._send_browse()
        return self._browse_at

    def _send_browse(self) -> None:
        self._browse_later = None
        self._sockets.send_everywhere(Search("", self._cookie, VERSION).encode())

    # Sending.

    def _say_goodbye(self, labels: Iterable[Label]) -> None:
        for label in labels:
            self._sockets.send_everywhere(Goodbye(self._port(), self._said.pop(label)).encode())

    # Receiving.

    def _readable(self, sock: socket.socket) -> None:
        for _ in range(_BATCH):
            try:
                data, sender = sock.recvfrom(MAX_PACKET + 1)
            except OSError:
                return  # nothing more, or an ICMP error for an earlier answer of ours
            if data.startswith(b"HARDLINE-"):
                source = str(sender[0]).partition("%")[0]
                interface = self._sockets.attached(source, sender)
                if interface is not None and self._is_read(data, source):
                    with contextlib.suppress(PeerError):
                        self._packet(parse(data), source, sender, interface)

    def _is_read(self, data: bytes, source: str) -> bool:
        """A flood of one kind, from one source, or of one code leaves time to read the others."""
        if any(search.heard.may_want(data) for search in self._searches):
            return True
        now = asyncio.get_running_loop().time()
        if not data.startswith(b"HARDLINE-SEARCH"):
            return self._told.takes(source, now)
        if self._codes_until <= now:
            self._codes_until = now + _CODES_FOR
            self._codes = frozenset(self._policy.codes(self._services(), utc_day(self._clock())))
        if (code := search_code(data)) in self._codes:
            return self._asked_by_code.takes(code, now)
        return self._asked.takes(source, now)

    def _packet(
        self, packet: Search | Answer | Goodbye, source: str, sender: Sender, interface: InterfaceAddress
    ) -> None:
        scoped = f"{source}%{interface.name}" if source.startswith("fe80:") else source
        if isinstance(packet, Goodbye):
            self._offers.ended(Endpoint(scoped, packet.port), packet.end)
            return
        if packet.cookie in self._cookies:
            return
        if isinstance(packet, Search):
            self._answer(packet, source, sender, interface)
            return
        endpoint, label = Endpoint(scoped, packet.port), packet.label
        now = asyncio.get_running_loop().time()
        today = utc_day(self._clock())
        for search in self._searches:
            if packet.matches(search.target, today):
                candidate, questions = search.heard.answer(packet, scoped, endpoint, sender, now)
                if candidate is not None:
                    search.found(candidate, source)
                for to, question in questions:
                    self._ask(to, question)
        if label is not None and packet.listed:
            self._offers.heard(label, packet.title, scoped, endpoint, now, packet.end, packet.host)
            self._heard(label.key_hash)

    def _ask(self, to: Sender, question: Search) -> None:
        """A question to one address alone."""
        if (interface := self._sockets.attached(str(to[0]).partition("%")[0], to)) is not None:
            self._sockets.send(interface, question.encode(), to)

    def _answer(self, search: Search, source: str, sender: Sender, interface: InterfaceAddress) -> None:
        day, now = utc_day(self._clock()), asyncio.get_running_loop().time()
        for reply in self._policy.replies(search, source, self._services(), day=day, now=now):
            title = end = host = ""
            if reply.to_all:
                title, host = reply.service.title, self._host
                end = sealed(self._said.setdefault(reply.service.label, secrets.token_hex(16)))
            said = Answer(self._port(), reply.name, self._cookie, title, VERSION, day, search.word, end, host)
            packet = said.encode()
            self._sockets.send(interface, packet, sender)
            if reply.to_all:
                self._sockets.send_to_group(interface, packet)
