"""Visits by a session that is there already: begun without a task, and ended like any other."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hardline.door.carrier import ANSWER_TIMEOUT
from hardline.door.own import Asked
from hardline.door.server import Door, DoorLimits
from hardline.session.session import SessionLimits
from hardline.settings.local import LocalService
from hardline.transport.listener import Listener
from hardline.tunnel.visitor import VisitorLimits
from tests.support import clock
from tests.tunnel.pair import Pair, pair

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HEAD_TIMEOUT = 10.0
PATIENT = SessionLimits(streams=64, ping_interval=3000, ping_timeout=3000)


@dataclass
class Street:
    """A door, a host behind it, and a service that answers each request at once and keeps its connections."""

    door: Door
    both: Pair
    port: int
    open: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def host(self) -> str:
        return f"{self.both.service.label}.localhost"

    @property
    def get(self) -> bytes:
        return f"GET / HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.open.append(writer)
        return reader, writer

    async def ask(self, said: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection that has got one answer."""
        reader, writer = await self.connect()
        writer.write(said or self.get)
        assert await reader.readexactly(len(ANSWER)) == ANSWER
        return reader, writer


@asynccontextmanager
async def street(directory: Path, idle_timeout: float | None = None) -> AsyncIterator[Street]:
    async def own(asked: Asked) -> bool:
        await asked.browser.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        return True

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while asked := await reader.read(65_536):
                writer.write(ANSWER * asked.count(b" HTTP/1.1\r\n"))
        writer.close()

    async with pair(directory, serve, VisitorLimits(PATIENT)) as both:
        door = Door(both.visitor, DoorLimits(HEAD_TIMEOUT, 65_536, idle_timeout), own)
        listener = await Listener.open(["127.0.0.1"], 0, door.accepted, what="door")
        there = Street(door, both, listener.port)
        try:
            yield there
        finally:
            for writer in there.open:
                writer.close()
            await listener.aclose()
            await door.aclose()


def tasks() -> list[str]:
    """Those that belong to a connection."""
    names = (task.get_name() for task in asyncio.all_tasks())
    return [name for name in names if name in ("door.browser", "host.stream")]


def test_a_warm_visit_has_no_task_on_either_side_and_a_cold_one_only_until_it_is_joined(tmp_path):
    async def story() -> None:
        async with street(tmp_path) as there:
            await there.ask()
            await clock.settled()
            assert tasks() == ["door.browser"], "the first one had to wait for a dial"
            for _ in range(20):
                await there.ask()
            await clock.settled()
            assert tasks() == ["door.browser"]
            assert there.door.connections == 21
            assert [one.status for one in there.both.visitor.recent] == ["ok"] * 21

    clock.run(story)


def test_what_cannot_be_done_at_once_takes_its_time(tmp_path):
    async def story() -> None:
        async with street(tmp_path) as there:
            await there.ask()
            before = tasks()
            whole_url = there.get.replace(b"GET /", f"GET http://{there.host}/".encode())
            reader, writer = await there.connect()
            writer.write(whole_url)
            assert (await reader.read(4096)).startswith(b"HTTP/1.1 200 OK\r\n")
            assert len(tasks()) > len(before)
            reader, writer = await there.connect()
            for piece in (there.get[:30], there.get[30:]):
                writer.write(piece)
                await clock.settled()
            assert await reader.readexactly(len(ANSWER)) == ANSWER
            reader, writer = await there.connect()
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % there.port)
            assert (await reader.read(4096)).startswith(b"HTTP/1.1 200 OK\r\n")
            reader, writer = await there.connect()
            writer.write(b"nonsense\r\n\r\n")
            assert (await reader.read(4096)).startswith(b"HTTP/1.1 400 ")

    clock.run(story)


def test_a_browser_that_says_nothing_is_let_go_and_one_that_has_begun_is_told(tmp_path):
    async def story() -> None:
        async with street(tmp_path) as there:
            await there.ask()
            loop = asyncio.get_running_loop()
            silent, _ = await there.connect()
            began = loop.time()
            slow, writer = await there.connect()
            assert there.door.connections == 3
            await asyncio.sleep(HEAD_TIMEOUT - 1)
            writer.write(there.get[:20])
            assert await silent.read() == b""
            assert clock.since(began) == HEAD_TIMEOUT
            assert (await slow.read(4096)).startswith(b"HTTP/1.1 408 ")
            assert clock.since(began) == HEAD_TIMEOUT, "its time began when it came"

    clock.run(story)


def test_a_service_that_is_not_reached_is_explained_and_the_next_visit_is_warm_again(tmp_path):
    async def story() -> None:
        async with street(tmp_path) as there:
            await there.ask()
            target = there.both.service.settings.target
            with socket.socket() as nobody:
                nobody.bind(("127.0.0.1", 0))
                there.both.retarget(target=LocalService("tcp", "127.0.0.1", nobody.getsockname()[1]))
                reader, writer = await there.connect()
                writer.write(there.get)
                heard = await reader.read()
                assert heard.startswith(b"HTTP/1.1 502 ")
                assert b"nothing listens" in heard.lower()
            there.both.retarget(target=target)
            await there.ask()
            assert there.both.finding.searches == 1

    clock.run(story)


def test_a_service_that_does_not_answer_in_time_is_explained(tmp_path):
    async def story() -> None:
        async with street(tmp_path) as there:
            await there.ask()
            [guest] = there.both.host.guests
            assert guest.session is not None
            guest.session.tls.part()
            guest.session._outbox.flush = lambda **_: None  # not even that the service was reached leaves the host
            reader, writer = await there.connect()
            began = asyncio.get_running_loop().time()
            writer.write(there.get)
            assert (await reader.read(4096)).startswith(b"HTTP/1.1 504 ")
            assert clock.since(began) == ANSWER_TIMEOUT

    clock.run(story)


def test_an_idle_connection_is_cut_and_one_that_is_used_is_not(tmp_path):
    async def story() -> None:
        async with street(tmp_path, idle_timeout=60) as there:
            await there.ask()
            idle, _ = await there.ask()
            used, writer = await there.ask()
            for _ in range(4):
                await asyncio.sleep(50)
                writer.write(there.get)
                assert await used.readexactly(len(ANSWER)) == ANSWER
            with contextlib.suppress(ConnectionResetError):
                assert await idle.read() == b""
            assert not used.at_eof()
            with contextlib.suppress(ConnectionResetError):
                assert await used.read() == b""

    clock.run(story)


def test_the_end_of_the_door_is_the_end_of_all(tmp_path):
    async def story() -> None:
        async with street(tmp_path) as there:
            await there.ask()
            answered, _ = await there.ask()
            silent, _ = await there.connect()
            [guest] = there.both.host.guests
            assert guest.session is not None
            guest.session.tls.part()
            guest.session._outbox.flush = lambda **_: None
            waiting, writer = await there.connect()
            writer.write(there.get)
            await clock.settled()
            assert there.door.connections == 4
            await there.door.aclose()
            for reader in (answered, silent, waiting):
                with contextlib.suppress(ConnectionResetError):
                    assert await reader.read() == b""
            assert there.door.connections == 0
            assert tasks() == []

    clock.run(story)
