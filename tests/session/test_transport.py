"""The HTTP server that is handed streams: keep-alive, halves that end, back-pressure, cuts, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import random
import time

import pytest
from aiohttp import web

from hardline.disks import Disk
from hardline.errors import ConnectionLost, PeerError
from hardline.http.serving.body import send_file
from hardline.http.serving.server import StreamServer
from hardline.session.session import SessionLimits
from tests.support import clock
from tests.support.check_byte_stream import read_all
from tests.support.pairs import session_pair
from tests.tunnel.pair import eventually


def for_real(story):
    asyncio.run(story())


def visit(handler, story, limits=None, run=for_real):
    """Run story(open_stream, server) by `run`; the streams' other ends are served by `handler`."""

    async def whole():
        async with asyncio.timeout(100), session_pair(limits) as (visitor, host, opened):
            server = StreamServer(handler, "test")

            async def serve(stream):
                with contextlib.suppress(ConnectionLost):
                    await server.serve(stream)
                await stream.aclose()

            async def accept(group):
                while True:
                    group.create_task(serve(await opened.get()))

            async with asyncio.TaskGroup() as group:
                accepting = group.create_task(accept(group))
                await story(visitor.open_stream, server)
                await eventually(lambda: not host.open_streams and not visitor.open_streams, "no stream is left")
                accepting.cancel()
                await server.aclose()

    run(whole)


async def hello(request):
    return web.Response(text=f"hello {request.path}")


async def read_answer(stream, data=b""):
    while b"\r\n\r\n" not in data:
        data += await stream.receive()
    head, body = data.split(b"\r\n\r\n", 1)
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    while len(body) < length:
        data = await stream.receive()
        assert data, "the answer is short"
        body += data
    return head, body[:length], body[length:]


def test_requests_on_one_stream_are_answered_one_after_the_other():
    async def story(open_stream, server):
        stream = open_stream()
        for number in range(5):
            await stream.send(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
            head, body, _ = await read_answer(stream)
            assert head.startswith(b"HTTP/1.1 200")
            assert body == b"hello /%d" % number
        await stream.send(b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert (await read_all(stream)).endswith(b"hello /last")
        await stream.send_eof()

    visit(hello, story)


def test_who_ends_his_sending_gets_every_answer_and_then_the_end():
    async def slow(request):
        await asyncio.sleep(5)
        return await hello(request)

    async def story(open_stream, server):
        stream = open_stream()
        await stream.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        await stream.send_eof()
        answers = await read_all(stream)
        assert answers.count(b"HTTP/1.1 200") == 2
        assert answers.endswith(b"hello /2")

    visit(slow, story, run=clock.run)


def test_who_ends_without_a_request_gets_the_end():
    async def story(open_stream, server):
        for sent in (b"", b"GET / HT"):
            stream = open_stream()
            await stream.send(sent)
            await stream.send_eof()
            assert await read_all(stream) == b""

    visit(hello, story)


def test_a_body_that_ends_too_soon_is_not_waited_for():
    began = asyncio.Event()
    seen = []

    async def takes(request):
        began.set()
        try:
            await request.read()
        except BaseException as failure:
            seen.append(failure)
            raise
        return web.Response()

    async def story(open_stream, server):
        stream = open_stream()
        await stream.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
        await began.wait()
        await stream.send_eof()
        with pytest.raises(ConnectionLost):
            await read_all(stream)
        assert seen

    visit(takes, story)


def test_megabytes_go_both_ways_whole():
    async def echo(request):
        response = web.StreamResponse()
        await response.prepare(request)
        async for data in request.content.iter_any():
            await response.write(data)
        return response

    block = bytes(range(256)) * 256
    count = 400

    async def story(open_stream, server):
        stream = open_stream()
        await stream.send(b"POST / HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % (len(block) * count))

        async def feed():
            for _ in range(count):
                await stream.send(block)
            await stream.send_eof()

        async with asyncio.TaskGroup() as group:
            group.create_task(feed())
            answer = await read_all(stream)
        body = answer.split(b"\r\n\r\n", 1)[1]
        assert hashlib.sha256(body).digest() == hashlib.sha256(block * count).digest()

    visit(echo, story)


def test_a_file_reaches_those_who_take_their_time_as_it_is(tmp_path):
    """Many at once: each has the next piece taken from it a little at a time, and waits with the rest."""
    content = random.Random(4).randbytes(3_000_000)
    (tmp_path / "file").write_bytes(content)

    async def file(request):
        response = web.StreamResponse(headers={"Content-Length": str(len(content))})
        with (tmp_path / "file").open("rb") as opened:
            await response.prepare(request)
            await send_file(request, response, opened.fileno(), 0, len(content), disk=Disk("files"))
        return response

    async def story(open_stream, server):
        async def fetch():
            stream = open_stream()
            await stream.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            body = (await read_all(stream)).split(b"\r\n\r\n", 1)[1]
            assert hashlib.sha256(body).digest() == hashlib.sha256(content).digest()
            await stream.send_eof()

        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(fetch())

    visit(file, story, SessionLimits(stream_window=300_000))


def test_a_visitor_who_does_not_read_stops_the_answer_and_not_others():
    sent = []

    async def endless(request):
        if request.path == "/":
            return await hello(request)
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(2000):
            await response.write(bytes(65_536))
            sent.append(65_536)
        return response

    async def story(open_stream, server):
        lazy = open_stream()
        await lazy.send(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
        await eventually(lambda: sent, "it began")
        before = -1
        while sum(sent) != before:  # until it stands still
            before = sum(sent)
            stream = open_stream()
            await stream.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert (await read_all(stream)).endswith(b"hello /")
            await stream.send_eof()
            await clock.settled()
        assert before < 40_000_000, "what nobody reads piles up"
        await lazy.aclose()

    visit(endless, story, run=clock.run)


def test_a_visitor_who_leaves_cancels_the_answer():
    began, told = asyncio.Event(), asyncio.Event()

    async def waits(request):
        began.set()
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            told.set()
            raise

    async def story(open_stream, server):
        stream = open_stream()
        await stream.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await began.wait()
        await stream.aclose()
        await told.wait()

    visit(waits, story)


def test_what_fails_in_the_middle_is_a_cut_and_what_fails_before_is_a_500():
    async def fails(request):
        if request.path == "/before":
            raise RuntimeError("a bug")
        response = web.StreamResponse(headers={"Content-Length": "10"})
        await response.prepare(request)
        await response.write(b"12345")
        raise PeerError("the origin broke off")

    async def story(open_stream, server):
        stream = open_stream()
        await stream.send(b"GET /middle HTTP/1.1\r\nHost: a\r\n\r\n")
        with pytest.raises(ConnectionLost):
            await read_all(stream)
        stream = open_stream()
        await stream.send(b"GET /before HTTP/1.0\r\n\r\n")
        answer = await read_all(stream)
        assert b" 500 " in answer
        assert b"a bug" not in answer
        await stream.send_eof()

    visit(fails, story)


def test_garbage_is_a_400():
    async def story(open_stream, server):
        stream = open_stream()
        await stream.send(b"\x16\x03\x01 what?\r\n\r\n")
        assert (await read_all(stream)).startswith(b"HTTP/1.0 400")
        await stream.send_eof()

    visit(hello, story)


def test_a_server_that_retires_lets_answers_end_and_takes_no_more():
    began, going_on = asyncio.Event(), asyncio.Event()

    async def waits(request):
        began.set()
        await going_on.wait()
        return await hello(request)

    async def story(open_stream, server):
        stream = open_stream()
        await stream.send(b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n")
        await began.wait()
        async with asyncio.TaskGroup() as group:
            retiring = group.create_task(server.retire())
            late = open_stream()
            await late.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            with pytest.raises(ConnectionLost):
                await read_all(late)
            assert not retiring.done()
            going_on.set()
            assert (await read_all(stream)).endswith(b"hello /long")
            await stream.send_eof()

    visit(waits, story)


def test_a_connection_that_is_over_is_freed():
    async def story(open_stream, server):
        for _ in range(3):
            stream = open_stream()
            await stream.send(b"GET / HTTP/1.0\r\n\r\n")
            await read_all(stream)
            await stream.send_eof()
        await eventually(lambda: not server._connections, "no connection is left")
        gc.collect()

    visit(hello, story)


def test_what_is_written_while_the_visitor_does_not_read_is_copied_once():
    costs = {}

    async def story(open_stream, server):
        stream = open_stream()
        await stream.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        data = b""
        while not data.endswith(b"the end"):
            data = data[-10:] + await stream.receive()
        await stream.send_eof()

    for count in (500, 5000):

        async def much(request, count=count):
            transport, piece = request.transport, bytes(2000)
            transport.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
            began = time.process_time()
            for _ in range(count):
                transport.write(piece)
            costs[count] = time.process_time() - began
            transport.write(b"the end")
            transport.close()
            return web.Response()

        with contextlib.suppress(BaseExceptionGroup):
            visit(much, story)
    assert costs[5000] <= 3 * 10 * max(costs[500], 0.002)
