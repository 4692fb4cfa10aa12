"""Bad visitors before their session: at TCP, at TLS, at the hello.  A program, for a stranger's machine.

    python tls_attacks.py KIND VICTIM PORT LABEL COUNT SECONDS [SOURCES]

Kinds that hold COUNT connections at a time, and open another for each one that is closed:
    silent      connected, and nothing          half    half a ClientHello       drip    it comes byte by byte
    stop        a ClientHello, the answer is read, and nothing              endless    a hello that never ends
Kinds that do something again and again, COUNT times a second:
    churn       connected and closed            resets  connected and reset      cuts    cut at each byte of ClientHello
    garbage     bytes that are no TLS           names   server names that nobody has      old  TLS 1.2 for hardline/2
    hellos      hellos of every bad kind        ends    ends and resets at each stage

SOURCES is a range of addresses that are all this machine's ("10.77.1.128/25"); connections take them in turns.
The TLS is between memory and memory (psk_tls.py), so that it can be stopped at each byte.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import sys

from assault import Assault, Connection, fight
from psk_tls import Client, code_of

BAD_HELLOS = (
    b"\n",
    b"{}\n",
    b"[" * 16_000 + b"\n",
    b'{"a":' * 3000 + b"\n",
    b'{"v":2,"x":NaN}\n',
    b'{"v":2,"x":' + b"9" * 16_000 + b"}\n",
    b'{"v":' + b"9" * 5000 + b"}\n",
    b'{"v":2,"password":"\\ud800"}\n',
    b'{"v":2,"v":2}\n',
    b'{"v":true}\n',
    b"\xff" * 16_384 + b"\n",
    b"\x00\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"x" * 16_385,
    b"x" * 200_000,
)


class Attacker(Assault):
    def __init__(self, victim: str, port: int, label: str, sources: str | None) -> None:
        super().__init__(victim, port, sources)
        self._key_hash = bytes.fromhex(label[-40:])
        self.name = code_of(self._key_hash)

    def shaking(self) -> Client:
        """Begins as who knows the label does."""
        return Client(self.name, self._key_hash)

    async def secured(self, connection: Connection, shaking: Client) -> Client:
        data, done = shaking.step()
        while True:
            await connection.send(data)
            if done:
                return shaking
            answer = await connection.receive()
            if not answer:
                raise ConnectionError("ended in the handshake")
            data, done = shaking.step(answer)

    # What holders do.

    async def silent(self, connection: Connection) -> None:
        await connection.until_closed()

    async def half(self, connection: Connection) -> None:
        hello, _ = self.shaking().step()
        await connection.send(hello[: len(hello) // 2])
        await connection.until_closed()

    async def drip(self, connection: Connection) -> None:
        hello, _ = self.shaking().step()
        for letter in hello:
            await connection.send(bytes([letter]))
            await asyncio.sleep(0.05)
        await connection.until_closed()

    async def stop(self, connection: Connection) -> None:
        hello, _ = self.shaking().step()
        await connection.send(hello)
        await connection.until_closed()

    async def endless(self, connection: Connection) -> None:
        shaking = await self.secured(connection, self.shaking())
        for _ in range(16):
            await connection.send(shaking.seal(b"x" * 1000))
            await asyncio.sleep(0.05)
        await connection.until_closed()

    # What repeaters do.

    async def churn(self, number: int) -> None:
        async with self.connection():
            pass

    async def resets(self, number: int) -> None:
        async with self.connection() as connection:
            connection.will_reset()

    async def cuts(self, number: int) -> None:
        hello, _ = self.shaking().step()
        async with self.connection() as connection:
            await connection.send(hello[: number % len(hello)])

    async def garbage(self, number: int) -> None:
        begin = (b"", b"\x16\x03\x01", b"\x16\x03\x01\xff\xff", b"\x80\x2e\x01", b"GET / HTTP/1.1\r\n\r\n", b"H")
        async with self.connection() as connection:
            await connection.send(begin[number % len(begin)] + random.randbytes(2000))
            await connection.until_closed()

    async def names(self, number: int) -> None:
        async with self.connection() as connection:
            name = (os.urandom(20).hex(), "example.org", "x" * 63 + ".x" * 90)[number % 3]
            key_hash = self._key_hash if number % 2 and len(name) == 40 else b""
            await self.secured(connection, Client(name, key_hash))

    async def old(self, number: int) -> None:
        async with self.connection() as connection:
            await self.secured(connection, Client(self.name, old=True))
            await connection.until_closed()

    async def hellos(self, number: int) -> None:
        async with self.connection() as connection:
            shaking = await self.secured(connection, self.shaking())
            line = BAD_HELLOS[number % len(BAD_HELLOS)]
            for start in range(0, len(line), 16_384):
                await connection.send(shaking.seal(line[start : start + 16_384]))
            await connection.until_closed()

    async def ends(self, number: int) -> None:
        """After nothing, a ClientHello, a handshake, half a hello, a hello; by an end and by a reset."""
        stage, reset = number // 2 % 5, number % 2
        async with self.connection() as connection:
            if reset:
                connection.will_reset()
            if stage == 1:
                await connection.send(self.shaking().step()[0])
                await connection.receive()
            if stage >= 2:
                shaking = await self.secured(connection, self.shaking())
                line = (b"", b'{"v"', b'{"v":2}\n')[stage - 2]
                if line:
                    await connection.send(shaking.seal(line))
            if not reset:
                connection.raw.shutdown(socket.SHUT_WR)
                await connection.until_closed()


HOLDERS = ("silent", "half", "drip", "stop", "endless")


async def battle(kind: str, victim: str, port: str, label: str, count: str, seconds: str, sources: str = "") -> Assault:
    attacker = Attacker(victim, int(port), label, sources or None)
    act = getattr(attacker, kind)
    if kind in HOLDERS:
        await attacker.hold(int(count), float(seconds), act)
    else:
        await attacker.repeat(int(count), float(seconds), act)
    return attacker


if __name__ == "__main__":
    fight(battle(*sys.argv[1:]))
