"""The gateway's connections: bounded in number, each served by a task of its own; its settings, while they change."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hardline import log
from hardline.gateway.accesses import Accesses
from hardline.gateway.clients import is_in
from hardline.gateway.judging import Guard, Shared, may_go_on
from hardline.gateway.keyfile import KeyFile
from hardline.gateway.listing import Listing, Remembered
from hardline.gateway.names import Names
from hardline.gateway.pages import GATEWAY, NO_ROOM, Page, rendered
from hardline.gateway.requests import Tells
from hardline.gateway.scrapers import Scrapers
from hardline.gateway.talk import Talk
from hardline.gateway.users import Users
from hardline.settings.gateway import GatewaySection, NamedSection
from hardline.tasks import TaskSet
from hardline.transport.sources import source_of
from hardline.transport.tcp import TcpStream
from hardline.tunnel.visitor import Visitor


class Gateway:
    """Serves plain HTTP/1.1 clients what `named` names; keys of scrapers are in `datadir`."""

    def __init__(
        self,
        settings: GatewaySection,
        named: Mapping[str, NamedSection],
        visitor: Visitor,
        remembered: Remembered,
        datadir: Path,
        *,
        names: Names | None = None,
        side: str = GATEWAY,
        tells: Tells = Tells.ALL,
        guard: Guard | None = None,
    ) -> None:
        names = names or Names(named.keys(), settings.domain)
        users, accesses = Users(asyncio.get_running_loop().time), Accesses(time.time())
        listing, scrapers = Listing(named, names, visitor, remembered), Scrapers(KeyFile(datadir), time.time)
        self.shared = Shared(settings, named, names, visitor, users, listing, scrapers, accesses, side, tells, guard)
        self._tasks = TaskSet("gateway")
        self._served: dict[TcpStream, tuple[Talk, asyncio.Task[None]]] = {}
        self._ending: set[asyncio.Task[None]] = set()  # told to end by a change of the settings
        self._from: Counter[str] = Counter()

    @property
    def clients(self) -> int:
        """Connections that are served."""
        return len(self._served)

    def replace(self, settings: GatewaySection, named: Mapping[str, NamedSection]) -> None:
        """Hold to these settings from now on: whoever is served what he may not have any more is cut."""
        names = Names(named.keys(), settings.domain)
        self.shared.listing.replace(named, names)
        self.shared = replace(self.shared, settings=settings, named=named, names=names)
        ended = 0
        for talk, task in self._served.values():
            asked = talk.served
            if asked is not None and task not in self._ending and not may_go_on(asked, self.shared):
                self._ending.add(task)
                task.cancel()
                ended += 1
        if ended:
            log.event("gateway.cut_off", clients=ended, reason="the settings changed")

    def accepted(self, client: TcpStream) -> None:
        """A client connected: the listener's callback."""
        settings, address = self.shared.settings, client.peer.host
        source = source_of(address)
        crowded = self._from[source] >= settings.max_per_source and not is_in(address, settings.trusted)
        if crowded or len(self._served) >= settings.max_connections:
            page = Page(503, NO_ROOM, self.shared.side, ("Retry-After: 5",))
            client.transport.write(rendered(page, html=False, head_only=False, close=True))
            client.close()
            return
        self._from[source] += 1
        talk = Talk(lambda: self.shared, client, lambda: self.clients)
        task = self._tasks.start(talk.run(), "client")
        self._served[client] = talk, task
        task.add_done_callback(lambda _: self._ended(client, source))

    async def aclose(self) -> None:
        """End every connection."""
        await self._tasks.aclose()
        await self.shared.scrapers.aclose()
        await self.shared.listing.aclose()

    def _ended(self, client: TcpStream, source: str) -> None:
        self._ending.discard(self._served.pop(client)[1])
        client.abort()  # its task may not have begun; one that was closed stays so
        self._from[source] -= 1
        if not self._from[source]:
            del self._from[source]
