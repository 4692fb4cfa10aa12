"""What a visitor sends and never ends costs the host little, is counted, and is ended."""

from __future__ import annotations

import asyncio
import re
import tracemalloc
from collections.abc import Callable, Iterator

import pytest
from aiohttp import web

from hardline.errors import ConnectionLost, PeerError
from hardline.http.serving.server import StreamServer
from tests.support.check_byte_stream import read_all
from tests.support.pairs import session_pair
from tests.tunnel.pair import eventually

STREAMS = 50
MEMORY = 24 << 20  # bytes; half of it is what the visitor's side of this process holds
LIMIT = 64 << 10

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def _fields(before: bytes) -> Iterator[bytes]:
    yield before
    for number in range(250):
        yield b"x%d: " % number + b"a" * 32_000 + b"\r\n"


def _endless(before: bytes, piece: bytes) -> Iterator[bytes]:
    yield before
    for _ in range(100):
        yield piece * (80_000 // len(piece))


ENDLESS: dict[str, Callable[[], Iterator[bytes]]] = {
    "fields": lambda: _fields(HEAD),
    "small fields": lambda: _endless(HEAD, b"a:b\r\n"),
    "one field": lambda: _endless(HEAD + b"a: ", b"x"),
    "a name": lambda: _endless(HEAD, b"x"),
    "a target": lambda: _endless(b"GET /", b"x"),
    "a method": lambda: _endless(b"", b"G"),
    "empty lines": lambda: _endless(b"", b"\r\n"),
    "a second head": lambda: _fields(HEAD + b"\r\n" + HEAD),
    "a head behind a body": lambda: _fields(CHUNKED + b"1\r\nx\r\n0\r\n\r\n" + HEAD),
    "a size": lambda: _endless(CHUNKED, b"0"),
    "a chunk's extension": lambda: _endless(CHUNKED + b"1;", b"x"),
    "trailers": lambda: _fields(CHUNKED + b"1\r\nx\r\n0\r\n"),
}


async def read(request: web.BaseRequest) -> web.Response:
    return web.Response(text=f"{len(await request.read())} bytes")


def last_status(answers: bytes) -> bytes:
    return re.findall(rb"HTTP/1\.[01] (\d{3}) ", answers)[-1]


@pytest.mark.parametrize("kind", ENDLESS)
def test_what_never_ends_is_refused_as_soon_as_it_is_too_long(kind: str) -> None:
    statuses: list[bytes] = []

    async def main() -> None:
        async with asyncio.timeout(100), session_pair() as (visitor, host, opened):
            server = StreamServer(read, "test")

            async def one() -> None:
                stream = visitor.open_stream()
                serving = asyncio.get_running_loop().create_task(server.serve(await opened.get()))
                reading = asyncio.get_running_loop().create_task(read_all(stream))
                try:
                    for piece in ENDLESS[kind]():
                        if reading.done():
                            break
                        await stream.send(piece)
                    statuses.append(last_status(await reading))
                except (ConnectionLost, PeerError):
                    statuses.append(b"cut")
                await stream.aclose()
                await serving

            await asyncio.gather(*(one() for _ in range(STREAMS)))
            await eventually(lambda: not host.open_streams, "nothing is left of them")
            await server.aclose()

    asyncio.run(main())  # what is loaded once is
    statuses.clear()
    tracemalloc.start()
    try:
        asyncio.run(main())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(statuses) == STREAMS
    assert set(statuses) <= {b"400", b"431"}
    assert peak < MEMORY


@pytest.mark.parametrize("sent", [b"G", HEAD, HEAD + b"\r\n" + HEAD, b"\r\n" + HEAD])
def test_a_head_that_is_not_whole_in_time_is_answered_so(sent: bytes) -> None:
    async def main() -> bytes:
        async with asyncio.timeout(100), session_pair() as (visitor, _, opened):
            server = StreamServer(read, "test", head_time=0.1)
            stream = visitor.open_stream()
            serving = asyncio.get_running_loop().create_task(server.serve(await opened.get()))
            await stream.send(sent)
            if sent.count(b"\r\n\r\n"):
                await stream.receive()
                await stream.send(b"a")
            got = await read_all(stream)
            await stream.aclose()
            await serving
            await server.aclose()
            return got

    assert last_status(asyncio.run(main())) == b"408"


def test_a_pause_between_requests_or_in_a_body_is_no_slow_head() -> None:
    async def main() -> bytes:
        async with asyncio.timeout(100), session_pair() as (visitor, _, opened):
            server = StreamServer(read, "test", head_time=0.05)
            stream = visitor.open_stream()
            serving = asyncio.get_running_loop().create_task(server.serve(await opened.get()))
            got = b""
            for piece in (CHUNKED, b"1\r\nx", b"\r\n", b"1", b"\r\nx\r\n", b"0\r\n\r\n", b"\r\n"):
                await stream.send(piece)
                await asyncio.wait([serving], timeout=0.15)
                assert not serving.done()
            await stream.send(HEAD + b"Connection: close\r\n\r\n")
            got = await read_all(stream)
            await stream.aclose()
            await serving
            await server.aclose()
            return got

    got = asyncio.run(main())
    assert got.count(b"HTTP/1.1 200") == 2
    assert b"2 bytes" in got


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(HEAD + b"a: " + b"x" * 30_000, id="a head"),
        pytest.param((HEAD + b"a: " + b"x" * 15_000 + b"\r\n\r\n") * 9, id="requests that wait"),
        pytest.param(CHUNKED + b"7000\r\n" + b"x" * 0x7000, id="a body that nobody reads"),
    ],
)
def test_what_the_server_keeps_is_counted_against_the_session_until_it_is_done_with(sent: bytes) -> None:
    async def main() -> None:
        async with asyncio.timeout(100), session_pair() as (visitor, _, opened):
            go = asyncio.Event()

            async def wait(request: web.BaseRequest) -> web.Response:
                await go.wait()
                return await read(request)

            server = StreamServer(wait, "test")
            stream = visitor.open_stream()
            there = await opened.get()
            serving = asyncio.get_running_loop().create_task(server.serve(there))
            await stream.send(sent)
            await eventually(lambda: there.held >= min(len(sent), LIMIT) * 0.8, "it is held")
            go.set()
            if not sent.endswith(b"\r\n\r\n"):
                await stream.send(b"\r\n\r\n" if sent.startswith(b"GET") else b"\r\n0\r\n\r\n")
            await eventually(lambda: not there.held, "it is done with")
            await stream.aclose()
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            await server.aclose()

    asyncio.run(main())


def test_small_pieces_that_wait_take_no_more_memory_than_large_ones() -> None:
    async def main() -> None:
        async with asyncio.timeout(100), session_pair() as (visitor, _, opened):
            go = asyncio.Event()

            async def wait(request: web.BaseRequest) -> web.Response:
                await go.wait()
                return await read(request)

            server = StreamServer(wait, "test")
            stream = visitor.open_stream()
            there = await opened.get()
            serving = asyncio.get_running_loop().create_task(server.serve(there))
            await stream.send(CHUNKED)
            tracemalloc.start()
            for _ in range(20_000):
                await stream.send(b"2\r\nxx\r\n")
            await eventually(lambda: there.held >= 120_000, "all of it is there")
            assert tracemalloc.get_traced_memory()[0] < 2 << 20
            tracemalloc.stop()
            go.set()
            await stream.send(b"0\r\n\r\n")
            assert (await stream.receive()).startswith(b"HTTP/1.1 200")
            await stream.aclose()
            await serving
            await server.aclose()

    asyncio.run(main())
