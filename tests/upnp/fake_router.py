"""A router that speaks NAT-PMP and PCP, and may lie: UDP port 5351 on an address of this computer's own.

Or it is a program of its own, which says no to whatever it is asked for:

    python -m tests.upnp.fake_router ADDRESS PORT ──▶ a line for every packet
"""

from __future__ import annotations

import asyncio
import itertools
import struct
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

_addresses = itertools.count(20)


@dataclass
class FakeRouter(asyncio.DatagramProtocol):
    """`answer` may be replaced: it says what is sent back for a packet, in as many packets as it likes."""

    external: bytes = bytes((203, 0, 114, 9))
    versions: tuple[int, ...] = (0, 2)
    result: int = 0
    port: int = 0  # 0: the one that is wished
    lifetime: int | None = None  # None: the one that is asked for
    epoch: int = 1000
    lost: int = 0  # packets that it does not hear
    answer: Callable[[bytes], list[bytes]] | None = None
    asked: list[bytes] = field(default_factory=list)
    askers: list[tuple[str, int]] = field(default_factory=list)
    mapped: dict[int, int] = field(default_factory=dict)  # inside → outside
    address: str = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        self.address = f"127.0.77.{next(_addresses)}"
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: self, local_addr=(self.address, 5351)
        )
        try:
            yield self.address
        finally:
            transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, sender: tuple[str, int]) -> None:
        self.asked.append(data)
        self.askers.append(sender)
        if self.lost:
            self.lost -= 1
            return
        for packet in self.answer(data) if self.answer else self._honest(data):
            self._transport.sendto(packet, sender)

    def _honest(self, data: bytes) -> list[bytes]:
        version, code = data[0], data[1]
        if version not in self.versions:
            spoken = self.versions[0] if self.versions else None
            if spoken == 0:
                return [struct.pack("!BBHI", 0, 128 + code, 1, self.epoch)]
            return [struct.pack("!BBxBII12x", 2, 128 + code, 1, 0, self.epoch)] if spoken == 2 else []
        if version == 0:
            if code == 0:
                return [struct.pack("!BBHI4s", 0, 128, self.result, self.epoch, self.external)]
            inside, wished, lifetime = struct.unpack_from("!HHI", data, 4)
            port, granted = self._map(inside, wished, lifetime)
            return [struct.pack("!BBHIHHI", 0, 130, self.result, self.epoch, inside, port, granted)]
        if code == 0:
            return [struct.pack("!BBxBII12x", 2, 128, 0, 0, self.epoch)]
        (lifetime,) = struct.unpack_from("!I", data, 4)
        inside, wished = struct.unpack_from("!HH", data, 40)
        port, granted = self._map(inside, wished, lifetime)
        wide = b"\0" * 10 + b"\xff\xff" + self.external
        head = struct.pack("!BBxBII12x", 2, 129, self.result, granted, self.epoch)
        return [head + data[24:40] + struct.pack("!HH", inside, port) + wide]

    def _map(self, inside: int, wished: int, lifetime: int) -> tuple[int, int]:
        port = self.port or wished
        if not lifetime:
            self.mapped.pop(inside, None)
        elif not self.result:
            self.mapped[inside] = port
        return port, lifetime if self.lifetime is None else self.lifetime


@dataclass
class Refusing(FakeRouter):
    result: int = 2

    def datagram_received(self, data: bytes, sender: tuple[str, int]) -> None:
        print(data.hex(), flush=True)
        super().datagram_received(data, sender)


async def refuse(address: str, port: int) -> None:
    await asyncio.get_running_loop().create_datagram_endpoint(Refusing, local_addr=(address, port))
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(refuse(sys.argv[1], int(sys.argv[2])))
