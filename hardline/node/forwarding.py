"""The ports of this computer that lead to the services of others, all of a node's.

[Forward:NAME], [SOCKS] ──▶ open    `hardline forward` ──▶ add, until the command ends
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hardline.door.carrier import ANSWER_TIMEOUT, Carrier
from hardline.door.forwards import Forward
from hardline.door.localport import LocalPort
from hardline.door.ownuser import OwnUser
from hardline.errors import ConfigError, HardlineError, LimitReached
from hardline.identity import Label
from hardline.node.limits import door_limits
from hardline.routes import Endpoint
from hardline.settings.forwards import MOST
from hardline.settings.node import NodeSettings
from hardline.tasks import TaskSet
from hardline.tunnel.visitor import Visitor

_HERE = "127.0.0.1"


class Forwarding:
    """Those of one node.  `taken` says whether something of this process listens at a port already, `users` whose
    programs [SOCKS] leads where."""

    def __init__(
        self, settings: NodeSettings, visitor: Visitor, taken: Callable[[int], bool], users: OwnUser | None = None
    ) -> None:
        self._users = users
        self._settings, self._visitor, self._taken = settings, visitor, taken
        limits = door_limits(settings)
        self._carrier = Carrier(visitor, limits.max_head, limits.head_timeout, limits.idle_timeout)
        self._patience = limits.head_timeout
        self._tasks = TaskSet("forwarding")
        self._forwards: list[Forward] = []
        self.socks: LocalPort | None = None

    @property
    def forwards(self) -> tuple[Forward, ...]:
        """The ports with a service each."""
        return tuple(one for one in self._forwards if not one.over)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where they listen."""
        return tuple(at for port in self._ports for at in port.endpoints)

    async def open(self) -> None:
        """Listen as the settings say."""
        for name, one in self._settings.forwards.items():
            assert one.label is not None, "the settings were read"
            if one.listen is None:
                continue
            of_one = name, one.label, one.listen, one.max_connections, self._carrier
            forward = Forward(*of_one, patience=self._patience, pages=one.pages)
            self._forwards.append(forward)
            await forward.start()
        if (socks := self._settings.socks).listen is not None:
            from hardline.door.socksproxy import SocksProxy

            known = {name.lower(): one.label for name, one in self._settings.forwards.items() if one.label is not None}
            parts = socks.listen, socks.max_connections, socks.clients, known, self._carrier
            self.socks = SocksProxy(*parts, patience=self._patience, users=self._users)
            await self.socks.start()

    async def add(self, label: Label, port: int, *, pages: bool) -> Forward:
        """One more, on loopback, until it is closed; port 0 is any free one.  Its host is looked for meanwhile.

        Raises ConfigError where the port cannot be had, LimitReached where there are MOST of them.
        """
        if len(self.forwards) >= MOST:
            raise LimitReached(f"{MOST} ports lead to services already", hint="end a `hardline forward` that runs")
        if port and self._taken(port):
            raise ConfigError(
                f"port {port} is hardlined's own already",
                hint="choose another; `hardline status` lists those that it has",
            )
        parts = "", label, Endpoint(_HERE, port), MOST, self._carrier
        forward = Forward(*parts, patience=self._patience, pages=pages)
        self._forwards = [*self.forwards, forward]
        try:
            await forward.begin()
        except BaseException:
            self._forwards.remove(forward)
            raise
        self._tasks.start(self._look_for(forward), "look")
        return forward

    async def stop_accepting(self) -> None:
        """Take nobody new.  Idempotent."""
        for port in self._ports:
            await port.stop_accepting()

    async def aclose(self) -> None:
        """Cut every connection."""
        await self._tasks.aclose()
        for port in self._ports:
            await port.aclose()

    @property
    def _ports(self) -> list[LocalPort]:
        return [*self._forwards, *([self.socks] if self.socks else [])]

    async def _look_for(self, forward: Forward) -> None:
        """So that a label that leads nowhere is told before somebody connects."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await self._visitor.reach(forward.label)
        except TimeoutError:
            forward.failed(HardlineError(f"no answer after {ANSWER_TIMEOUT:g} s"))
        except HardlineError as failure:
            forward.failed(failure)
