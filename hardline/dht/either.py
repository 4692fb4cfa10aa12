"""One table out of two: a node of our own where it is connected, other people's proxies where it is not.

get   the node, as soon as it has a good node; when it has none after PATIENCE, the proxies beside it
put   the node; when it takes nothing, the proxies
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hardline.addresses import Kind, kind_of, parse
from hardline.dht.node import NodeOptions, OpenDhtNode
from hardline.dht.proxy import Proxies
from hardline.dht.record import Key
from hardline.dht.table import NotStored
from hardline.settings.node import DhtSection
from hardline.tasks import TaskSet

PATIENCE = 1.5  # seconds: more than a start from known nodes takes, less than a person waits
PATIENCE_FOR_PUTS = 5.0  # nobody waits for those


def open_table(settings: DhtSection, bind: Sequence[str], nodes_file: Path) -> Either:
    """The table that the settings ask for.  Nothing starts before it is used.

    A node that is bound to this machine alone (`bind`: [Node] bind) sends nothing anywhere else: of bootstrap nodes and
    proxies only those at loopback addresses are used then, since even to resolve a name would go out.
    """
    bootstrap, proxies = list(settings.bootstrap), list(settings.proxies)
    if bind and all(_is_loopback(address) for address in bind):
        bootstrap = [endpoint for endpoint in bootstrap if _is_loopback(endpoint.host)]
        proxies = [url for url in proxies if _is_loopback(urlsplit(url).hostname or "")]
    options = NodeOptions(bootstrap, settings.port, settings.network, tuple(bind))
    return Either(OpenDhtNode(options, nodes_file), Proxies(proxies))


def _is_loopback(host: str) -> bool:
    address = parse(host)
    return address is not None and kind_of(address) is Kind.LOOPBACK


class Either:
    """A Table over both; it owns them.  `node` None: the proxies alone."""

    def __init__(self, node: OpenDhtNode | None, proxies: Proxies) -> None:
        self._node = node
        self._proxies = proxies

    @property
    def connected(self) -> bool:
        """Whether one of the two is."""
        return bool(self._node and self._node.connected) or self._proxies.connected

    @property
    def asleep(self) -> bool:
        """As Table.asleep."""
        return self._node is not None and self._node.asleep

    async def wait_connected(self, limit: float) -> bool:
        """As Table.wait_connected.  Proxies are found out about by asking them."""
        if self._node is None or self._node.missing:
            return True
        return await self._node.wait_connected(limit) or self._proxies.connected

    async def get(self, key: Key, largest: int, limit: float) -> AsyncGenerator[bytes, None]:
        """As Table.get."""
        came: asyncio.Queue[bytes | None] = asyncio.Queue()  # each of the two yields a bounded number
        sources = [self._by_proxies(key, largest, limit)]
        if self._node is not None:
            sources.append(self._node.get(key, largest, limit))
        tasks = TaskSet("dht.get")
        for source in sources:
            tasks.start(self._pass_on(source, came), "source")
        running, seen = len(sources), set[int]()
        try:
            while running:
                value = await came.get()
                if value is None:
                    running -= 1
                elif hash(value) not in seen:
                    seen.add(hash(value))
                    yield value
        finally:
            await tasks.aclose()

    async def put(self, key: Key, value: bytes, limit: float) -> None:
        """As Table.put."""
        refused = NotStored("there is no OpenDHT here")
        if self._node is not None and (await self._ready(min(PATIENCE_FOR_PUTS, limit)) or not self._proxies.connected):
            try:
                return await self._node.put(key, value, limit)
            except NotStored as failure:
                refused = failure
        try:
            await self._proxies.put(key, value, limit)
        except NotStored as failure:
            raise NotStored(f"{refused.message}; {failure.message}") from None

    def describe(self) -> dict[str, Any]:
        """As Table.describe: what is used, and how both are."""
        used = "node" if self._node and self._node.connected else "proxies" if self._proxies.connected else None
        return {
            "used": used,
            "node": self._node.describe() if self._node else None,
            **{key: value for key, value in self._proxies.describe().items() if key != "kind"},
        }

    def network_changed(self) -> None:
        """This machine has other addresses than before."""
        if self._node is not None:
            self._node.network_changed()

    async def aclose(self) -> None:
        """End both."""
        if self._node is not None:
            await self._node.aclose()
        await self._proxies.aclose()

    async def _pass_on(self, values: AsyncGenerator[bytes, None], came: asyncio.Queue[bytes | None]) -> None:
        try:
            async with contextlib.aclosing(values):
                async for value in values:
                    came.put_nowait(value)
        finally:
            came.put_nowait(None)

    async def _by_proxies(self, key: Key, largest: int, limit: float) -> AsyncGenerator[bytes, None]:
        deadline = asyncio.get_running_loop().time() + limit
        if not await self._ready(min(PATIENCE, limit)):
            left = deadline - asyncio.get_running_loop().time()
            async with contextlib.aclosing(self._proxies.get(key, largest, left)) as values:
                async for value in values:
                    yield value

    async def _ready(self, limit: float) -> bool:
        return self._node is not None and not self._node.missing and await self._node.wait_connected(limit)
