"""Bad browsers, on the visitor's own machine.  A program.

    python door_attacks.py KIND PORT LABEL COUNT SECONDS

Kinds that hold COUNT connections at a time:
    silent      connected, and nothing          drip       a head that comes byte by byte
    endless     a head that never ends          readers    a large download that is asked for and not read
Kinds that do something again and again, COUNT times a second:
    churn       connected and closed            resets     connected and reset             huge    heads too large
    hosts       every bad Host                  smuggled   requests that two parsers could read in two ways
    pipelined   a good request and garbage behind it

What comes back is counted by its status: {"400": 17, …}; "nothing" when it was closed without a word.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Awaitable, Callable

from assault import Assault, Connection, fight

BAD_HOSTS = (
    b"",
    b"example.org",
    b"localhost.example.org",
    b"127.0.0.1.example.org",
    b"10.0.0.1",
    b"[::2]",
    b"%b",
    b"%b.localhost.example.org",
    b"%b.localhost@example.org",
    b"%b.localhost:99999",
    b"%b.localhost:7009:7009",
    b"%b.localhost/..",
    b"%b.localhost#",
    b"%b..localhost",
    b".localhost",
    b"%b0.localhost",
    b"x.localhost",
    b"*.localhost",
    b"%%00.localhost",
    b"\xff\xfe.localhost",
    b"a" * 600 + b".localhost",
    b"a." * 300 + b"localhost",
    b"%b.localhost, example.org",
    b"%b.localhost\tx",
)

# `%h` is the right host.  Behind each stands a second request that nobody may carry out.
SMUGGLED = (
    b"GET / HTTP/1.1\r\nHost: %h\r\nHost: %h\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: %h\r\nHost: example.org\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: example.org\r\nHost: %h\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: %h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: %h\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: %h\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
    b"POST /echo HTTP/1.1\r\nHost: %h\r\nContent-Length: +4\r\n\r\nabcd",
    b"POST /echo HTTP/1.1\r\nHost: %h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: %h\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: %h\r\nX: y\r\n folded\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost:\r\n %h\r\n\r\n",
    b" GET / HTTP/1.1\r\nHost: %h\r\n\r\n",
    b"GET / HTTP/1.1\r\n Host: %h\r\n\r\n",
    b"GET / HTTP/1.1\nHost: %h\n\n",
    b"GET / HTTP/1.1\r\nHost: %h\rX: y\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: %h\r\nX: \x00\r\n\r\n",
    b"GET / HTTP/1.1\r\nX\r\nHost: %h\r\n\r\n",
    b"GET / HTTP/1.1 \r\nHost: %h\r\n\r\n",
    b"GET  / HTTP/1.1\r\nHost: %h\r\n\r\n",
    b"GET http://%h@example.org/ HTTP/1.1\r\nHost: %h\r\n\r\n",
    b"GET http://example.org/ HTTP/1.1\r\nHost: %h\r\n\r\n",
    b"GET ftp://%h/ HTTP/1.1\r\nHost: %h\r\n\r\n",
    b"GET //%h/ HTTP/1.1\r\nHost: example.org\r\n\r\n",
    b"CONNECT example.org:80 HTTP/1.1\r\nHost: %h\r\n\r\n",
    b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: %h\r\n\r\n",
    b"CONNECT %h@example.org:80 HTTP/1.1\r\nHost: %h\r\n\r\n",
    b"GET / HTTP/2.0\r\nHost: %h\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: %h\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\r\n\r\n\r\n",
)
SECOND = b"GET /smuggled HTTP/1.1\r\nHost: %h\r\n\r\n"

HOLDERS = ("silent", "drip", "endless", "readers")


class Attacker(Assault):
    def __init__(self, port: int, label: str) -> None:
        super().__init__("127.0.0.1", port)
        self._label = label.encode()
        self._host = f"{label}.localhost:{port}".encode()

    def _named(self, text: bytes) -> bytes:
        return text.replace(b"%h", self._host)

    async def _tell(self, request: bytes) -> None:
        """Send it, and count the status of every answer."""
        async with self.connection() as connection:
            await connection.send(request)
            seen = await connection.until_closed()
            for answer in seen.split(b"HTTP/1.1 ")[1:] or [b"nothing"]:
                self.report[answer[:7].decode() if answer == b"nothing" else answer[:3].decode()] += 1

    # Holders.

    async def silent(self, connection: Connection) -> None:
        await connection.until_closed()

    async def drip(self, connection: Connection) -> None:
        for letter in self._named(b"GET / HTTP/1.1\r\nHost: %h\r\nAccept: text/html\r\n"):
            await connection.send(bytes([letter]))
            await asyncio.sleep(1)
        await connection.until_closed()

    async def endless(self, connection: Connection) -> None:
        await connection.send(self._named(b"GET / HTTP/1.1\r\nHost: %h\r\n"))
        while True:
            await connection.send(b"X-More: " + b"x" * 200 + b"\r\n")
            await asyncio.sleep(1)

    async def readers(self, connection: Connection) -> None:
        await connection.send(self._named(b"GET /bytes/1000000000 HTTP/1.1\r\nHost: %h\r\n\r\n"))
        await asyncio.Event().wait()

    # Repeaters.

    async def churn(self, number: int) -> None:
        async with self.connection():
            pass

    async def resets(self, number: int) -> None:
        async with self.connection() as connection:
            connection.will_reset()
            if number % 2:
                await connection.send(self._named(b"GET /bytes/100000 HTTP/1.1\r\nHost: %h\r\n\r\n"))

    async def huge(self, number: int) -> None:
        await self._tell(self._named(b"GET / HTTP/1.1\r\nHost: %h\r\n") + b"X: " + b"x" * 40_000 + b"\r\n\r\n")

    async def hosts(self, number: int) -> None:
        host = BAD_HOSTS[number % len(BAD_HOSTS)].replace(b"%b", self._label)
        await self._tell(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")

    async def smuggled(self, number: int) -> None:
        await self._tell(self._named(SMUGGLED[number % len(SMUGGLED)] + SECOND))

    async def pipelined(self, number: int) -> None:
        async with self.connection() as connection:
            await connection.send(self._named(b"GET / HTTP/1.1\r\nHost: %h\r\n\r\n"))
            await connection.send(random.randbytes(20_000) + b"\r\n\r\n")
            await connection.receive()


async def battle(kind: str, port: str, label: str, count: str, seconds: str) -> Assault:
    attacker = Attacker(int(port), label)
    act: Callable[..., Awaitable[None]] = getattr(attacker, kind)
    if kind == "readers":
        attacker.takes = 4096
    if kind in HOLDERS:
        await attacker.hold(int(count), float(seconds), act)
    else:
        await attacker.repeat(int(count), float(seconds), act)
    return attacker


if __name__ == "__main__":
    fight(battle(*sys.argv[1:]))
