"""Many bad connections at a time: what the attackers of this directory have in common.  They are programs that

    say "under way" once they are, go on for their time, and report as JSON on their last line what they did

so that a test can tell that the attack took place.  They import nothing of the project.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import itertools
import json
import socket
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

_RESET = struct.pack("ii", 1, 0)
_RETRY = 0.5  # seconds until a connection that was refused or closed is replaced
_AT_A_TIME = 16
_RAMP = 1.0  # seconds in which the first connections are opened, or more: no more than
_OPENED = 400  # a second by one program, for how fast they come is another attack (`repeat`)
_FADE = 0.5  # and in which all are closed at the end, in so many steps:
_STEPS = 100


class Connection:
    """A TCP connection, without a layer between."""

    def __init__(self, raw: socket.socket) -> None:
        self.raw = raw
        self._loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self.raw, data)

    async def receive(self) -> bytes:
        return await self._loop.sock_recv(self.raw, 65_536)

    async def until_closed(self) -> bytes:
        """What comes until the end, or its first 64 KiB."""
        seen = b""
        while data := await self.receive():
            seen = (seen + data)[:65_536]
        return seen

    def will_reset(self) -> None:
        """Its end will be a reset."""
        self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


class Assault:
    """Connections to one address, from all of `sources` in turns (a network whose addresses are this machine's)."""

    def __init__(self, victim: str, port: int, sources: str | None = None) -> None:
        self._victim, self._port = victim, port
        self._sources = itertools.cycle(map(str, ipaddress.ip_network(sources).hosts())) if sources else None
        self._held = 0
        self.takes: int | None = None  # bytes that the kernel takes of what nobody reads; else megabytes
        self.report: Counter[str] = Counter(opened=0, held=0, refused=0, done=0)

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as raw:
            raw.setblocking(False)
            if self.takes is not None:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.takes)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._sources is not None:
                raw.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
                raw.bind((next(self._sources), 0))
            await asyncio.get_running_loop().sock_connect(raw, (self._victim, self._port))
            self.report["opened"] += 1
            yield Connection(raw)

    async def hold(self, count: int, seconds: float, act: Callable[[Connection], Awaitable[None]]) -> None:
        """Keep `count` connections that `act` and then wait, and replace those that are closed."""
        ramp = max(_RAMP, count / _OPENED)

        async def one(number: int) -> None:
            await asyncio.sleep(ramp * number / count)
            while True:
                try:
                    async with self.connection() as connection:
                        self._held += 1
                        self.report["held"] = max(self.report["held"], self._held)
                        try:
                            await act(connection)
                        finally:
                            self._held -= 1
                except OSError:
                    self.report["refused"] += 1
                await asyncio.sleep(_RETRY)

        await _for(ramp + seconds, [one(number) for number in range(count)], ramp=ramp)

    async def repeat(self, per_second: int, seconds: float, act: Callable[[int], Awaitable[None]]) -> None:
        """`act` again and again, some at a time, each with a number of its own.

        More `per_second` than a machine can bear would only share out its CPU, which here is everybody's.
        """
        numbers = itertools.count()
        began = time.monotonic()

        async def one() -> None:
            while True:
                early = began + self.report["tried"] / per_second - time.monotonic()
                self.report["tried"] += 1
                if early > 0:
                    await asyncio.sleep(early)
                try:
                    await act(next(numbers))
                    self.report["done"] += 1
                except OSError:
                    self.report["refused"] += 1

        await _for(seconds, [one() for _ in range(_AT_A_TIME)])


async def _for(seconds: float, works: list, *, ramp: float = 0.0) -> None:  # type: ignore[type-arg]
    """Let all go on for that long.  A failure that is not the network's is the attacker's own."""
    deadline = time.monotonic() + seconds
    tasks = [asyncio.create_task(work) for work in works]  # noqa: TID251
    await asyncio.sleep(ramp)
    print("under way", flush=True)
    done, _ = await asyncio.wait(tasks, timeout=deadline - time.monotonic(), return_when=asyncio.FIRST_EXCEPTION)
    for step in range(_STEPS):
        for task in tasks[step::_STEPS]:
            task.cancel()
        await asyncio.sleep(_FADE / _STEPS)
    await asyncio.wait(tasks)
    for task in done:
        task.result()


def fight(battle: Awaitable[Assault]) -> None:
    """Run a whole attack, and report."""

    async def whole() -> Assault:
        return await battle

    print(json.dumps(asyncio.run(whole()).report))
