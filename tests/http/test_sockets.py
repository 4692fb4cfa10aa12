"""A server that is reached by a socket, as what is no stream does: HTTPS, hardline/1, whom somebody looks at."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from hardline.errors import ConnectionLost
from hardline.http.serving.protocol import source_of
from hardline.http.serving.server import StreamServer
from hardline.tasks import TaskSet

pytestmark = pytest.mark.pure

HEAD = b"PUT /%s HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n"


async def said(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text=f"{(await request.read()).decode()} of {source_of(request)}")


def test_one_that_retires_answers_what_is_under_way_and_nobody_new():
    async def story() -> None:
        server, tasks = StreamServer(said, "test"), TaskSet("test")
        slow, idle = await server.connect("192.0.2.1"), await server.connect("192.0.2.2")
        await idle.send(HEAD % b"idle" + b"abcdef")
        assert (await idle.receive()).endswith(b"abcdef of 192.0.2.2")
        await slow.send(HEAD % b"slow" + b"abc")
        await asyncio.sleep(0)
        retiring = tasks.start(server.retire(), "retire")
        assert await idle.receive() == b""
        with pytest.raises(ConnectionLost):
            await server.connect("192.0.2.3")
        assert not retiring.done()
        await slow.send(b"def")
        assert (await slow.receive()).endswith(b"abcdef of 192.0.2.1")
        assert await slow.receive() == b""
        await retiring
        await server.aclose()
        for pipe in (slow, idle):
            await pipe.aclose()

    asyncio.run(asyncio.wait_for(story(), 100))
