"""The gateway's connections: bounded in number, each served by a task of its own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping

from hardline.gateway.clients import is_in
from hardline.gateway.judging import Shared
from hardline.gateway.listing import Listing
from hardline.gateway.names import Names
from hardline.gateway.pages import Page, rendered
from hardline.gateway.talk import Talk
from hardline.gateway.users import Users
from hardline.settings.gateway import GatewaySection, NamedSection
from hardline.tasks import TaskSet
from hardline.transport.tcp import TcpStream
from hardline.tunnel.visitor import Visitor


class Gateway:
    """Serves plain HTTP/1.1 clients what `named` names."""

    def __init__(self, settings: GatewaySection, named: Mapping[str, NamedSection], visitor: Visitor) -> None:
        names, clock = Names(named.keys(), settings.domain), asyncio.get_running_loop().time
        self._listing = Listing(named, names, visitor)
        self._shared = Shared(settings, named, names, visitor, Users(clock), self._listing)
        self._tasks = TaskSet("gateway")
        self._served: set[TcpStream] = set()
        self._from: Counter[str] = Counter()

    def accepted(self, client: TcpStream) -> None:
        """A client connected: the listener's callback."""
        settings, source = self._shared.settings, client.peer.host
        crowded = self._from[source] >= settings.max_per_source and not is_in(source, settings.trusted)
        if crowded or len(self._served) >= settings.max_connections:
            page = Page(503, "This gateway has no room now.", fields=("Retry-After: 5",))
            client.transport.write(rendered(page, html=False, head_only=False, close=True))
            client.close()
            return
        self._served.add(client)
        self._from[source] += 1
        task = self._tasks.start(Talk(self._shared, client).run(), "client")
        task.add_done_callback(lambda _: self._ended(client, source))

    async def aclose(self) -> None:
        """End every connection."""
        await self._tasks.aclose()
        await self._listing.aclose()

    def _ended(self, client: TcpStream, source: str) -> None:
        self._served.discard(client)
        client.abort()  # its task may not have begun; one that was closed stays so
        self._from[source] -= 1
        if not self._from[source]:
            del self._from[source]
