"""A Table in memory: what is put is there at once, and a test decides how slow or broken it is."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator
from typing import Any

from hardline.dht.record import Key
from hardline.dht.table import NotStored


class MemoryTable:
    """As hardline.dht.table.Table."""

    def __init__(self) -> None:
        self.connected, self.asleep = True, False
        self.values: dict[Key, list[bytes]] = defaultdict(list)
        self.puts: list[Key] = []
        self.broken = ""
        self.forgetful = False  # takes everything and keeps nothing
        self.open_for: dict[Key, asyncio.Event] = {}  # gets of such a key end only when this is set
        self.gets = 0
        self.asked: set[Key] = set()

    async def get(self, key: Key, largest: int, limit: float) -> AsyncGenerator[bytes, None]:
        self.gets += 1
        self.asked.add(key)
        try:
            for value in list(self.values[key]):
                if len(value) <= largest:
                    yield value
            if key in self.open_for:
                await self.open_for[key].wait()
        finally:
            self.gets -= 1

    async def wait_connected(self, limit: float) -> bool:
        return self.connected

    async def put(self, key: Key, value: bytes, limit: float) -> None:
        await asyncio.sleep(0)
        if self.broken:
            raise NotStored(self.broken)
        self.puts.append(key)
        if not self.forgetful:
            self.values[key].append(value)

    def describe(self) -> dict[str, Any]:
        return {}

    async def aclose(self) -> None:
        pass
