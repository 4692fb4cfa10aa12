"""Somebody at the door who visits services that cost their host more than others.  A program.

streams    connections to one service, AT_A_TIME at a time, each left once it was answered
visits     FEW visits at a time to a service that never answers, each given up after a while

python service_attacks.py KIND LABEL PORT SECONDS
"""

from __future__ import annotations

import asyncio
import sys
import time

from assault import Assault, fight

AT_A_TIME, FEW = 32, 4
PATIENCE = 1.0  # seconds


async def battle(kind: str, label: str, port: str, seconds: str) -> Assault:
    assault = Assault("127.0.0.1", int(port))
    request = f"GET / HTTP/1.1\r\nHost: {label}.localhost:{port}\r\n\r\n".encode()
    until = time.monotonic() + float(seconds)

    async def visits() -> None:
        while time.monotonic() < until:
            try:
                async with assault.connection() as connection:
                    await connection.send(request)
                    async with asyncio.timeout(PATIENCE if kind == "visits" else None):
                        assault.report[(await connection.receive())[:12].decode()] += 1
                    connection.will_reset()
            except OSError:  # TimeoutError among them
                assault.report["given up"] += 1

    print("under way", flush=True)
    await asyncio.gather(*(visits() for _ in range(AT_A_TIME if kind == "streams" else FEW)))
    return assault


fight(battle(*sys.argv[1:]))
