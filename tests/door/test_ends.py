"""A door that ends: what a browser has got of an answer that was not whole ends with a cut, and no socket is left."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hardline.door.own import Asked
from hardline.door.server import Door, DoorLimits
from hardline.errors import ConnectionLost
from hardline.transport.contexts import client_context
from hardline.transport.listener import Listener
from hardline.tunnel.visitor import VisitorLimits
from tests.door.test_warm import PATIENT
from tests.support import clock
from tests.tunnel.pair import Pair, pair

HALF = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nhalf of the answer"
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Street:
    """A door, and a service that begins an answer which only its end delimits, and breaks off when it is told to."""

    def __init__(self) -> None:
        self.breaks_off = asyncio.Event()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b" /whole " in await reader.read(65_536):
            writer.write(WHOLE)
            await reader.read()
            writer.close()
            return
        writer.write(HALF)
        await self.breaks_off.wait()
        if writer.is_closing():
            return
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def ask(self, path: str, host: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        return reader, writer


@asynccontextmanager
async def street(directory: Path) -> AsyncIterator[tuple[Street, Door, Pair, str]]:
    async def own(asked: Asked) -> bool:
        return False

    there = Street()
    async with pair(directory, there.serve, VisitorLimits(PATIENT)) as both:
        door = Door(both.visitor, DoorLimits(10, 65_536, None), own)
        listener = await Listener.open(["127.0.0.1"], 0, door.accepted, what="door", resets=True)
        there.port = listener.port
        try:
            yield there, door, both, f"{both.service.label}.localhost"
        finally:
            there.breaks_off.set()
            await listener.aclose()
            await door.aclose()
            await clock.settled()


def run(directory: Path, story: Callable[[Street, Door, Pair, str], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with street(directory) as parts:
            await story(*parts)

    clock.run(whole)


@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize("as_proxy", [True, False])
@pytest.mark.parametrize("later", [0.0, 0.05, 0.2])
def test_an_answer_that_broke_off_never_looks_whole_when_the_door_ends_right_after(tmp_path, later, as_proxy, warm):
    async def story(there: Street, door: Door, both: Pair, host: str) -> None:
        if warm:
            reader, first = await there.ask("/whole", host)
            await reader.readexactly(len(WHOLE))
            first.close()
        reader, writer = await there.ask(f"http://{host}/" if as_proxy else "/", host)
        await reader.readuntil(b"half of the answer")
        there.breaks_off.set()
        await clock.settled()
        await asyncio.sleep(later)
        await door.aclose()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()

    run(tmp_path, story)


def test_an_answer_of_an_original_never_looks_whole_when_the_door_ends(tmp_path):
    async def story(there: Street, door: Door, both: Pair, host: str) -> None:
        both.finding.plain = True
        both.visitor._dialer._attempts._context_for_originals = client_context()
        reader, writer = await there.ask("/", host)
        await reader.readuntil(b"half of the answer")
        assert [one.protocol for one in both.visitor.recent] == ["hardline/1"]
        await door.aclose()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()

    run(tmp_path, story)


def test_nobody_is_left_open_whose_task_had_not_begun(tmp_path):
    """All that is asked for in the turn in which the door ends."""

    async def story(there: Street, door: Door, both: Pair, host: str) -> None:
        browsers = [await there.ask("/", host) for _ in range(3)]
        for reader, _ in browsers:
            await reader.readuntil(b"half of the answer")
        for path in both.visitor.paths:
            path.session.abort(ConnectionLost("a power cut"))
        await door.aclose()
        assert door.connections == 0
        for reader, writer in browsers:
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()

    run(tmp_path, story)


def test_what_became_of_a_visit_that_reached_nobody_is_told(tmp_path):
    async def story(there: Street, door: Door, both: Pair, host: str) -> None:
        reader, writer = await there.ask("/whole", host)
        await reader.readexactly(len(WHOLE))
        writer.close()
        [guest] = both.host.guests
        assert guest.session is not None
        guest.session.tls.part()
        guest.session._outbox.flush = lambda **_: None  # not even that the service was reached leaves the host
        stays, writer = await there.ask("/", host)
        await clock.settled()
        for path in both.visitor.paths:
            path.session.abort(ConnectionLost("a power cut"))
        await stays.readuntil(b"half of the answer")
        assert [one.status for one in both.visitor.recent][1:] == ["ConnectionLost", "ok"]
        writer.close()

    run(tmp_path, story)


@pytest.mark.parametrize(("cut_at", "status"), [(0, "TimeoutError"), (10, "cut")], ids=["at once", "in a task"])
def test_a_visit_that_nobody_waits_for_any_more_does_not_run_for_ever(tmp_path, cut_at, status):
    async def story(there: Street, door: Door, both: Pair, host: str) -> None:
        reader, writer = await there.ask("/whole", host)
        await reader.readexactly(len(WHOLE))
        writer.close()
        [guest] = both.host.guests
        assert guest.session is not None
        guest.session.tls.part()
        guest.session._outbox.flush = lambda **_: None  # not even that the service was reached leaves the host
        head = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", there.port)
        for piece in (head[:cut_at], head[cut_at:]):
            writer.write(piece)
            await clock.settled()
        assert (await reader.read(4096)).startswith(b"HTTP/1.1 504 ")
        assert both.visitor.recent[-1].status == status
        writer.close()

    run(tmp_path, story)
