"""Visitors of a cached site who ask for what costs most, through a door of their own.  A program.

    python site_attacks.py KIND PORT LABEL COUNT SECONDS

Kinds that ask again and again, COUNT times a second, 16 at a time:
    short       a path of a few bytes           long       the longest path that a door lets through
    hints       interim answers without an end
Kinds that hold COUNT connections at a time:
    large       a download of 3 MB, given up after a moment, and another one
"""

from __future__ import annotations

import asyncio
import itertools
import sys

from assault import Assault, Connection, fight

LONGEST = 30_000  # bytes
PATIENCE = 0.5  # seconds
_numbers = itertools.count()


def path(kind: str) -> str:
    number = next(_numbers)
    match kind:
        case "long":
            return f"/{number}" + "/%C3%BC/a" * (LONGEST // 9)
        case "hints":
            return f"/hints/{number}"
        case "large":
            return f"/bytes/{3_000_000 + number}"
    return f"/{number}"


async def attack(kind: str, port: int, label: str, count: int, seconds: float) -> Assault:
    assault = Assault("127.0.0.1", port)

    def request() -> bytes:
        return f"GET {path(kind)} HTTP/1.1\r\nHost: {label}.localhost\r\nConnection: close\r\n\r\n".encode()

    async def ask(_: int) -> None:
        async with assault.connection() as connection:
            await connection.send(request())
            assault.report[(await connection.until_closed())[9:12].decode("latin-1") or "nothing"] += 1

    async def give_up(connection: Connection) -> None:
        await connection.send(request())
        assault.report["asked"] += 1
        await asyncio.sleep(PATIENCE)

    if kind == "large":
        await assault.hold(count, seconds, give_up)
    else:
        await assault.repeat(count, seconds, ask)
    return assault


def main() -> None:
    kind, port, label, count, seconds = sys.argv[1:]
    fight(attack(kind, int(port), label, int(count), float(seconds)))


if __name__ == "__main__":
    main()
