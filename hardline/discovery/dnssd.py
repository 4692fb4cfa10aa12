"""Finding and being found by DNS-SD, the way of Bonjour and Avahi: for networks where the packets of lan.py are lost.

    run ── announces every listed service ──▶ whoever browses for _hardline._tcp
    find ── after a head start of the packets: what was heard, and a question ──▶ ◀── answers

An answer proves nothing: it is a candidate like any other.  Source: docs/PROTOCOL.md, section 6.5.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from hardline import log
from hardline.discovery.answering import LanService
from hardline.discovery.following import Following
from hardline.discovery.instances import SERVICE_TYPE, Instances, Record, names_for
from hardline.discovery.interfaces import InterfaceAddress
from hardline.discovery.lan import GIVE_UP_AT
from hardline.discovery.looking import never, waited
from hardline.discovery.offers import Offer
from hardline.discovery.rates import Rate
from hardline.identity import KeyHash, Label
from hardline.routes import Candidate, Endpoint, FoundBy, PathKind, Trust

if TYPE_CHECKING:
    from hardline.discovery.mdns import Mdns

HEAD_START = 0.04  # seconds: where the packets get through, DNS-SD costs nothing
ASK_AGAIN_AT = 0.25
PROBE_WAIT = 0.25
JUDGE_AFTER = 3.0  # from when somebody is heard to claim a name of ours: whoever is loud costs no more than that

_MAX_CANDIDATES = 16
_MAX_PER_SOURCE = 4
_PROBES = 2


class _Search:
    """A find under way."""

    def __init__(self, target: KeyHash) -> None:
        self.target = target
        self.news = asyncio.Event()
        self._seen: set[Endpoint] = set()
        self._sources: Counter[str] = Counter()

    def fresh(self, endpoints: Sequence[tuple[str, Endpoint]]) -> Iterator[Candidate]:
        """Those of `endpoints` that are new and within everybody's share."""
        for source, endpoint in endpoints:
            enough = len(self._seen) >= _MAX_CANDIDATES or self._sources[source] >= _MAX_PER_SOURCE
            if endpoint in self._seen or enough:
                continue
            self._seen.add(endpoint)
            self._sources[source] += 1
            yield Candidate(endpoint, PathKind.LAN, FoundBy(DnsSd.name, Trust.HEARD))


class DnsSd:
    """Finds others, and announces the listed ones among `services`, while `run` runs, where it is told to `follow`.

    `port` is the one that this node really listens on, `bind` the addresses whose interfaces are used (none: all),
    `host` what this computer is called, "" for nothing; `told` is called with whatever somebody announces.
    """

    name = "DNS-SD"
    kind: PathKind | None = PathKind.LAN

    def __init__(
        self,
        *,
        services: Callable[[], Sequence[LanService]],
        port: Callable[[], int],
        bind: Sequence[str] = (),
        host: str = "",
        told: Callable[[KeyHash], None] = lambda key_hash: None,
    ) -> None:
        self._services, self._port, self._host, self._told = services, port, host, told
        self._following = Following(bind)
        self._instances = Instances()
        self._searches: set[_Search] = set()
        self._mdns: Mdns | None = None
        self._names: dict[tuple[Label, str], str] = {}  # of (label, title)
        self._rivals: set[tuple[str, str]] = set()  # who claims a name of ours
        self._judging: asyncio.TimerHandle | None = None
        self._asking, self._completing = Rate(5, 2), Rate(5, 2)
        self._warned = self._renamed = False

    async def run(self) -> None:
        """Announce what is offered, and follow services and interfaces as they change, until cancelled."""
        while True:
            addresses, left = self._following.take(), True
            if self._mdns is not None or await self._open(addresses):
                left = await self._follow(addresses)
            await self._following.wait(left=left)

    def follow(self, addresses: frozenset[InterfaceAddress]) -> None:
        """This machine has these addresses now."""
        self._following.told(addresses)

    def refresh(self) -> None:
        """Look at the services now."""
        if self._mdns is not None:
            self._mdns.hush({label for label, _ in self._listed()})
        self._following.nudge()

    def moved(self) -> None:
        """This machine is in another network: what was heard in the old one does not hold here, nor its own name."""
        self._instances = Instances()
        self._renamed = True
        self._ask(unicast=True)
        self.refresh()

    def answer_for(self, host: str, port: int, addresses: Sequence[str]) -> Callable[[], None] | None:
        """As Mdns.answer_for; None also where nothing is heard now."""
        return self._mdns.answer_for(host, port, addresses) if self._mdns is not None else None

    async def aclose(self) -> None:
        """Say goodbye and close every socket; `run` has ended.  Idempotent."""
        if self._judging is not None:
            self._judging.cancel()
        mdns, self._mdns = self._mdns, None
        if mdns is not None:
            await mdns.aclose()

    async def find(self, target: KeyHash) -> AsyncGenerator[Candidate, None]:
        """As Finder.find; ends after GIVE_UP_AT seconds, or at once where there is no multicast DNS."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        search = _Search(target)
        self._searches.add(search)
        try:
            await asyncio.sleep(HEAD_START)
            plan = [began + ASK_AGAIN_AT, began + GIVE_UP_AT]
            self._ask(unicast=True)
            while self._mdns is not None and plan:
                search.news.clear()
                for candidate in search.fresh(self._instances.endpoints(target, loop.time())):
                    yield candidate
                try:
                    async with asyncio.timeout_at(plan[0]):
                        await search.news.wait()
                except TimeoutError:
                    plan.pop(0)
                    self._ask()
        finally:
            self._searches.discard(search)

    async def browse(self, wait: float, enough: Callable[[], bool] = never) -> list[Offer]:
        """Ask who is there, wait `wait` seconds or until there is `enough`, and return what was heard lately."""
        self._ask(unicast=True)
        await waited(wait / 2, enough)
        self._ask_for_the_rest()
        if not enough():
            await waited(wait / 2, enough)
            self._ask_for_the_rest()
        return self.offers

    @property
    def offers(self) -> list[Offer]:
        """What was heard lately."""
        return self._instances.current(asyncio.get_running_loop().time())

    @property
    def deaf(self) -> bool:
        """Others are not heard: somebody else has the port."""
        return self._warned and self._mdns is None

    # Hearing.

    async def _open(self, addresses: frozenset[InterfaceAddress]) -> bool:
        # Not before it is needed: it is 3 MB and 20 ms.
        mdns = (await asyncio.to_thread(_load))(self._heard, self._host)
        try:
            await mdns.open(addresses)
        except OSError as failure:
            if not self._warned:
                self._warned = True
                log.warning("mdns.deaf", reason=str(failure), consequence="no DNS-SD; tried again in silence")
            return False
        self._mdns = mdns
        log.debug("mdns.opened", server=mdns.server)
        return True

    def _heard(self, records: Sequence[Record], source: str) -> None:
        now = asyncio.get_running_loop().time()
        news = self._instances.heard(records, source, now, {search.target for search in self._searches})
        for search in self._searches:
            if search.target in news:
                search.news.set()
        for key_hash in news:
            self._told(key_hash)
        if self._searches:
            self._ask_for_the_rest()
        if self._judging is None and self._rivals_of(self._names.values()) != self._rivals:
            self._judging = asyncio.get_running_loop().call_later(JUDGE_AFTER, self._judge)

    def _judge(self) -> None:
        self._judging = None
        self._following.nudge()

    def _rivals_of(self, names: Collection[str]) -> set[tuple[str, str]]:
        """Who else claims names of ours."""
        if not names:
            return set()
        claims = self._instances.names()
        return {(name, server) for name in names for server in claims.get(name.lower(), ())}

    def _ask(self, *, unicast: bool = False) -> None:
        if self._mdns is not None and self._asking.takes(asyncio.get_running_loop().time()):
            self._mdns.ask([(SERVICE_TYPE, "PTR")], unicast=unicast)

    def _ask_for_the_rest(self) -> None:
        """Ask those who answered in pieces."""
        questions = self._instances.unknown() if self._mdns is not None else []
        if self._mdns is not None and questions and self._completing.takes(asyncio.get_running_loop().time()):
            self._mdns.ask(questions, unicast=True)

    # Announcing.

    async def _follow(self, addresses: frozenset[InterfaceAddress]) -> bool:
        """Whether something is left to be tried again."""
        assert self._mdns is not None
        if self._renamed:
            self._renamed = False
            self._mdns.rename()
        added = await self._mdns.follow(addresses)
        listed = self._listed()
        if listed - self._names.keys():
            for _ in range(_PROBES):
                self._ask(unicast=True)
                await asyncio.sleep(PROBE_WAIT)
            listed &= self._listed()  # not what was hidden meanwhile
        before, self._names = self._names, self._names_of(listed, self._mdns.server)
        wanted = {name: label for (label, _), name in self._names.items()}
        lost = {name for service, name in before.items() if self._names.get(service, name) != name}
        rivals = self._rivals_of(before.values())
        # Whoever believed a new rival hears us once more.
        again = added or not rivals <= self._rivals
        self._rivals = rivals
        all_said = await self._mdns.announce(wanted, self._port(), lost=lost, again=again)
        return not (all_said and self._mdns.speaks_everywhere)

    def _listed(self) -> set[tuple[Label, str]]:
        return {(service.label, service.title) for service in self._services() if service.listed}

    def _names_of(self, listed: set[tuple[Label, str]], server: str) -> dict[tuple[Label, str], str]:
        """The names of (label, title): as they were, but for those that a greater server claims, too."""
        claims = self._instances.names()
        kept = {
            service: name
            for service, name in self._names.items()
            if service in listed and max(claims.get(name.lower(), {server})) <= server
        }
        taken = claims.keys() | {name.lower() for name in kept.values()}
        return kept | names_for(listed - kept.keys(), taken)


def _load() -> type[Mdns]:
    from hardline.discovery.mdns import Mdns  # imports zeroconf

    return Mdns
