"""What routers answer that is no answer.

Or a program: a router that answers searches, and whatever else it is asked by the page on which people log in to it.

    python -m tests.upnp.spoilt 192.168.77.1 ──▶ a line for everything that it is asked
"""

from __future__ import annotations

import asyncio
import sys

from tests.support.size import FULL
from tests.upnp.fake_igd import PORT, FakeIgd, Writer, serve

HTML = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html><h1>Log in to your router</h1></html>"


async def html(writer: Writer) -> None:
    writer.write(HTML)
    await writer.drain()


async def nothing(writer: Writer) -> None:
    await asyncio.sleep(60)


async def drop_by_drop(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b"<")
        await writer.drain()
        await asyncio.sleep(0.1)


async def headers_without_end(writer: Writer) -> None:
    while True:
        writer.write(b"X-More: and more\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


async def redirect(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


async def huge_length(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4294967295\r\n\r\n" + b"<a>" * 1000)
    await writer.drain()


async def bomb(writer: Writer) -> None:
    entities = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    writer.write(f'HTTP/1.1 200 OK\r\n\r\n<!DOCTYPE x [<!ENTITY a0 "x">{entities}]><x>&a11;</x>'.encode())
    await writer.drain()


async def deep(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"<device>" * 200_000)
    await writer.drain()


async def rubbish(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(range(256)) * 400 + b"<root><" + b"A" * 100_000)
    await writer.drain()


QUICK = (html, redirect, huge_length, bomb, deep, rubbish)
SLOW = (drop_by_drop, headers_without_end, nothing)  # it takes a time limit to be rid of them
EACH = (*QUICK, *SLOW) if FULL else (*QUICK, drop_by_drop)

if __name__ == "__main__":
    here = sys.argv[1]
    router = FakeIgd(spoilt_description=html, spoilt=html, aloud=True)
    asyncio.run(serve(here, f"http://{here}:{PORT}/root.xml", router))
