"""What a node says on its own network, and hears there: the LAN's packets, and DNS-SD.

services, their changes ─▶ Lan, DnsSd ◀─ this machine's addresses        both are finders, and are browsed
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from hardline.discovery.answering import LanService
from hardline.discovery.dnssd import DnsSd
from hardline.discovery.lan import Lan
from hardline.discovery.roaming import Follower
from hardline.identity import KeyHash
from hardline.node.lifecycle import Lifecycle
from hardline.node.limits import computer_of
from hardline.node.offering import Offering
from hardline.settings.node import NodeSettings
from hardline.tasks import keep_running


class Near:
    """That of one node, of whose `life` it is and which others reach at `port`; without `listens` it offers nothing.

    `heard` is told of every service that somebody lists.
    """

    def __init__(
        self,
        settings: NodeSettings,
        offering: Offering,
        port: Callable[[], int],
        life: Lifecycle,
        *,
        listens: bool,
        heard: Callable[[KeyHash], None],
    ) -> None:
        self._settings, self._offering, self._port, self._heard = settings, offering, port, heard
        self._tasks, self._closers, self._listens = life.tasks, life.closers, listens
        self.computer = computer_of(settings)
        self.ways: list[Lan | DnsSd] = []

    def open(self, follow: Callable[[Follower], None]) -> None:
        """Speak and listen there as the settings say; `follow` has somebody told of this machine's addresses."""
        settings = self._settings
        self.ways.clear()
        self._closers.append(self._leave)
        if settings.lan.enabled:
            lan = Lan(
                services=self._lan_services,
                port=self._port,
                clock=time.time,
                bind=settings.node.bind,
                multicast=settings.lan.multicast,
                broadcast=settings.lan.broadcast,
                host=self.computer,
                heard=self._heard,
            )
            follow(lan.follow)
            lan.open()
            self._tasks.start(keep_running(lan.run, "lan"), "lan")
            self.ways.append(lan)
            self._follow(lan.services_changed)
        if settings.lan.enabled and settings.lan.mdns:
            dnssd = DnsSd(
                services=self._lan_services,
                port=self._port,
                bind=settings.node.bind,
                host=self.computer,
                told=self._heard,
            )
            follow(dnssd.follow)
            self._tasks.start(keep_running(dnssd.run, "dnssd"), "dnssd")
            self.ways.append(dnssd)
            self._follow(dnssd.refresh)

    def moved(self) -> None:
        """This machine is in another network."""
        for near in self.ways:
            near.moved()

    def answer_for(self, host: str, port: int, addresses: Sequence[str]) -> Callable[[], None] | None:
        """By multicast DNS, where this node speaks it."""
        return next((near.answer_for(host, port, addresses) for near in self.ways if isinstance(near, DnsSd)), None)

    def _lan_services(self) -> list[LanService]:
        return [
            LanService(service.label, service.title, service.listed, service.legacy)
            for service in (self._offering.current if self._listens else ())
        ]

    def _follow(self, follower: Callable[[], None]) -> None:
        """Have it told of every change."""

        async def follow() -> None:
            async for _ in self._offering.watch():
                follower()

        self._tasks.start(keep_running(follow, "offering"), "offering")

    async def _leave(self) -> None:
        """By packets first, which takes no time: who asks while the other says goodbye is not told what was here."""
        for way in self.ways:
            await way.aclose()
