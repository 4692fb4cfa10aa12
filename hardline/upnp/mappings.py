"""All routers: found, asked, followed; what the world can reach, and what a person should do where it cannot.

    Mappings.run ── attached ─▶ addresses, default gateways
                 ── searching ─▶ UPnP routers ─────────────▶ Lease(router.Igd)
                 ── portcontrol ─▶ gateways without UPnP ──▶ Lease(Pcp or NatPmp)
                 ── portcontrol ─▶ IPv6 firewalls ─────────▶ Lease(Pcp)
                 ── searching ─▶ those without PCP ────────▶ Lease(firewall.Firewall)
    changed() ◀── endpoints are others than before

A network that changed (`follow`), an announcement of a router and `refresh` all lead to a look at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from hardline import log
from hardline.routes import Endpoint
from hardline.tasks import TaskSet
from hardline.upnp import ssdp
from hardline.upnp.advice import Router, advise
from hardline.upnp.announcements import Announcements
from hardline.upnp.attached import Attached, attached
from hardline.upnp.firewall import Firewall, candidates, offers
from hardline.upnp.grants import RouterFailed, Way
from hardline.upnp.leases import Lease
from hardline.upnp.portcontrol import Pcp, speaks
from hardline.upnp.router import Igd
from hardline.upnp.routing import OnInterface
from hardline.upnp.searching import Found, search, search_6
from hardline.upnp.telling import Teller

SEARCH_AGAIN = (30.0, 60.0, 120.0, 300.0, 600.0)  # seconds after searches that found nothing more
SEARCH_REST = 2.0  # seconds between two searches at the least
MAX_OTHERS = 2  # routers that are no default gateway
RELEASE_LIMIT = 1.2  # seconds for everything at the end
_FIRST_HOLD = 8.0


class Mappings:
    """Keeps TCP port `port()` reachable from outside while `run` runs.

    `owner` is a text that stays the same over restarts and that nobody else on the LAN has: what it left at a router
    in an earlier life is recognised by it.  `lease` is how many seconds a router is asked for at a time.  `changed` is
    called at once when `endpoints` changed; of a router that changes all the time it tells less often.  `bind` are the
    addresses that the port listens on (none: all); `needed` tells whether nothing else makes this node reachable by
    IPv4, so that a person should act.  `clock` is seconds on any monotonic clock.
    """

    def __init__(
        self,
        port: Callable[[], int],
        *,
        owner: str,
        lease: float,
        changed: Callable[[], None],
        bind: Sequence[str] = (),
        needed: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._port, self._owner, self._lease, self._bind = port, owner, lease, tuple(bind)
        self._changed, self._needed, self._clock = changed, needed, clock
        self._name = "hardline " + hashlib.blake2b(owner.encode(), digest_size=4, person=b"upnp name").hexdigest()
        self._tasks = TaskSet("upnp")
        self._leases: dict[tuple[str, str, str], Lease] = {}
        self._running: dict[tuple[str, str, str], asyncio.Task[Any]] = {}
        self._attached = Attached()
        self._announcements = Announcements(self._announced)
        self._again = asyncio.Event()
        self._searched_at: float | None = None
        self._told: tuple[Endpoint, ...] = ()
        self._teller = Teller(self._tell_now)
        self._advised = ""

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where the world can reach us, as far as the routers know: IPv4 first."""
        found = dict.fromkeys(lease.endpoint for lease in self._leases.values())
        return tuple(sorted((endpoint for endpoint in found if endpoint), key=lambda at: ":" in at.host))

    def refresh(self) -> None:
        """Look at the network and at every router now."""
        for lease in self._leases.values():
            lease.look()
        self._again.set()

    def follow(self) -> None:
        """Addresses or routes are others than before: look whether those are that count here."""
        self._tasks.start(self._glance(), "glance")

    async def run(self) -> None:
        """Find routers and hold a mapping on each until cancelled; `aclose` gives them back."""
        fruitless = 0
        while True:
            self._again.clear()
            await self._look_around()
            before = self.endpoints
            await self._search()
            fruitless = fruitless + 1 if self.endpoints == before else 0
            self._searched_at = self._clock()
            self._say()
            await asyncio.sleep(SEARCH_REST)
            await self._wait(SEARCH_AGAIN[min(fruitless, len(SEARCH_AGAIN) - 1)])

    async def aclose(self) -> None:
        """Give everything back, within RELEASE_LIMIT seconds; `run` has ended.  Idempotent, never raises."""
        self._announcements.close()
        self._teller.close()
        await self._tasks.aclose()
        leases, self._leases = list(self._leases.values()), {}
        self._running.clear()
        try:
            async with asyncio.timeout(RELEASE_LIMIT):
                await _together(*map(_give_back, leases))
        except TimeoutError:
            log.warning("upnp.kept", reason=f"the routers did not answer within {RELEASE_LIMIT} s")

    def describe(self) -> dict[str, Any]:
        """What is known, for people: a plain dict."""
        asked = {lease.way.router for lease in self._leases.values()}
        silent = [
            {
                "kind": None,
                "router": router,
                "own": own,
                "state": "silent",
                "problem": "it speaks none of the protocols",
            }
            for router, own in self._attached.gateways_4
            if router not in asked and self._searched_at is not None
        ]
        endpoints = self.endpoints
        return {
            "state": "mapped" if endpoints else "searching" if self._searched_at is None else "unreachable",
            "endpoints": [str(endpoint) for endpoint in endpoints],
            "routers": [*(lease.describe() for lease in self._leases.values()), *silent],
            "advice": self.advice,
            "searched_s": None if self._searched_at is None else round(self._clock() - self._searched_at, 1),
        }

    @property
    def advice(self) -> str:
        """What a person should do so that others reach this node by IPv4; empty where nothing is."""
        if self._searched_at is None:
            return ""
        asked = [lease for lease in self._leases.values() if ":" not in lease.way.own]
        routers = [
            Router(*(lease.way.router, lease.way.own, lease.external), mapped=lease.grant.port if lease.grant else 0)
            for lease in asked
        ]
        known = {router.address for router in routers}
        routers += [Router(*at) for at in self._attached.gateways_4 if at[0] not in known]
        if not routers and self.endpoints:
            return ""  # there is no IPv4 here, and IPv6 does
        return advise(self._port(), routers)

    # Finding.

    async def _glance(self) -> None:
        if await asyncio.to_thread(attached, self._bind) != self._attached:
            self._again.set()

    async def _look_around(self) -> None:
        now = await asyncio.to_thread(attached, self._bind)
        if now == self._attached:
            return
        gone = self._attached.addresses - now.addresses
        self._attached = now
        for key, lease in list(self._leases.items()):
            if lease.way.own in gone:
                # It cannot be given back from an address that is no longer ours: it runs out.
                await self._drop(key)
            else:
                lease.look()
        await self._announcements.open(own.address for own in now.own_4)

    async def _search(self) -> None:
        ended = [key for key, task in self._running.items() if task.done()]
        for key in ended:
            del self._running[key]
        found: list[Found] = []
        await _together(self._search_4(found), self._search_6())
        await _together(*(self._search_firewall(own, found) for own in self._attached.own_6))
        for key in ended:
            if key not in self._running:
                before = self._leases.pop(key, None)
                if before:
                    await _give_back_in_time(before)

    async def _search_4(self, found: list[Found]) -> None:
        speaking: list[Way] = []
        await _together(
            self._search_upnp(found),
            *(self._who_speaks(*at, speaking) for at in self._attached.gateways_4 if at[0] not in self._answered()),
        )
        ways = [Igd(one.urls, one.router, one.own, self._name) for one in found]
        for way in ways:
            known = self._leases.get(way.key)
            if known and isinstance(known.way, Igd) and known.way.moved(way.urls):
                known.look()
        leading = {router for router, _ in self._attached.gateways_4}
        await self._hold([way for way in ways if way.router in leading])
        answered = self._answered()
        await self._hold([way for way in speaking if way.router not in answered])
        if not any(":" not in endpoint.host for endpoint in self.endpoints):
            # Answers to the world go through the default gateway, so another router seldom helps; and anybody can
            # say that he is one.
            room = MAX_OTHERS - sum(1 for _, router, own in self._running if router not in leading and ":" not in own)
            await self._hold([way for way in ways if way.router not in leading][: max(0, room)])

    async def _search_6(self) -> None:
        """Whoever speaks PCP is asked by it: the pinhole is ours by its nonce, over restarts too."""
        held = {(lease.way.router, lease.way.own) for lease in self._leases.values() if lease.grant}
        opened = {lease.way.own for lease in self._of(Firewall) if lease.grant}
        speaking: list[Way] = []
        asked = [at for at in self._attached.gateways_6 if at not in held and at[1] not in opened]
        await _together(*(self._who_speaks(*at, speaking) for at in asked))
        for way in speaking:
            await self._end(Firewall, way.own)
        await self._hold(speaking)

    async def _search_firewall(self, own: OnInterface, found: Sequence[Found]) -> None:
        """Have one IPv6 address opened by UPnP; never where PCP opened it, or did and may again."""
        known = next((lease for lease in self._of(Firewall, own.address) if self._runs(lease)), None)
        if any(self._runs(lease) and lease.worked for lease in self._of(Pcp, own.address)):
            return
        if known and known.grant and not known.problem:
            return
        gateways = [at for at in self._attached.gateways_6 if at[1] == own.address]
        urls = [(url, own.address) for url in await search_6(own, self._attached.addresses)]
        leading = {router for router, _ in self._attached.gateways_4}
        urls += [(url, one.own) for one in found if one.router in leading for url in one.urls]
        places = candidates(gateways, (ssdp.place(url, ours, own.interface) for url, ours in urls))
        if known and isinstance(known.way, Firewall):
            if known.way.moved(places):
                known.look()
            return
        way = await offers(*gateways[0], places) if gateways else None
        if way:
            await self._end(Pcp, own.address)
            await self._hold([way])

    async def _search_upnp(self, found: list[Found]) -> None:
        found += await search(self._attached)

    async def _who_speaks(self, router: str, own: str, speaking: list[Way]) -> None:
        way = await speaks(router, own, self._owner, self._clock)
        if way:
            speaking.append(way)

    def _of(self, kind: type[Way], own: str = "") -> list[Lease]:
        """The leases by ways of a kind, for one address of ours or for all."""
        return [lease for lease in self._leases.values() if isinstance(lease.way, kind) and own in ("", lease.way.own)]

    def _runs(self, lease: Lease) -> bool:
        task = self._running.get(lease.way.key)
        return task is not None and not task.done()

    def _answered(self) -> set[str]:
        """The IPv4 routers that need not be asked in another language.

        One that said no is among them: miniupnpd with rules that deny everything never ends with the second question.
        """
        return {
            lease.way.router
            for lease in self._leases.values()
            if lease.grant or (lease.refused and isinstance(lease.way, Igd))
        }

    async def _hold(self, ways: Sequence[Way]) -> None:
        """Start what is new, and wait until each router has answered once."""
        fresh = []
        for way in ways:
            if way.key in self._running:
                continue
            before = self._leases.get(way.key)
            if before:
                await _give_back_in_time(before)
            lease = Lease(
                *(way, self._port),
                lease=self._lease,
                changed=self._tell,
                astray=self._again.set,
                clock=self._clock,
            )
            self._leases[way.key] = lease
            self._running[way.key] = self._tasks.start(lease.run(), f"{way.kind} {way.router}")
            fresh.append(lease)
        try:
            async with asyncio.timeout(_FIRST_HOLD):
                for lease in fresh:
                    await lease.settled.wait()
        except TimeoutError:
            pass

    async def _end(self, kind: type[Way], own: str) -> None:
        """Give back what is held by ways of a kind for an address: another opens it."""
        for lease in self._of(kind, own):
            await self._take_out(lease.way.key)
            await _give_back_in_time(lease)

    async def _take_out(self, key: tuple[str, str, str]) -> Lease:
        lease, task = self._leases.pop(key), self._running.pop(key, None)
        if task:
            task.cancel()
            await asyncio.wait([task])
        return lease

    async def _drop(self, key: tuple[str, str, str]) -> None:
        lease = await self._take_out(key)
        log.event("upnp.left", router=lease.way.router, kind=lease.way.kind, own=lease.way.own)
        self._tell()

    async def _wait(self, pause: float) -> None:
        """Until the next search is due, or somebody asks for it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._again.wait()

    def _announced(self, router: str) -> None:
        asked = [self._leases[key] for key, task in self._running.items() if key[1] == router and not task.done()]
        for lease in asked:
            lease.look()
        if not asked and router in {gateway for gateway, _ in self._attached.gateways_4}:
            self._again.set()

    # Telling.

    def _tell(self) -> None:
        if self.endpoints != self._told:
            self._teller.tell()

    def _tell_now(self) -> None:
        if self.endpoints != self._told:
            self._told = self.endpoints
            self._changed()
            self._say()

    def _say(self) -> None:
        advice = self.advice
        if advice and advice != self._advised and self._needed():
            log.warning("upnp.unreachable", advice=advice)
        self._advised = advice


async def _together(*work: Coroutine[Any, Any, None]) -> None:
    """Do all at once; a cancellation waits until every one of them has ended."""
    async with asyncio.TaskGroup() as group:
        for one in work:
            group.create_task(one, name="upnp")


async def _give_back(lease: Lease) -> None:
    try:
        await lease.release()
    except RouterFailed as failure:
        log.event("upnp.kept", router=lease.way.router, kind=lease.way.kind, reason=failure.message)


async def _give_back_in_time(lease: Lease) -> None:
    try:
        async with asyncio.timeout(RELEASE_LIMIT):
            await _give_back(lease)
    except TimeoutError:
        pass
