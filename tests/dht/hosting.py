"""Services that are announced in a table, and looked up in another one: without daemons."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence

from hardline import certificates
from hardline.dht.finder import DhtFinder
from hardline.dht.node import NodeOptions, OpenDhtNode
from hardline.dht.publisher import Published, Publisher
from hardline.dht.table import Table
from hardline.identity import KeyHash
from hardline.routes import Candidate, Endpoint
from tests.support.beats import beats

HERE = Endpoint("11.22.33.44", 7008)


async def unknown(name: KeyHash) -> str:
    """What a host spoke that was never visited."""
    return ""


@contextlib.asynccontextmanager
async def node(at: Sequence[Endpoint]) -> AsyncIterator[OpenDhtNode]:
    made = OpenDhtNode(NodeOptions(at, bind=("127.0.0.1",)))
    try:
        assert await made.wait_connected(10)
        yield made
    finally:
        await made.aclose()


class Host:
    """Services, where they are, and their directory."""

    def __init__(self, table: Table, identities: Sequence[certificates.Identity], skew: float = 0.0) -> None:
        self.hosts = [HERE]
        self.names = [identity.key_hash for identity in identities]
        self.publisher = Publisher(
            table,
            services=lambda: [Published(identity) for identity in identities],
            hosts=lambda: self.hosts,
            instance="me",
            clock=lambda: time.time() + skew,
        )

    def are_read_back(self, host: Endpoint = HERE) -> bool:
        said = self.publisher.describe()
        return len(said) == len(self.names) and all(
            each["read_back"] and each["hosts"] == [str(host)] for each in said.values()
        )

    @contextlib.asynccontextmanager
    async def announced(self) -> AsyncIterator[None]:
        task = asyncio.get_running_loop().create_task(self.publisher.run())
        try:
            async with asyncio.timeout(100):
                while not self.are_read_back():
                    await asyncio.sleep(0.05)
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})


async def first(table: Table, name: KeyHash, skew: float = 0.0) -> tuple[Candidate | None, float]:
    """The first candidate, and after how long it came."""
    finder = DhtFinder(table, ours=lambda: (), protocol_of=unknown, clock=lambda: time.time() + skew)
    began = beats()
    async with contextlib.aclosing(finder.find(name)) as candidates:
        async for candidate in candidates:
            return candidate, beats() - began
    return None, beats() - began
