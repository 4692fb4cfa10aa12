"""Visitors of hardline/1, who have no streams: a socket to the same application, with the same cuts."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from hardline.apps.handled import HandlerSite
from hardline.apps.kinds import Kind
from hardline.apps.site import AppSite
from hardline.errors import ConnectionLost, ServiceFailed
from hardline.streams import ByteStream
from tests.apps.serving import run, until
from tests.apps.test_http import hello, summed, torn
from tests.support.check_byte_stream import read_all


@contextlib.asynccontextmanager
async def site_of(app):
    site = AppSite("test", app, Kind.ASGI, threads=1)
    await site.start()
    try:
        yield site
    finally:
        await site.aclose()


def test_requests_are_answered_and_the_end_comes_behind_the_last():
    async def story():
        async with site_of(hello) as site:
            pipe = await site.connect()
            await pipe.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
            await pipe.send_eof()
            whole = await read_all(pipe)
            assert whole.count(b"HTTP/1.1 200") == 2
            assert whole.endswith(b"hello /2")
            await pipe.aclose()
            await until(lambda: not site._state.connections)

    run(story)


def test_a_torn_upload_does_not_look_whole():
    async def story():
        torn.clear()
        async with site_of(summed) as site:
            pipe = await site.connect()
            await pipe.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" + b"x" * 400)
            await pipe.send_eof()
            assert await read_all(pipe) == b""
            await until(lambda: torn == [400])
            await pipe.aclose()

    run(story)


def test_a_site_that_retires_answers_who_came_by_a_socket():
    began = asyncio.Event()

    async def slow(scope, receive, send):
        if scope["type"] == "http":
            began.set()
            await asyncio.sleep(0.2)
            await hello(scope, receive, send)

    async def story():
        async with site_of(slow) as site:
            pipe = await site.connect()
            await pipe.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
            await began.wait()
            await site.retire(60)
            assert (await read_all(pipe)).endswith(b"hello /1")
            with pytest.raises(ServiceFailed):
                await site.connect()
            await pipe.aclose()

    run(story)


def test_a_handler_gets_the_socket():
    async def shouts(pipe: ByteStream) -> None:
        await pipe.send((await pipe.receive()).upper())

    async def story():
        site = HandlerSite("test", shouts)
        pipe = await site.connect()
        await pipe.send(b"hello")
        assert await read_all(pipe) == b"HELLO"
        await pipe.aclose()
        await until(lambda: not site._served)
        await site.aclose()
        with pytest.raises(ServiceFailed):
            await site.connect()

    run(story)


@pytest.mark.parametrize("end", [SystemExit(3), asyncio.CancelledError()])
def test_a_handler_that_would_end_more_than_itself_cuts_and_is_told_of(end, caplog):
    async def stumbles(stream):
        await stream.receive()
        raise end

    async def story():
        site = HandlerSite("test", stumbles)
        pipe = await site.connect()
        await pipe.send(b"x")
        with contextlib.suppress(ConnectionLost):
            assert await pipe.receive() == b""
        await pipe.aclose()
        await site.aclose()

    run(story)
    assert any(type(end).__name__ in str(getattr(one, "fields", "")) for one in caplog.records)
