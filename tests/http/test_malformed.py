"""What is no HTTP gets a page that says so in our words, once, and then the connection ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from hardline.http.serving.server import StreamServer
from tests.support.check_byte_stream import read_all
from tests.support.clock import run
from tests.support.pairs import session_pair
from tests.tunnel.pair import eventually

CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


async def length(request: web.BaseRequest) -> web.Response:
    return web.Response(text=f"{len(await request.read())} bytes")


async def careless(request: web.BaseRequest) -> web.Response:
    """As what asks a service with the body: whatever goes wrong with it becomes an answer."""
    try:
        return await length(request)
    except Exception:
        return web.Response(status=502)


async def mistaken(request: web.BaseRequest) -> web.Response:
    raise KeyError("secret")


def answered(
    *pieces: bytes, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]] = length, tunnel: bool = True
) -> bytes:
    """Everything that a visitor gets who sends `pieces` one after the other, until the server ends the connection."""

    began: list[web.BaseRequest] = []

    async def counted(request: web.BaseRequest) -> web.StreamResponse:
        began.append(request)
        return await handler(request)

    async def send(write: Callable[[bytes], Awaitable[None]]) -> None:
        for number, piece in enumerate(pieces):
            if number:
                await eventually(lambda: began, "somebody reads the first piece")
            await write(piece)

    async def over_a_stream(server: StreamServer) -> bytes:
        async with session_pair() as (visitor, _, opened), asyncio.TaskGroup() as group:
            stream = visitor.open_stream()
            group.create_task(send(stream.send))
            group.create_task(server.serve(await opened.get()))
            got = await read_all(stream)
            await stream.aclose()
            return got

    async def over_a_socket(server: StreamServer) -> bytes:
        listening = await asyncio.get_running_loop().create_server(server.protocol_factory, "127.0.0.1", 0)
        async with listening:
            reader, writer = await asyncio.open_connection("127.0.0.1", listening.sockets[0].getsockname()[1])

            async def write(data: bytes) -> None:
                writer.write(data)
                await writer.drain()

            await send(write)
            got = await reader.read()
            writer.close()
            return got

    async def main() -> bytes:
        server = StreamServer(counted, "test")
        try:
            return await (over_a_stream(server) if tunnel else over_a_socket(server))
        finally:
            await server.aclose()

    return run(main)


@pytest.mark.parametrize("tunnel", [True, False], ids=["stream", "socket"])
@pytest.mark.parametrize(
    ("request_", "status", "said"),
    [
        (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n", 400, b"Its target is no address."),
        (b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n", 400, b"Its target is no address."),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, b"It does not begin as HTTP does."),
        (b"GET / HTTP/3.7\r\nHost: x\r\n\r\n", 400, b"It is in no version of HTTP that is spoken here."),
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505, b"It is in no version of HTTP that is spoken here."),
        (b"GET /\r\n\r\n", 505, b"It is in no version of HTTP that is spoken here."),
        (b"GET / HTTP/1.1\r\n\r\n", 400, b"It does not say which host it is for."),
        (b"GET / HTTP/1.1\r\nHo st: x\r\n\r\n", 400, b"One of its fields is malformed"),
        (b"GET / HTTP/1.1\r\nHost: x\0secret\r\n\r\n", 400, b"One of its fields is malformed"),
        (b"GET /secret HTTP/1.1\r\nHost: x\r\nContent-Length: -3\r\n\r\n", 400, b"One of its fields is malformed"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: secret\r\n" * 300 + b"\r\n", 400, b"It has too many fields."),
        (b"GET /" + b"secret" * 7000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431, b"Its head is longer than anybody reads."),
        (
            b"GET / HTTP/1.1\r\nHost: x\r\n" + 3 * (b"A: " + b"secret" * 5000 + b"\r\n") + b"\r\n",
            431,
            b"Its head is longer",
        ),
        (CHUNKED + b"zz\r\nsecret\r\n0\r\n\r\n", 400, b"Its body is not encoded as its head says."),
    ],
)
def test_what_is_no_request_gets_a_page_that_says_what_is_wrong(request_, status, said, tunnel):
    answer = answered(request_, tunnel=tunnel)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.0 %d " % status, b"HTTP/1.1 %d " % status))
    assert b"\r\nServer: hardline\r\n" in head
    assert b"Content-Security-Policy: default-src 'none'" in head
    assert b"<h1>This is no request</h1>" in body
    assert said in body
    # Neither what the visitor sent, nor who reads it here.
    assert b"secret" not in answer
    assert b"aiohttp" not in answer


@pytest.mark.parametrize("tunnel", [True, False], ids=["stream", "socket"])
@pytest.mark.parametrize("handler", [length, careless])
def test_a_body_that_breaks_in_its_middle_leaves_nobody_waiting(handler, tunnel):
    answer = answered(CHUNKED, b"5\r\nhello\r\n", b"zz\r\n", handler=handler, tunnel=tunnel)
    assert answer.count(b"HTTP/1.") == 1
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Its body is not encoded as its head says." in answer


def test_a_body_that_was_broken_before_its_turn_came_leaves_nobody_waiting():
    async def slow(request: web.BaseRequest) -> web.Response:
        await asyncio.sleep(5)
        return await length(request)

    first = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = answered(first + CHUNKED, b"5\r\nhello\r\n", b"zz\r\n", handler=slow)
    assert answer.count(b"HTTP/1.1 ") == 2
    assert b"0 bytes" in answer
    assert b"Its body is not encoded as its head says." in answer


def test_what_is_no_request_behind_one_that_was_is_told_as_well():
    answer = answered(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"hello\r\n\r\n")
    assert b"0 bytes" in answer
    assert answer.count(b"This is no request</h1>") == 1


def test_a_mistake_of_ours_shows_nothing_of_itself():
    answer = answered(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", handler=mistaken)
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"Something went wrong on the computer that shares it" in answer
    assert b"\r\nServer: hardline\r\n" in answer
    assert b"secret" not in answer
