"""What can be found out of a node that does not run: its settings, its files, and the network that it would be in."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from hardline import certificates
from hardline.discovery.interfaces import interface_addresses
from hardline.discovery.lpd import PORT as LAN_PORT
from hardline.doctor import place, sockets
from hardline.doctor.facts import Lan, Port, Shared, written
from hardline.doctor.lan import look_around, off
from hardline.doctor.rows import Unknown
from hardline.doctor.session import others
from hardline.errors import ConfigError, Deaf, HardlineError, NoDaemon
from hardline.node.examined import answers
from hardline.places import Places
from hardline.settings.directory import MAX_SERVICES, read_ini
from hardline.settings.node import NodeSettings, parse_node
from hardline.settings.service import ServiceSettings, parse_service

_NOT_RUNNING, _NOT_ANSWERING = Unknown("no hardlined runs"), Unknown("hardlined does not answer")
_NOT_KNOWN = Unknown("where its services are, only hardlined itself knows", "name its settings: --config FILE")


class Alone:
    """A Node (doctor.asked) without a node: `nobody` is what says that none runs, or that it does not answer.

    `places` are those that the node would have, its `servicedir` none where that is not known.
    """

    def __init__(self, nobody: NoDaemon | Deaf, places: Places, *, knows_services: bool) -> None:
        self.nobody, self._places, self._knows_services = nobody, places, knows_services
        self._settings, self._wrong = NodeSettings(), ""
        self._services: list[tuple[str, ServiceSettings | ConfigError]] | None = None

    def load(self) -> None:
        """Read the settings, and see who else runs.  Blocks for a moment."""
        if isinstance(self.nobody, Deaf):
            self.nobody = Deaf(self.nobody.message, "look at its log; end it and start it again")
        elif running := others():
            pid, user = running[0]
            hint = f"one runs as {user} (pid {pid}): ask as {user}, or name its data directory: --datadir DIR"
            self.nobody = NoDaemon(self.nobody.message, hint)
        config = self._places.config
        if config is None or not config.exists():
            return
        try:
            self._settings = parse_node(read_ini(config), str(config))
        except HardlineError as wrong:
            self._wrong, hint = wrong.message, wrong.hint
            self.nobody = type(self.nobody)(f"{self.nobody.message}, and none can start: {wrong.message}", hint)
            return
        node = self._settings.node
        self._knows_services |= node.servicedir is not None
        self._places = self._places._replace(servicedir=node.servicedir or self._places.servicedir)

    async def status(self) -> Mapping[str, Any]:
        """There is none."""
        raise type(self.nobody)(self.nobody.message, self.nobody.hint)

    async def facts(self, about: str) -> Any:
        """As doctor.asked.Node.facts."""
        if about == "ports" and isinstance(self.nobody, Deaf):  # it has them
            return {"unknown": _NOT_ANSWERING.reason, "do": ""}
        looks: Mapping[str, Callable[[], Awaitable[object]]] = {
            "lan": self._lan,
            "ports": lambda: asyncio.to_thread(self._ports),
            "places": lambda: place.room(self._places),
            "keys": lambda: place.keys(self._places),
            "shared": self._shared,
            "exposed": self._exposed,
        }
        nothing = _NOT_RUNNING if isinstance(self.nobody, NoDaemon) else _NOT_ANSWERING
        found: object = await looks[about]() if about in looks else nothing
        return {"unknown": found.reason, "do": found.do} if isinstance(found, Unknown) else written(found)

    async def _lan(self) -> Lan:
        if why := off(self._settings.lan, self._settings.node.bind):
            return Lan(time.time(), off=why)
        addresses = await asyncio.to_thread(interface_addresses, self._settings.node.bind)
        return await look_around(addresses, {}, time.time)

    def _ports(self) -> tuple[Port, ...]:
        node = self._settings.node
        ports = []
        if node.localport:
            holder = sockets.taken(node.localport, "tcp", "127.0.0.1")
            ports.append(Port(node.localport, "tcp", "browsers", holder, "localport"))
        if node.p2pport:
            holder = sockets.taken(node.p2pport, "tcp")
            ports.append(Port(node.p2pport, "tcp", "other nodes", holder, "p2pport"))
        if self._settings.lan.enabled:
            ports.append(Port(LAN_PORT, "udp", "the LAN", sockets.taken_from_lan(LAN_PORT)))
        return tuple(ports)

    async def _shared(self) -> tuple[Shared, ...] | Unknown:
        if not self._knows_services:
            return _NOT_KNOWN
        return tuple(await asyncio.gather(*(self._look(*one) for one in await self._read())))

    async def _look(self, name: str, settings: ServiceSettings | ConfigError) -> Shared:
        if isinstance(settings, ConfigError):
            return Shared(name, "", "broken", problem=settings.message, hint=settings.hint)
        if settings.closed:
            state = "paused" if settings.access.paused else "closed"
            return Shared(name, settings.title, state, problem="" if state == "paused" else settings.closed)
        if settings.target is not None:
            answer = await answers(settings.target)
            return Shared(name, settings.title, "serving", str(settings.target), answer=answer)
        directory = settings.cache.directory
        problem = "" if directory is None or os.access(directory, os.R_OK | os.X_OK) else f"{directory} cannot be read"
        return Shared(name, settings.title, "serving", str(directory), problem=problem)

    async def _exposed(self) -> object:
        if not self._knows_services:
            return _NOT_KNOWN
        good = [(name, one) for name, one in await self._read() if not isinstance(one, ConfigError)]
        return await place.exposed([(name, self._password(name, one), one) for name, one in good])

    def _password(self, name: str, settings: ServiceSettings) -> str:
        if settings.password is not None:
            return settings.password
        file = self._places.servicedir / f"{name}.ini.cert"
        try:
            return certificates.load(settings.certfile or file).password
        except HardlineError:
            return ""

    async def _read(self) -> list[tuple[str, ServiceSettings | ConfigError]]:
        if self._services is None:
            self._services = await asyncio.to_thread(lambda: list(self._files()))
        return self._services

    def _files(self) -> Iterator[tuple[str, ServiceSettings | ConfigError]]:
        for file in islice(sorted(self._places.servicedir.glob("*.ini")), MAX_SERVICES):
            if file.name.startswith("."):
                continue
            try:
                yield file.name.removesuffix(".ini"), parse_service(read_ini(file), str(file))
            except ConfigError as wrong:
                yield file.name.removesuffix(".ini"), wrong


def places_of(datadir: Path, default: Places, config: str | None) -> tuple[Places, bool]:
    """Where a node on `datadir` has its things, and whether that says where its services are."""
    is_default = datadir == default.datadir
    file = Path(config) if config else default.config if is_default else None
    return Places(default.servicedir, datadir, file), is_default
