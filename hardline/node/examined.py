"""What only the node itself knows of how it is, for hardline.doctor; loaded when that is asked for.

Each fact is found out when it is asked for, and takes a few seconds at most.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence

from hardline.discovery.dnssd import DnsSd
from hardline.discovery.interfaces import limited
from hardline.discovery.lan import Lan
from hardline.discovery.lpd import PORT as LAN_PORT
from hardline.discovery.merged import MergedFinder
from hardline.doctor import entries, place, sockets
from hardline.doctor.facts import Announced, Dht, DialledBack, Port, Shared, written
from hardline.doctor.facts import Lan as LanFacts
from hardline.doctor.lan import look_around, off
from hardline.doctor.rows import Unknown
from hardline.doctor.visit import Step
from hardline.errors import ServiceFailed, WrongArgument
from hardline.identity import KeyHash
from hardline.node.offering import Offering
from hardline.node.snapshot import Json, Match, ServiceState
from hardline.node.tracing import trace
from hardline.peers.remembered import Remembered
from hardline.places import Places
from hardline.reach import Reach
from hardline.relaying import Relaying
from hardline.routes import Endpoint, PathKind
from hardline.settings.directory import Service
from hardline.settings.local import LocalService
from hardline.settings.node import NodeSettings
from hardline.tunnel.local import open_local
from hardline.tunnel.visitor import Visitor

RECALLED = 50  # hosts that are looked through for those of this network
ANSWERS_WITHIN = 5.0  # seconds, a service
AT_ONCE = 16
ANNOUNCED_WITHIN = 8.0  # seconds, after a start
REPEATED_AFTER = 60.0  # seconds, until a relay dials once more
MDNS_PORT = 5353

_REFUSED = {"refused": "connection refused"}


class Examined:
    """The facts of one node by name, as hardline.doctor.facts has them."""

    def __init__(
        self,
        settings: NodeSettings,
        places: Places,
        *,
        offering: Offering,
        services: Callable[[], Awaitable[Sequence[ServiceState]]],
        reach: Reach,
        relays: Relaying,
        remembered: Remembered,
        near: Sequence[Lan | DnsSd],
        finders: MergedFinder,
        visitor: Visitor,
        listening: Callable[[], Sequence[Endpoint]],
    ) -> None:
        self._settings, self._places = settings, places
        self._offering, self._services, self._reach, self._relays = offering, services, reach, relays
        self._remembered, self._near, self._listening = remembered, near, listening
        self._finders, self._visitor = finders, visitor
        self._dialled: tuple[DialledBack, ...] = ()
        self._dialled_at = float("-inf")
        self._dialling = asyncio.Lock()

    async def facts(self, about: str) -> Json:
        """One of them, as JSON.  Raises WrongArgument."""
        looks: Mapping[str, Callable[[], Awaitable[object]]] = {
            "lan": self._lan,
            "dht": self._dht,
            "dialled_back": self._dialled_back,
            "shared": self._shared,
            "keys": self._keys,
            "places": lambda: place.room(self._places),
            "exposed": self._exposed,
            "ports": lambda: asyncio.to_thread(self._ports),
        }
        if about not in looks:
            raise WrongArgument(f"nothing is known here about {about[:40]!r}", hint="are both of the same version?")
        found = await looks[about]()
        if isinstance(found, Unknown):
            return {"unknown": found.reason, "do": found.do}
        told: Json = written(found)
        return told

    def trace(self, what: str, find: Callable[[str], Awaitable[Match]]) -> AsyncGenerator[Step, None]:
        """A visit to what `find` says is meant, step by step."""
        return trace(what, find, self._finders, self._visitor)

    async def _lan(self) -> LanFacts:
        if why := off(self._settings.lan, self._settings.node.bind):
            return LanFacts(time.time(), off=why)
        known = dict[KeyHash, Endpoint]()
        for key_hash, host in await self._remembered.recent(RECALLED):
            if host.kind is PathKind.LAN and host.endpoint is not None:
                known[key_hash] = host.endpoint
        return await look_around(limited(self._reach.addresses, self._settings.node.bind), known, time.time)

    async def _dht(self) -> Dht:
        """What it says once what is shared was announced, or has had the time to be."""
        until = asyncio.get_running_loop().time() + ANNOUNCED_WITHIN
        while True:
            found = self._dht_now()
            asleep = found.phase == "idle" and not found.announced
            settled = not found.enabled or asleep or found.phase == "missing"
            settled |= bool(found.used) and all(one.read_back or one.problem for one in found.announced)
            if settled or asyncio.get_running_loop().time() >= until:
                break
            await asyncio.sleep(0.25)
        if found.used == "node" or not found.enabled or found.phase == "idle" or self._reach.describe().only_here:
            return found
        at = await entries.look(self._settings.dht.bootstrap, self._settings.dht.network)
        return Dht(found.enabled, found.used, 0, found.phase, found.reason, found.proxies, at, found.announced)

    def _dht_now(self) -> Dht:
        told = self._reach.describe().dht
        if told is None:
            return Dht(enabled=False)
        from hardline.dht.publisher import NO_ADDRESS

        node = told["node"] or {"phase": "missing", "good": 0, "reason": ""}
        proxies = tuple(str(one["url"]) for one in told["proxies"] if one["state"] == "connected")
        announced = []
        for service in self._offering.current:
            said = self._reach.describe_service(service.key_hash)
            if said is None or not service.settings.access.use_dht:
                continue
            at, back = said["announced"], said["read_back"]
            is_back = at is not None and back is not None and back >= at
            age = 0.0 if at is None else max(time.time() - at, 0.0)
            problem, nowhere = str(said["problem"] or ""), said["problem"] == NO_ADDRESS
            one = Announced(service.title, at is not None, is_back, "" if nowhere else problem, age, nowhere)
            announced.append(one)
        # Proxies that nobody has heard of yet count as used until they fail.
        used = "" if told["used"] == "proxies" and not proxies else str(told["used"] or "")
        phase, reason = str(node["phase"]), str(node["reason"] or "")
        return Dht(True, used, int(node["good"]), phase, reason, proxies, (), tuple(announced))

    async def _dialled_back(self) -> tuple[DialledBack, ...]:
        loop = asyncio.get_running_loop()
        async with self._dialling:
            if loop.time() - self._dialled_at < REPEATED_AFTER:
                return self._dialled
            dialled = await self._relays.dial_back()
            said = {True: "came", False: "silent", None: "unknown"}
            found = tuple(DialledBack(str(one.relay), said[one.came], str(one.at or ""), one.reason) for one in dialled)
            if any(one.came is not None for one in dialled):
                self._dialled, self._dialled_at = found, loop.time()
            return found

    async def _shared(self) -> tuple[Shared, ...]:
        known, room = self._offering.known, asyncio.Semaphore(AT_ONCE)

        async def look(state: ServiceState) -> Shared:
            service = known.get(state.name)
            target, answer = (service.settings.target if service else None), ""
            if target is not None and state.state in ("serving", "stale"):
                async with room:
                    answer = await answers(target)
            offered = state.offered
            return Shared(
                state.name,
                offered.title if offered else "",
                state.state,
                offered.target if offered else "",
                state.problem or "",
                state.hint or "",
                answer,
            )

        return tuple(await asyncio.gather(*map(look, await self._services())))

    async def _keys(self) -> object:
        return await place.keys(self._places, [one.identity.private_key_path for one in self._files()])

    async def _exposed(self) -> object:
        return await place.exposed([(one.name, one.label.password, one.settings) for one in self._files()])

    def _files(self) -> list[Service]:
        return [one for one in self._offering.known.values() if one.file is not None]

    def _ports(self) -> tuple[Port, ...]:
        """What it could not have, it would not run without; but for the LAN's ports, which it does without."""
        listens = dict.fromkeys(at.port for at in self._listening())
        ports = [Port(one, "tcp", self._what(one)) for one in listens]
        for near in self._near:
            lan = isinstance(near, Lan)
            number, what = (LAN_PORT, "the LAN") if lan else (MDNS_PORT, "DNS-SD")
            holder = (sockets.holder(number, "udp") or "another program") if near.deaf else ""
            ports.append(Port(number, "udp", what, holder))
        return tuple(ports)

    def _what(self, port: int) -> str:
        return "browsers" if port == self._settings.node.localport else "other nodes"


async def answers(target: LocalService) -> str:
    """Why a service of this computer does not answer; "" where it does."""
    try:
        async with asyncio.timeout(ANSWERS_WITHIN):
            stream = await open_local(target)
    except ServiceFailed as failure:
        return _REFUSED.get(failure.kind, failure.message)
    except TimeoutError:
        return f"no answer within {ANSWERS_WITHIN:g} s"
    stream.abort()
    return ""
