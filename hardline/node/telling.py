"""What a node says of itself: the snapshot that `hardline status` shows, and the rows of its page."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hardline import __version__
from hardline.cache.sites import Sites
from hardline.door.server import Door
from hardline.node import rows
from hardline.node.fronts import Fronts
from hardline.node.offering import Offering
from hardline.node.snapshot import GatewayState, Itself, Outside, ServiceState, SessionState, Snapshot
from hardline.peers.names import Names
from hardline.peers.remembered import Remembered
from hardline.reach import Reach
from hardline.relaying import Relaying
from hardline.settings.directory import Service
from hardline.transport.own import OwnListeners
from hardline.tunnel.host import Host
from hardline.tunnel.serving import OURSELVES
from hardline.tunnel.visitor import Visitor

if TYPE_CHECKING:
    from hardline.https.server import Https

PEERS_SHOWN = 50


class Telling:
    """What is told of the parts of one node; `itself` stands at the top, `notes` are what was odd in the settings."""

    def __init__(
        self,
        *,
        itself: Callable[[], Itself],
        notes: Callable[[], Sequence[str]],
        offering: Offering,
        own_listeners: OwnListeners,
        names: Names,
        reach: Reach,
        relays: Relaying,
        host: Host,
        sites: Sites,
        remembered: Remembered,
        visitor: Visitor,
        door: Door | None,
        door_port: Callable[[], int],
        fronts: Fronts,
        https: Callable[[], Https | None],
    ) -> None:
        self._itself, self._notes, self._offering, self._own_listeners = itself, notes, offering, own_listeners
        self._names, self._reach, self._relays, self._host = names, reach, relays, host
        self._sites, self._remembered, self._visitor, self._door = sites, remembered, visitor, door
        self._door_port, self._fronts, self._https = door_port, fronts, https

    async def snapshot(self) -> Snapshot:
        """The node as it is now."""
        now, clock, services = asyncio.get_running_loop().time(), time.time(), self._offering.current
        tried = self._door.tried if self._door else {}
        relays, forwarding = self._relays, self._fronts.forwarding
        return Snapshot(
            version=__version__,
            pid=os.getpid(),
            node=self._itself(),
            outside=self.outside(),
            relays=rows.relays(relays.used(), relays.nat, relays.served(), relays.passed_this_month),
            services=await self.services(),
            sessions=(
                *self.visiting(),
                *(rows.visiting_original(original, now) for original in self._visitor.originals.open),
                *(rows.hosting(guest, services, clock) for guest in self._host.guests),
            ),
            peers=tuple(rows.peer(*known) for known in await self._remembered.recent(PEERS_SHOWN)),
            names=tuple(rows.named(*one, self._door_port()) for one in self._names.all.items()),
            visits=tuple(map(rows.visit, self._visitor.recent)),
            unreached=tuple(rows.unreached(label, one.attempts, one.reasons) for label, one in tried.items()),
            forwards=tuple(map(rows.forward, forwarding.forwards)) if forwarding is not None else (),
            socks=rows.socks(forwarding.socks) if forwarding is not None else None,
            gateway=await self._gateway(),
            links=tuple(
                rows.link(one.name, one.settings, one.warm, one.clients, now, clock) for one in self._fronts.links
            ),
            phones=tuple(map(rows.phone, self._fronts.phone_doors)),
            process=rows.held(task.get_name() for task in asyncio.all_tasks()),
            notes=tuple(self._notes()),
        )

    def outside(self) -> Outside:
        """How it is reached from elsewhere."""
        return rows.outside(self._reach.describe(), self._relays.used())

    async def services(self) -> tuple[ServiceState, ...]:
        """Its own services, and what is wrong with them."""
        services = self._offering.current
        found = await asyncio.gather(*map(self._trouble, services))
        troubles = {service.name: trouble for service, trouble in zip(services, found, strict=True) if trouble}
        announced, https = self._reach.describe_service, self._https()
        known = self._offering.known, self._offering.problems
        over = {service.name for service in self._offering.over}
        named = https.describe if https is not None else lambda service: None
        return rows.service_states(
            *known, self._door_port(), announced, time.time(), troubles, self._relays.public, named, over
        )

    def visiting(self) -> list[SessionState]:
        """The sessions that visits go by."""
        now, next_look = asyncio.get_running_loop().time(), self._visitor.next_look
        return [rows.visiting(path, now, next_look(path.label)) for path in self._visitor.paths]

    async def _gateway(self) -> GatewayState | None:
        if (gateway := self._fronts.gateway) is None:
            return None
        await gateway.shared.listing.recall(gateway.shared.named)
        return rows.gateway(gateway, self._fronts.gateway_listens, await gateway.shared.scrapers.count())

    async def _trouble(self, service: Service) -> str:
        """What is wrong with a service whose file is right."""
        target, site = service.settings.target, self._sites.find(service.key_hash)
        if target is not None:
            return OURSELVES if await self._own_listeners.leads_home(target) else ""
        return await site.trouble() if site else ""
