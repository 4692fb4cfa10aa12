"""Who comes by a public port is joined with the service as he is, and is bounded."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, cast

import pytest

from hardline.errors import ServiceFailed
from hardline.identity import KeyHash
from hardline.node import publicvisits
from hardline.node.publicvisits import PublicVisits
from hardline.relay.joins import Joined
from hardline.routes import Endpoint
from hardline.transport import tcp
from hardline.transport.tcp import TcpStream, over_socket
from hardline.tunnel.host import Host
from hardline.tunnel.serving import Came, Reached
from tests.relay.running import until

SERVICE = KeyHash(b"s" * 20)
AT, RELAY = Endpoint("203.0.113.9", 20_007), Endpoint("203.0.113.9", 7008)


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def whole(*words: Any, **named: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*words, **named), 100))

    return whole


class FakeHost:
    """A service that greets, and says at the end how much it heard; `raw`: its socket is a plain one."""

    def __init__(self, raw: bool, answer: bytes = b"hello") -> None:
        self.raw, self.answer, self.public = raw, answer, True
        self.came: list[Came] = []
        self.heard: list[bytes] = []
        self.server: asyncio.Server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self.answer)
        with contextlib.suppress(ConnectionError):
            self.heard.append(await reader.read())
            writer.write(b"%d" % len(self.heard[-1]))
            writer.close()
            await writer.wait_closed()

    async def reach_public(self, key_hash: KeyHash, source: str, came: Came) -> Reached:
        self.came.append(came)
        if not self.public:
            raise ServiceFailed("unavailable", "no")
        local = await tcp.connect_any([Endpoint("127.0.0.1", self.server.sockets[0].getsockname()[1])])
        await until(lambda: bool(local.heard))  # it may have greeted before it is joined
        return Reached(local, None, b"first" if self.raw else None)

    def is_public(self, key_hash: KeyHash) -> bool:
        return self.public


@contextlib.asynccontextmanager
async def visits(host: FakeHost, most: int = publicvisits.MOST) -> AsyncIterator[PublicVisits]:
    host.server = await asyncio.start_server(host._serve, "127.0.0.1", 0)
    one = PublicVisits(lambda: cast(Host, host), most)
    try:
        yield one
    finally:
        await one.aclose()
        host.server.close()


async def come(one: PublicVisits, source: str = "198.51.100.7") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        raw, _ = listener.accept()
    raw.setblocking(False)
    stream: TcpStream = await over_socket(raw)
    one.came(Joined(stream, Endpoint(source, 4711), SERVICE, "", RELAY, None, AT), AT)
    return reader, writer


async def is_cut(visitor: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> bool:
    reader, writer = visitor
    try:
        await reader.read()
    except ConnectionResetError:
        return True
    finally:
        writer.close()
    return False


@pytest.mark.parametrize("raw", [True, False])
@in_loop
async def test_both_directions_end_on_their_own_and_the_service_is_told_first(raw: bool) -> None:
    async with visits(host := FakeHost(raw)) as one:
        reader, writer = await come(one)
        assert await reader.readexactly(5) == b"hello", "it speaks first"
        writer.write(b"x" * 1_000_000)
        writer.write_eof()
        assert await reader.read() == (b"1000005" if raw else b"1000000")
        writer.close()
        assert host.heard[0].startswith(b"first" if raw else b"x")
        assert host.came == [Came(Endpoint("198.51.100.7", 4711), AT)]
        await until(lambda: not one._of_source and not one._pairs and not one._tasks_of)


@pytest.mark.parametrize("raw", [True, False])
@in_loop
async def test_who_reads_slowly_gets_all_that_the_service_said_before_it_ended(raw: bool) -> None:
    said = b"y" * 8_000_000
    async with visits(FakeHost(raw, said)) as one:
        reader, writer = await come(one)
        writer.write_eof()
        await asyncio.sleep(1.5)  # longer than others are waited for
        assert len(await reader.read()) == len(said) + 1
        writer.close()


@pytest.mark.parametrize("raw", [True, False])
@in_loop
async def test_who_visits_what_is_not_public_any_more_is_cut(raw: bool) -> None:
    async with visits(host := FakeHost(raw)) as one:
        reader, writer = await come(one)
        await reader.readexactly(5)
        one.services_changed()
        host.public = False
        one.services_changed()
        assert await is_cut((reader, writer))
        assert await is_cut(await come(one))
        await until(lambda: not one._of_source)


@pytest.mark.parametrize("raw", [True, False])
@in_loop
async def test_the_end_of_the_node_is_a_cut(raw: bool) -> None:
    async with visits(FakeHost(raw)) as one:
        reader, writer = await come(one)
        await reader.readexactly(5)
        await one.aclose()
        assert await is_cut((reader, writer))


@in_loop
async def test_of_one_source_there_are_so_many_and_others_come_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publicvisits, "OF_A_SOURCE", 2)
    async with visits(FakeHost(True)) as one:
        there = [await come(one) for _ in range(2)]
        assert await is_cut(await come(one))
        there.append(await come(one, "198.51.100.8"))
        assert [await reader.readexactly(5) for reader, _ in there] == [b"hello"] * 3
        there[0][1].close()
        await until(lambda: one._of_source.total() == 2)
        again = await come(one)
        assert await again[0].readexactly(5) == b"hello"
        for _, writer in (*there, again):
            writer.close()


@pytest.mark.parametrize("raw", [True, False])
@in_loop
async def test_where_all_places_are_taken_who_has_most_gives_way(raw: bool) -> None:
    async with visits(FakeHost(raw), most=4) as one:
        many = [await come(one) for _ in range(4)]
        for reader, _ in many:
            await reader.readexactly(5)
        reader, writer = await come(one, "203.0.113.7")
        assert await reader.readexactly(5) == b"hello"
        await until(lambda: sum(reader.exception() is not None for reader, _ in many) == 1)
        assert await is_cut(await come(one)), "he has most, and is one more"
        await until(lambda: one.open_streams == 4)
        for _, other in (*many, (reader, writer)):
            other.close()
