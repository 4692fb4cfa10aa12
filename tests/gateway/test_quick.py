"""Requests that pass without a task, and all that makes them need one: nobody sees a difference."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

import pytest

from hardline.errors import ConnectionLost
from hardline.gateway.accesses import Accesses
from hardline.gateway.judging import Shared
from hardline.gateway.names import Names
from hardline.gateway.talk import Talk
from hardline.gateway.users import Users
from hardline.identity import Label
from hardline.session.stream import Stream
from hardline.settings.gateway import GatewaySection, NamedSection
from hardline.tasks import TaskSet
from hardline.transport.tcp import TcpStream
from hardline.tunnel.visit import Visit, VisitRecord
from tests.support import clock
from tests.support.check_byte_stream import read_all
from tests.support.pairs import session_pair, tcp_pair

PRIVATE = ipaddress.ip_network("10.0.0.0/8")
LABEL = Label.parse("0f" * 20)
NAMED = {"nas": NamedSection(label=LABEL), "wiki": NamedSection(label=LABEL)}
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Line:
    """A client's connection, and the streams by which services are asked for it."""

    client: TcpStream
    talk: Talk
    opened: asyncio.Queue[Stream]
    now: list[Shared]  # one: that of this moment
    slow: list[str]  # what was asked by the task
    logged: list[tuple[str, int, int]]

    async def ask(self, path: str = "/", *, host: str = "nas", more: str = "") -> None:
        await self.client.send(f"GET {path} HTTP/1.1\r\nHost: {host}.example.org\r\n{more}\r\n".encode())

    async def got(self, end: bytes = b"ok") -> bytes:
        data = b""
        while not data.endswith(end):
            piece = await self.client.receive()
            assert piece, data
            data += piece
        return data

    async def service(self) -> Stream:
        return await self.opened.get()

    async def warm(self) -> Stream:
        """Ask twice: from now on the same fields are known, and a stream is kept."""
        await self.ask("/first")
        service = await self.service()
        for _ in range(2):
            await asked(service)
            await service.send(ANSWER)
            await self.got()
            await self.ask("/again")
        assert self.slow == ["/first"]
        await asked(service)
        await service.send(ANSWER)
        await self.got()
        return service


async def asked(service: Stream) -> str:
    """The target of the request that comes next."""
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        piece = await service.receive()
        assert piece, data
        data += piece
    return data.split(b" ")[1].decode()


class Visitor:
    """Opens streams of one session."""

    def __init__(self, open_stream: Callable[[], Stream]) -> None:
        self._open = open_stream

    async def visit(self, label: Label, first: bytes) -> Visit:
        stream = self._open()
        await stream.send(first)
        return Visit(stream, VisitRecord(label), True, None)


class Listing:
    def reached(self, name: str) -> None:
        pass


@contextlib.asynccontextmanager
async def line(**settings: object) -> AsyncIterator[Line]:
    loop, names = asyncio.get_running_loop(), Names(NAMED, ("example.org",))
    async with session_pair() as (visitor, _, opened), tcp_pair() as (client, ours):
        section = replace(GatewaySection(domain=("example.org",)), **settings)  # type: ignore[arg-type]
        users, at = Users(loop.time), Visitor(visitor.open_stream)
        now = [Shared(section, NAMED, names, at, users, Listing(), None, Accesses(0))]  # type: ignore[arg-type]
        talk, tasks = Talk(lambda: now[0], ours, lambda: 1), TaskSet("test")
        made = Line(client, talk, opened, now, [], [])
        talk._log = lambda one, status, count: made.logged.append((one.head.target, status, count))  # type: ignore
        tasks.start(talk.run(), "talk")
        await asyncio.sleep(0)
        serve = talk._services.serve

        async def served(shared: Shared, one: object) -> bool:
            made.slow.append(one.head.target)  # type: ignore[attr-defined]
            return await serve(shared, one)  # type: ignore[arg-type]

        talk._services.serve = served  # type: ignore[method-assign]
        try:
            yield made
        finally:
            await tasks.aclose()


def test_one_after_the_other_passes_by_the_same_stream_without_the_task():
    async def story() -> None:
        async with line() as one:
            service = await one.warm()
            for number in range(5):
                await one.ask(f"/{number}")
                assert await asked(service) == f"/{number}"
                await service.send(ANSWER)
                assert (await one.got()).startswith(b"HTTP/1.1 200 OK\r\n")
            assert one.slow == ["/first"]
            assert one.logged[-1] == ("/4", 200, 2)
            assert len(one.logged) == 8

    clock.run(story)


def test_a_request_for_another_service_or_with_other_fields_is_judged_by_the_task():
    async def story() -> None:
        async with line() as one:
            service = await one.warm()
            await one.ask("/a", more="X: 1\r\n")
            assert await asked(service) == "/a"
            await service.send(ANSWER)
            await one.got()
            await one.ask("/b", host="wiki")
            other = await one.service()
            assert await asked(other) == "/b"
            await other.send(ANSWER)
            await one.got()
            await one.ask("/c", host="else")
            assert (await one.got(b"here.\n")).startswith(b"HTTP/1.1 404 ")
            assert one.slow == ["/first", "/a", "/b"]

    clock.run(story)


def test_what_is_judged_by_settings_that_are_gone_is_judged_anew():
    async def story() -> None:
        async with line() as one:
            await one.warm()
            closed = {name: replace(section, addresses=(PRIVATE,)) for name, section in NAMED.items()}
            one.now[0] = replace(one.now[0], named=closed)
            await one.ask("/a")
            assert (await one.got(b"address.\n")).startswith(b"HTTP/1.1 403 ")

    clock.run(story)


@pytest.mark.parametrize("cut", [5, 30, len(ANSWER) - 1])
def test_an_answer_in_pieces_is_the_tasks(cut):
    async def story() -> None:
        async with line() as one:
            service = await one.warm()
            for number in range(2):
                await one.ask(f"/{number}")
                await asked(service)
                await service.send(ANSWER[:cut])
                await asyncio.sleep(0.05)
                await service.send(ANSWER[cut:])
                assert (await one.got()).count(b"HTTP/1.1 200 OK") == 1
            assert one.slow == ["/first"]
            assert one.logged[-1] == ("/1", 200, 2)

    clock.run(story)


def test_requests_that_come_together_are_answered_in_their_order():
    async def story() -> None:
        async with line() as one:
            service = await one.warm()
            head = "GET /{} HTTP/1.1\r\nHost: nas.example.org\r\n\r\n"
            await one.client.send("".join(head.format(number) for number in range(9)).encode())
            for number in range(9):
                assert await asked(service) == f"/{number}"
                await service.send(ANSWER.replace(b"ok", b"%dk" % number))
            got = await one.got(b"8k")
            assert [got.find(b"\r\n\r\n%dk" % number) > 0 for number in range(9)] == [True] * 9

    clock.run(story)


def test_a_stream_that_died_meanwhile_is_asked_by_another_one():
    async def story() -> None:
        async with line() as one:
            service = await one.warm()
            await one.ask("/a")
            assert await asked(service) == "/a"
            await service.aclose()
            other = await one.service()
            assert await asked(other) == "/a"
            await other.send(ANSWER)
            await one.got()
            await other.aclose()
            await asyncio.sleep(0.05)
            await one.ask("/b")
            third = await one.service()
            assert await asked(third) == "/b"
            await third.send(ANSWER)
            await one.got()
            assert one.logged[-1] == ("/b", 200, 2)

    clock.run(story)


def test_an_answer_that_breaks_off_is_a_cut():
    async def story() -> None:
        async with line() as one:
            service = await one.warm()
            await one.ask("/a")
            await asked(service)
            await service.send(ANSWER[:-1])
            await service.send_eof()
            with pytest.raises(ConnectionLost):
                await read_all(one.client)

    clock.run(story)


def test_no_answer_in_time_is_said_so():
    async def story() -> None:
        async with line(answer_timeout=30.0) as one:
            service = await one.warm()
            await one.ask("/a")
            await asked(service)
            assert (await one.got(b"do.\n")).startswith(b"HTTP/1.1 504 ")
            await one.ask("/b")
            assert await asked(await one.service()) == "/b"

    clock.run(story)


def test_a_client_that_is_silent_is_let_go_and_one_that_speaks_is_not():
    async def story() -> None:
        async with line(keepalive=50.0) as one:
            service = await one.warm()
            for _ in range(4):
                await asyncio.sleep(49)
                await one.ask("/a")
                await asked(service)
                await service.send(ANSWER)
                await one.got()
            assert await one.client.receive() == b""

    clock.run(story)


def test_a_client_that_leaves_while_it_waits_is_not_answered_for():
    async def story() -> None:
        async with line() as one:
            service = await one.warm()
            await one.ask("/a")
            await asked(service)
            await one.client.send_eof()
            with pytest.raises(ConnectionLost):
                await read_all(service)

    clock.run(story)


def test_what_a_service_says_unasked_is_nobodys_answer():
    async def story() -> None:
        async with line() as one:
            service = await one.warm()
            await service.send(ANSWER.replace(b"ok", b"no"))
            await asyncio.sleep(0.05)
            await one.ask("/a")
            other = await one.service()
            assert await asked(other) == "/a"
            await other.send(ANSWER)
            assert b"no" not in await one.got()
            await one.ask("/b")
            await asked(other)
            await other.send(ANSWER + ANSWER.replace(b"ok", b"no"))
            await one.got()
            await one.ask("/c")
            assert await asked(await one.service()) == "/c"

    clock.run(story)


def test_an_answer_that_closes_is_the_last_of_its_stream():
    async def story() -> None:
        async with line() as one:
            service = await one.warm()
            await one.ask("/a")
            await asked(service)
            await service.send(ANSWER.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            assert b"Connection: keep-alive\r\n" in await one.got()
            await one.ask("/b")
            assert await asked(await one.service()) == "/b"

    clock.run(story)


def test_a_client_that_reads_nothing_is_asked_for_no_more():
    async def story() -> None:
        async with line() as one:
            service = await one.warm()
            body = bytes(100_000)
            answer = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + body
            count = 0

            async def serve() -> None:
                nonlocal count
                while True:
                    await asked(service)
                    await service.send(answer)
                    count += 1

            tasks = TaskSet("test")
            tasks.start(serve(), "serve", expects=ConnectionLost)
            one.client.transport.pause_reading()
            before = -1
            for _ in range(300):
                await one.ask("/a")
                await asyncio.sleep(0.005)
            while before != count:
                before = count
                await asyncio.sleep(0.3)
            assert count < 250
            await tasks.aclose()

    clock.run(story)
