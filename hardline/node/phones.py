"""Doors for phones: each leads the LAN to one service, for an hour or so.

open(label) ─▶ listeners on this computer's private addresses ─▶ a gateway of one name, behind a code
ends: by its time · by close · after wrong codes · where this computer slept, or is in another network
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from hardline import log
from hardline.discovery.interfaces import InterfaceAddress, by_importance
from hardline.errors import ConfigError, LimitReached, WrongArgument
from hardline.gateway.listing import Remembered
from hardline.gateway.pages import CLIENT
from hardline.gateway.phone import CODE_LENGTH, LETTERS, Code, OnePhone, host_name
from hardline.gateway.requests import Tells
from hardline.gateway.server import Gateway
from hardline.identity import Label
from hardline.settings.gateway import GatewaySection, NamedSection
from hardline.tasks import TaskSet
from hardline.transport.listener import Listener
from hardline.tunnel.visitor import Visitor

MOST = 8  # doors at once
LONGEST = 86_400.0  # seconds
_FIRST_PORT, _PORTS = 7010, 20
_LOOK = 5.0  # seconds between two looks at the clocks
_SLEPT = 30.0  # seconds by which they differ after a sleep
_NAME = "phone"

AnswerFor = Callable[[str, int, Sequence[str]], Callable[[], None] | None]


class PhoneDoor:
    """An open door to `label`.  `addresses` are where it listens, `host` is its name below .local, "" for none."""

    def __init__(self, label: Label, title: str, host: str, until: float, code: Code) -> None:
        self.label, self.title, self.host, self.until, self.code = label, title, host, until, code
        self.addresses: tuple[str, ...] = ()
        self.port = 0
        self.by_address = True
        self.why = ""  # it is to be closed
        self.told = asyncio.Event()

    @property
    def urls(self) -> list[str]:
        """Where a phone finds it; the first works in most."""
        hosts = [*(self.addresses if self.by_address else ()), *([f"{self.host}.local"] if self.host else ())]
        return [f"http://{host}:{self.port}/{self.code.code}" for host in hosts]

    def end(self, why: str) -> None:
        """Have it be closed."""
        self.why = self.why or why
        self.told.set()


class Phones:
    """The doors of one node.  `addresses` are this computer's, and `answer_for` says its names to who asks for them."""

    def __init__(
        self,
        visitor: Visitor,
        remembered: Remembered,
        datadir: Path,
        addresses: Callable[[], Sequence[InterfaceAddress]],
        answer_for: AnswerFor,
        changed: Callable[[], None],
    ) -> None:
        self._visitor, self._remembered, self._datadir = visitor, remembered, datadir
        self._addresses, self._answer_for, self._changed = addresses, answer_for, changed
        self._tasks, self._opening = TaskSet("phones"), asyncio.Lock()
        self._doors: dict[Label, tuple[PhoneDoor, asyncio.Task[None]]] = {}

    @property
    def doors(self) -> list[PhoneDoor]:
        """Those that are open."""
        return [door for door, _ in self._doors.values()]

    async def open(self, label: Label, title: str, seconds: float) -> PhoneDoor:
        """Open one, for so many seconds; the one that leads there already gets another code.

        Raises ConfigError where there is no network for it, LimitReached, WrongArgument.
        """
        if not 1 <= seconds <= LONGEST:
            raise WrongArgument("a door for phones is open for a second to a day", hint="--for 2h")
        async with self._opening:
            return await self._open(label, title, seconds)

    async def _open(self, label: Label, title: str, seconds: float) -> PhoneDoor:
        await self.close(label)
        if len(self._doors) >= MOST:
            raise LimitReached(f"{MOST} doors for phones are open", hint="hardline phone NAME --stop")
        private = _private(self._addresses())
        if not private:
            raise ConfigError("this computer is in no network with phones", hint="connect it to one, by cable or Wi-Fi")
        secret = secrets.token_urlsafe(16)
        letters = "".join(secrets.choice(LETTERS) for _ in range(CODE_LENGTH))
        host, until = host_name(title, label), time.time() + seconds
        code = Code(letters, secret, seconds, lambda: door.end("the code was wrong too often"))
        door = PhoneDoor(label, title, host, until, code)
        gateway = self._gateway(door, private)
        listeners = await _listen(private, gateway)
        door.port, door.addresses = listeners[0].port, tuple(one.address for one in private)
        for other in self.doors:  # cookies of an address are all its ports'
            other.by_address = False
        no_more = self._answer_for(host, door.port, door.addresses)
        if no_more is None:
            door.host = ""
        task = self._tasks.start(self._keep(door, gateway, listeners, no_more), "door")
        self._doors[label] = door, task
        log.event("phone.opened", service=label.key_hash.short, port=door.port, for_s=round(seconds))
        self._changed()
        return door

    async def close(self, label: Label) -> bool:
        """Close the door to `label`; whether there was one."""
        if (found := self._doors.get(label)) is None:
            return False
        found[0].end("it was closed")
        await asyncio.wait([found[1]])
        return True

    def network_changed(self) -> None:
        """This computer's addresses are others: doors that are not at one of them any more are closed."""
        now = {one.address for one in self._addresses()}
        for door in self.doors:
            if not now.issuperset(door.addresses):
                door.end("this computer is in another network")

    async def aclose(self) -> None:
        """Close all."""
        await self._tasks.aclose()

    def _gateway(self, door: PhoneDoor, private: Sequence[InterfaceAddress]) -> Gateway:
        limits = GatewaySection(access_log=False, max_connections=200, max_per_source=64)
        networks = tuple(one.network for one in private)
        named = {_NAME: NamedSection(label=door.label, addresses=networks)}
        names = OnePhone(_NAME, door.host, lambda: door.by_address)
        parts = limits, named, self._visitor, self._remembered, self._datadir
        return Gateway(*parts, names=names, side=CLIENT, tells=Tells.NOTHING, guard=door.code)

    async def _keep(
        self, door: PhoneDoor, gateway: Gateway, listeners: Sequence[Listener], no_more: Callable[[], None] | None
    ) -> None:
        try:
            awake = time.time() - time.monotonic()
            while not door.told.is_set():
                left = door.until - time.time()
                # In a sleep the one clock goes on, and the other stands still.
                if abs(time.time() - time.monotonic() - awake) > _SLEPT:
                    door.end("this computer slept, or its clock was set")
                elif left <= 0:
                    door.end("its time is over")
                else:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(min(left, _LOOK)):
                            await door.told.wait()
        finally:
            self._doors.pop(door.label, None)
            if no_more is not None:
                no_more()
            for listener in listeners:
                await listener.aclose()
            await gateway.aclose()
            log.event("phone.closed", service=door.label.key_hash.short, why=door.why or "hardlined ends")
            self._changed()


def _private(addresses: Sequence[InterfaceAddress]) -> list[InterfaceAddress]:
    """Those of IPv4 that only a network of homes or offices reaches, the most important first."""
    found = []
    for one in by_importance(addresses):
        ip = one.ip
        if isinstance(ip, ipaddress.IPv4Address) and ip.is_private and not ip.is_loopback and one.of_note:
            found.append(one)
    return found


async def _listen(private: Sequence[InterfaceAddress], gateway: Gateway) -> list[Listener]:
    hosts = [one.address for one in private]
    for port in range(_FIRST_PORT, _FIRST_PORT + _PORTS):
        with contextlib.suppress(ConfigError):
            return [await Listener.open(hosts, port, gateway.accepted, what="phone", resets=True)]
    raise ConfigError(f"no port from {_FIRST_PORT} to {_FIRST_PORT + _PORTS - 1} is free", hint="end what has them")
