"""What lies beyond the LAN: how the world finds and reaches this node, and how this node finds others there.

    NetworkWatch ──▶ Mappings, AskedAddress, Reached ──▶ Whereabouts ──┬─▶ the host's hello
                                                                       └─▶ Publisher ──▶ Table (OpenDHT, its proxies)
                                                             Dialer ◀── DhtFinder ◀──────┘

Who is told what, and in which order; reachparts.py builds the parts.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from hardline import log
from hardline.discovery.asked import AskedAddress
from hardline.discovery.interfaces import InterfaceAddress, limited
from hardline.discovery.reached import Reached
from hardline.discovery.roaming import Follower, NetworkWatch
from hardline.discovery.whereabouts import Whereabouts
from hardline.identity import KeyHash
from hardline.routes import Endpoint
from hardline.settings.directory import Service
from hardline.tasks import TaskSet, keep_running
from hardline.transport.listener import ALL_ADDRESSES
from hardline.upnp.advice import THEN

if TYPE_CHECKING:
    from hardline.dht.either import Either
    from hardline.dht.finder import DhtFinder
    from hardline.dht.publisher import Published, Publisher
    from hardline.upnp.mappings import Mappings

RELAYS_SETTLE = 5.0  # seconds from a change of relays to the next announcement
RELAYS_FIRST_SETTLE = 0.5  # the same for the first time
DIALLED = "a relay that was asked to dial here"
ROUTERS_FIRST = 4.0  # seconds that routers have to answer before anything is published without an IPv4 address


@dataclass(frozen=True, slots=True)
class WayHere:
    """How the world reaches this node: endpoints that are told and by whom they are known, those at which visitors say
    that they came, what its owner should do; `upnp` and `dht` as docs/STATUS.md has them; whether it `listens` at all.
    """

    endpoints: Mapping[Endpoint, str]
    reached: Sequence[Endpoint]
    only_here: bool
    advice: str | None
    upnp: dict[str, Any] | None
    dht: dict[str, Any] | None
    listens: bool = True


class Parts(Protocol):
    """What is introduced to each other here; None is what is switched off."""

    def watch(self, happened: Callable[[bool], None]) -> NetworkWatch:
        """This machine's addresses."""

    def reached(self) -> Reached:
        """What visitors say."""

    def mappings(
        self, port: Callable[[], int], changed: Callable[[], None], needed: Callable[[], bool]
    ) -> Mappings | None:
        """The routers."""

    def asked(self, port: Callable[[], int], changed: Callable[[], None]) -> AskedAddress | None:
        """The web service that knows our address."""

    def table(self) -> Either | None:
        """The DHT."""

    def finder(self, table: Either, ours: Callable[[], frozenset[Endpoint]]) -> DhtFinder:
        """Who looks hosts up there."""

    def publisher(
        self, table: Either, services: Callable[[], Sequence[Published]], hosts: Callable[[], Sequence[Endpoint]]
    ) -> Publisher:
        """Who publishes services there."""


class Reach:
    """Everything of one node that goes beyond its LAN.  `look`, `start`, then `aclose`.

    `public` is what the owner says of where the world reaches this node, `bind` the addresses that it listens on (none:
    all), `services` are those offered now, `listening` where other nodes may connect; `moved` is called when this
    machine's network is another, with whether its addresses are too; `relayed` says that relays are used, of which
    `relays_changed` tells, `dialled` where some of them have reached this node, which `dialled_changed` tells;
    `whereabouts_changed` is called when anybody else knows it elsewhere than before, but for IPv6: relays dial by IPv4;
    `told_otherwise` when visitors may be told other places than before, however those are known.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        public: Sequence[Endpoint],
        bind: Sequence[str],
        services: Callable[[], Sequence[Service]],
        listening: Callable[[], Sequence[Endpoint]],
        moved: Callable[[bool], None],
        relayed: bool = False,
        dialled: Callable[[], Sequence[Endpoint]] = tuple,
        whereabouts_changed: Callable[[], None] = lambda: None,
        told_otherwise: Callable[[], None] = lambda: None,
    ) -> None:
        self._whereabouts_changed, self._told_otherwise = whereabouts_changed, told_otherwise
        self._services, self._listening, self._moved = services, listening, moved
        self._tasks = TaskSet("reach")
        self._watch = parts.watch(self._network_happened)
        self._watch.follow(lambda _: self._follow_routers())
        self._reached = parts.reached()
        self._mappings = parts.mappings(self._port, self._changed, lambda: not self._is_known_by_ipv4())
        self._asked = parts.asked(self._port, self._changed)
        self.whereabouts = Whereabouts(
            {
                "[Node] public": lambda: public,
                "the router": self._mapped,
                "what visitors say": lambda: self._reached.agreed,
                DIALLED: dialled,
                "[Node] ip_service": lambda: self._asked.endpoints if self._asked else (),
            },
            self._port,
            lambda: limited(self._watch.addresses, bind) if listening() else (),
        )
        self._table = table = parts.table()
        self.finder = parts.finder(table, self._ours) if table else None
        self._publisher = parts.publisher(table, self._published, self._to_publish) if table else None
        self._told: Sequence[Endpoint] = ()
        self._known_otherwise = list[Endpoint]()  # without what relays have found out
        self._telling: asyncio.TimerHandle | None = None
        self._waiting_for_relays = relayed
        self._offered: list[Published] = []
        self._mapping = self._waiting_for_routers = False
        self._known_by_ipv4 = asyncio.Event()

    @property
    def addresses(self) -> frozenset[InterfaceAddress]:
        """All addresses of this machine."""
        return self._watch.addresses

    async def look(self) -> None:
        """Look at the addresses of this machine: from now on they are known."""
        await self._watch.look()

    def follow(self, follower: Follower) -> None:
        """As NetworkWatch.follow."""
        self._watch.follow(follower)

    async def start(self) -> None:
        """Begin; `listening` must be known."""
        self._tasks.start(keep_running(self._watch.run, "network"), "network")
        if self._mappings is None and self._advice:
            log.event("whereabouts.unknown", advice=self._advice)
        if self._asked is not None:
            self._tasks.start(keep_running(self._asked.run, "ip_service"), "ip_service")
        if self._publisher is not None:
            self._tasks.start(keep_running(self._publisher.run, "directory"), "directory")
        if self._waiting_for_relays:
            self._tasks.start(self._wait_for_relays(), "relays")
        self.services_changed()

    async def _wait_for_relays(self) -> None:
        """As for routers: what was published before lasts."""
        await asyncio.sleep(ROUTERS_FIRST)
        if self._waiting_for_relays:
            self._tell_of_relays()

    def services_changed(self) -> None:
        """Other services are offered than before."""
        if self._services() and self._mappings is not None and not self._mapping and not self._only_here:
            self._mapping = True  # from the first service on: who only visits needs no port
            self._tasks.start(keep_running(self._mappings.run, "upnp"), "upnp")
            if not self._is_known_by_ipv4():
                self._waiting_for_routers = True
                self._tasks.start(self._wait_for_routers(), "routers")
        if self._publisher is not None and (offered := self._published()) != self._offered:
            self._offered = offered
            self._publisher.changed()

    def relays_changed(self) -> None:
        """Services are reached by other relays than before: told soon, and once for all that happens meanwhile.

        A relay that comes and goes must not keep the other addresses from being published.
        """
        if self._publisher is not None and self._telling is None:
            soon = RELAYS_FIRST_SETTLE if self._waiting_for_relays else RELAYS_SETTLE
            self._telling = asyncio.get_running_loop().call_later(soon, self._tell_of_relays)

    def _tell_of_relays(self) -> None:
        self._telling, self._waiting_for_relays = None, False
        if self._publisher is not None:
            self._publisher.changed()

    def said(self, source: Endpoint, reached: str) -> None:
        """A visitor at `source` told where it reached this node."""
        if self._reached.said(source, reached):
            log.event("reached.agreed", endpoint=reached)
            self._changed()

    def dialled_changed(self) -> None:
        """Relays have reached this node elsewhere than before."""
        self._changed()

    def is_ours(self, endpoint: Endpoint) -> bool:
        """Whether this node listens at `endpoint`."""
        return endpoint in self._ours()

    def describe(self) -> WayHere:
        """How the world reaches this node, and how it asks the DHT."""
        told = self.whereabouts.explained()
        advice = self._advice
        return WayHere(
            endpoints=told,
            reached=tuple(self._reached.heard),
            only_here=self._only_here,
            listens=bool(self._listening()),
            advice=f"for visitors without IPv6: {advice}" if advice and told else advice or None,
            upnp=self._mappings.describe() if self._mappings and self._mapping else None,
            dht={**self._table.describe(), **self.finder.describe()} if self._table and self.finder else None,
        )

    @property
    def _advice(self) -> str:
        """What the owner should do so that others reach this node by IPv4; empty where nothing is."""
        if not (self._services() and self._listening()) or self._only_here or self._is_known_by_ipv4():
            return ""
        if self._mappings is not None:
            return self._mappings.advice if self._mapping else ""
        then = THEN.format(where="YOUR-PUBLIC-ADDRESS", port=self._port())
        return f"forward TCP port {self._port()} on the router to this computer, {then}"

    @property
    def _only_here(self) -> bool:
        """This node listens for programs of this machine only."""
        at = self._listening()
        return bool(at) and all(one.address is not None and one.address.is_loopback for one in at)

    def describe_service(self, key_hash: KeyHash) -> dict[str, Any] | None:
        """What became of announcing a service in the DHT; None where it is not announced."""
        return self._publisher.describe().get(str(key_hash)) if self._publisher else None

    async def aclose(self) -> None:
        """Give back what routers opened, and end everything."""
        if self._telling is not None:
            self._telling.cancel()
        await self._tasks.aclose()
        if self._mappings is not None and self._mapping:
            await self._mappings.aclose()
        if self._table is not None:
            await self._table.aclose()

    # What the parts ask.

    def _port(self) -> int:
        return next((at.port for at in self._listening()), 0)

    def _mapped(self) -> Sequence[Endpoint]:
        """By IPv4: with IPv6 the router opens the way to this machine's own address, which is told anyway."""
        return [at for at in self._mappings.endpoints if ":" not in at.host] if self._mappings else ()

    def _ours(self) -> frozenset[Endpoint]:
        addresses = [one.address.partition("%")[0] for one in self._watch.addresses]
        return frozenset(
            Endpoint(host, at.port)
            for at in self._listening()
            for host in (addresses if at.host in ALL_ADDRESSES else [at.host])
        )

    def _to_publish(self) -> Sequence[Endpoint]:
        return () if self._waiting_for_routers or self._waiting_for_relays else self.whereabouts.current()

    async def _wait_for_routers(self) -> None:
        """What was published once stays for ten minutes, and originals may read that rather than what came later."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ROUTERS_FIRST):
                await self._known_by_ipv4.wait()
        self._waiting_for_routers = False
        if self._publisher is not None:
            self._publisher.changed()

    def _is_known_by_ipv4(self) -> bool:
        return any(":" not in endpoint.host for endpoint in self.whereabouts.current())

    def _published(self) -> list[Published]:
        from hardline.dht.publisher import Published

        return [
            Published(service.identity, service.legacy)
            for service in self._services()
            if service.settings.access.use_dht
        ]

    # What happens.

    def _follow_routers(self) -> None:
        if self._mappings is not None and self._mapping:
            self._mappings.follow()

    def _network_happened(self, others: bool) -> None:
        if others:
            log.event("network.changed", addresses=len(self._watch.addresses))
            self._reached.forget()
            if self._mappings is not None and self._mapping:
                self._mappings.refresh()
            if self._asked is not None:
                self._asked.refresh()
            if self._table is not None:
                self._table.network_changed()
        self._moved(others)
        self._changed()

    def _changed(self) -> None:
        """Perhaps the world sees this node elsewhere than before."""
        now = self.whereabouts.current()
        if self._is_known_by_ipv4():
            self._known_by_ipv4.set()
        if now != self._told:
            self._told = now
            log.event("whereabouts.changed", endpoints=" ".join(map(str, now)) or "none")
            if self._publisher is not None:
                self._publisher.changed()
        self._told_otherwise()  # it is looked there what each visitor was told
        otherwise = [at for at, by in self.whereabouts.explained().items() if by != DIALLED and not _by_ipv6(at)]
        if otherwise != self._known_otherwise:
            self._known_otherwise = otherwise
            self._whereabouts_changed()


def _by_ipv6(at: Endpoint) -> bool:
    return at.address is not None and at.address.version == 6
