"""A warm session that turns out dead when it is used: what may be said twice is, and nothing else."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hardline.door.own import Asked
from hardline.door.server import Door, DoorLimits
from hardline.errors import ConnectionLost
from hardline.session.session import Session
from hardline.transport.listener import Listener
from hardline.tunnel.visitor import VisitorLimits
from tests.tunnel.pair import QUICK, Pair, pair

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Street:
    """A door before a host whose session dies, when it is told to, before anything of an answer has left it."""

    def __init__(self) -> None:
        self.served: Counter[str] = Counter()
        self.dies: Session | None = None
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.read(65_536)
        for line in asked.split(b"\r\n"):
            if line.endswith(b"HTTP/1.1"):
                self.served[line.split()[0].decode()] += 1
        dying, self.dies = self.dies, None
        if dying is not None:
            dying.abort(ConnectionLost("a power cut"))
        else:
            writer.write(ANSWER * asked.count(b" HTTP/1.1\r\n"))
            await writer.drain()
            await reader.read()
        writer.close()

    async def ask(self, raw: str) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(raw.encode())
        said = await reader.read(2000)
        writer.close()
        return said


@asynccontextmanager
async def street(directory: Path) -> AsyncIterator[tuple[Street, Pair]]:
    async def own(asked: Asked) -> bool:
        return False

    there = Street()
    async with pair(directory, there.serve, VisitorLimits(QUICK)) as both:
        door = Door(both.visitor, DoorLimits(10, 65_536, None), own)
        listener = await Listener.open(["127.0.0.1"], 0, door.accepted, what="door")
        there.port = listener.port
        try:
            yield there, both
        finally:
            await listener.aclose()
            await door.aclose()


GET = "GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"
POST = "POST /p HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\n\r\nabc"
PART = GET.replace("\r\n\r\n", "\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Dest: image\r\n\r\n")
DELETE = "DELETE / HTTP/1.1\r\nHost: {host}\r\n\r\n"


@pytest.mark.parametrize(
    ("said", "served", "status"),
    [
        (GET, {"GET": 2}, b"200"),
        (POST, {"POST": 1}, b"502"),
        (DELETE, {"DELETE": 1}, b"502"),
        (GET + POST, {"GET": 1, "POST": 1}, b"502"),
        (GET + GET, {"GET": 2}, b"502"),
        (PART, {"GET": 2}, b"200"),  # nobody new is looked for: whoever it is was there
    ],
)
def test_only_a_request_that_changes_nothing_is_said_twice_and_only_alone(tmp_path, said, served, status):
    async def story() -> None:
        async with street(tmp_path) as (there, both):
            host = f"{both.service.label}.localhost"
            assert b"200 OK" in await there.ask(GET.format(host=host))
            there.served.clear()
            [guest] = both.host.guests
            assert guest.session is not None
            there.dies = guest.session
            guest.session.tls.part()
            guest.session._outbox.flush = lambda **_: None  # not even that the service was reached leaves the host
            answer = await there.ask(said.format(host=host))
            assert answer.split(b" ")[1] == status
            assert there.served == served

    asyncio.run(asyncio.wait_for(story(), 60))
