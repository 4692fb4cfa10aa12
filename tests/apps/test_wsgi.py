"""A WSGI application behind streams: bodies as they come, threads that come back, cuts that are cuts."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import threading
import wsgiref.validate

import pytest

from hardline.apps import wsgi as wsgi_module
from hardline.errors import ConnectionLost
from hardline.session.session import SessionLimits
from tests.apps.serving import answer, run, served, until
from tests.support.check_byte_stream import read_all

MB = 1 << 20
TEXT = [("Content-Type", "text/plain")]


def bar(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"bar"]


def summed(environ, start_response):
    digest, length = hashlib.sha256(), 0
    try:
        while data := environ["wsgi.input"].read(100_000):
            digest.update(data)
            length += len(data)
    except OSError as failure:
        torn.append((length, str(failure)))
        with pytest.raises(ConnectionResetError):
            environ["wsgi.input"].read(1)
        raise
    start_response("200 OK", TEXT)
    yield f"{length} {digest.hexdigest()}".encode()


torn: list[tuple[int, str]] = []


def ask(app, request: bytes) -> tuple[bytes, bytes]:
    """(head, body) of the answer."""
    got = []

    async def story():
        async with served(app, interface="wsgi") as (open_stream, _):
            stream = open_stream()
            await stream.send(request)
            got.append((await answer(stream))[:2])
            await stream.aclose()

    run(story)
    return got[0]


def test_the_standards_own_checks_are_passed():
    head, body = ask(wsgiref.validate.validator(_careful), b"GET /a?b=c HTTP/1.1\r\nHost: a\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert body == b"/a?b=c"
    _, body = ask(wsgiref.validate.validator(_careful), b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
    assert body == b"/?abc"


def _careful(environ, start_response):
    said = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode() or environ["QUERY_STRING"]
    start_response("200 OK", TEXT)
    return [f"{environ['PATH_INFO']}?{said}".encode()]


def test_a_list_gets_its_length_and_a_generator_comes_in_chunks():
    head, body = ask(bar, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (body, b"content-length: 3" in head.lower()) == (b"bar", True)

    def chunks(environ, start_response):
        write = start_response("203 So", TEXT)
        write(b"a")
        yield b""
        yield b"b"

    head, body = ask(chunks, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (body, head[:12], b"chunked" in head) == (b"ab", b"HTTP/1.1 203", True)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_upload_arrives_whole(chunked):
    data = os.urandom(8 * MB + 5)
    if chunked:
        sent = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)
    else:
        sent = b"Content-Length: %d\r\n\r\n%b" % (len(data), data)
    _, body = ask(summed, b"POST / HTTP/1.1\r\nHost: a\r\n" + sent)
    assert body == f"{len(data)} {hashlib.sha256(data).hexdigest()}".encode()


@pytest.mark.parametrize("half", [True, False])
def test_a_torn_upload_raises_in_read(half):
    async def story():
        torn.clear()
        async with served(summed) as (open_stream, _):
            stream = open_stream()
            await stream.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + bytes(300_000))
            if half:
                await stream.send_eof()
                with pytest.raises(ConnectionLost):
                    await read_all(stream)
            else:
                await asyncio.sleep(0.1)
                stream.abort()
            await until(lambda: torn)

    run(story)
    [(length, why)] = torn
    assert length < 1_000_000
    assert "gone" in why or "broke off" in why


def test_a_block_is_sent_before_the_next_one_is_made():
    next_one = threading.Event()

    def events(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        yield b"data: 1\n\n"
        assert next_one.wait(60)
        yield b"data: 2\n\n"

    async def story():
        async with served(events) as (open_stream, _):
            stream = open_stream()
            await stream.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            got = b""
            while b"data: 1" not in got:
                got += await stream.receive()
            next_one.set()
            _, body, _ = await answer(stream, got)
            assert body == b"data: 1\n\ndata: 2\n\n"
            await stream.aclose()

    run(story)


def test_who_leaves_an_endless_answer_gives_its_thread_back_and_the_iterable_is_closed():
    closed = []

    class Endless:
        def __iter__(self):
            return self

        def __next__(self):
            return bytes(65_536)

        def close(self):
            closed.append(threading.current_thread())

    def endless(environ, start_response):
        if environ["PATH_INFO"] == "/bar":
            return bar(environ, start_response)
        start_response("200 OK", TEXT)
        return Endless()

    async def story():
        async with served(endless, SessionLimits(stream_window=MB)) as (open_stream, _):
            for _ in range(6):  # more than there are threads
                stream = open_stream()
                await stream.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                await stream.receive()
                stream.abort()
            stream = open_stream()
            await stream.send(b"GET /bar HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await answer(stream))[1] == b"bar"
            await stream.aclose()
            await until(lambda: len(closed) == 6)

    run(story)
    assert threading.main_thread() not in closed


def test_who_is_slow_with_little_keeps_no_thread():
    page = b"x" * 60_000

    def pages(environ, start_response):
        environ["wsgi.input"].read()
        start_response("200 OK", TEXT)
        yield page

    async def story():
        async with served(pages, SessionLimits(stream_window=512 * 1024)) as (open_stream, site):
            slow = [open_stream() for _ in range(20)]  # five times as many as there are threads
            for stream in slow[:10]:
                await stream.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nnot all")
            for stream in slow[10:]:
                for _ in range(8):  # more than its window
                    await stream.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await until(lambda: len(site._state.connections) == 20)
            quick = open_stream()
            for _ in range(10):
                await quick.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                assert (await answer(quick))[1] == page
            for stream in slow[10:]:
                rest = b""
                for _ in range(8):
                    _, body, rest = await answer(stream, rest)
                    assert body == page
            for stream in (*slow, quick):
                stream.abort()

    run(story)


def test_more_requests_than_threads_wait_their_turn_and_all_are_answered():
    at_once, most, lock = 0, 0, threading.Lock()

    def counted(environ, start_response):
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        threading.Event().wait(0.01)
        with lock:
            at_once -= 1
        return bar(environ, start_response)

    async def story():
        async with served(counted) as (open_stream, _):

            async def visit():
                stream = open_stream()
                await stream.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                assert (await answer(stream))[1] == b"bar"
                await stream.aclose()

            await asyncio.gather(*(visit() for _ in range(60)))

    run(story)
    assert 1 < most <= 4


@pytest.mark.parametrize(
    "where", ["before", "start_response twice", "no start_response", "midst", "too long", "exc_info"]
)
def test_what_an_application_does_wrong(where, caplog):
    def wrong(environ, start_response):
        if where == "before":
            raise RuntimeError("broken")
        if where == "no start_response":
            return [b"x"]
        if where == "too long":
            start_response("200 OK", [("Content-Length", "3")])
            return iter([b"abcdef"])
        if where == "midst":
            start_response("200 OK", [("Content-Length", "30")])
            return _breaks()
        start_response("200 OK", TEXT)
        if where == "exc_info":
            try:
                raise ValueError
            except ValueError as failure:
                start_response("500 Sorry", TEXT, (ValueError, failure, failure.__traceback__))
            return [b"sorry"]
        start_response("200 OK", TEXT)
        return []

    def _breaks():
        yield b"abc"
        raise RuntimeError("broken")

    async def story():
        async with served(wrong) as (open_stream, _):
            stream = open_stream()
            await stream.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            if where in ("midst", "too long"):
                with pytest.raises(ConnectionLost):
                    await read_all(stream)
            elif where == "exc_info":
                head, body, _ = await answer(stream)
                assert (head[:12], body) == (b"HTTP/1.1 500", b"sorry")
            else:
                assert (await read_all(stream)).startswith(b"HTTP/1.1 500")
            await stream.aclose()

    run(story)
    assert [record.message for record in caplog.records].count("app.failed") == (where != "exc_info")


def test_a_site_that_ends_waits_for_no_thread_that_hangs():
    hangs = threading.Event()

    def hung(environ, start_response):
        hangs.wait(300)
        return bar(environ, start_response)

    async def story():
        async with served(hung) as (open_stream, site):
            stream = open_stream()
            await stream.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await until(lambda: site._state.tasks)
            await site.aclose()
            with pytest.raises(ConnectionLost):
                await read_all(stream)

    try:
        run(story)
    finally:
        hangs.set()


def _exits(environ, start_response):
    sys.exit(3)


def _finds_nothing(environ, start_response):
    next(iter(()))


@pytest.mark.parametrize("app", [_exits, _finds_nothing])
def test_what_ends_more_than_a_request_elsewhere_is_a_500_here(app):
    head, _ = ask(app, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 500 ")


def test_who_leaves_one_that_only_says_that_more_will_come_gives_its_thread_back():
    closed = threading.Event()

    def waits(environ, start_response):
        start_response("200 OK", TEXT)
        yield b"begun"
        try:
            while not closed.wait(0.005):
                yield b""
        finally:
            closed.set()

    async def story():
        async with served(waits) as (open_stream, _):
            stream = open_stream()
            await stream.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert b"HTTP/1.1 200 OK" in await stream.receive()
            stream.abort()
            await until(closed.is_set)

    run(story)


@pytest.mark.parametrize("way", ["up", "down"])
def test_who_falls_silent_keeps_no_thread_from_others(way, monkeypatch):
    monkeypatch.setattr(wsgi_module, "PATIENCE", 0.2)
    monkeypatch.setattr(wsgi_module, "_LOOKS_EVERY", 0.05)
    taken = 0

    def takes(environ, start_response):
        nonlocal taken
        if environ["PATH_INFO"] == "/":
            return bar(environ, start_response)
        taken += 1
        if way == "up":
            environ["wsgi.input"].read()
        start_response("200 OK", TEXT)
        return (bytes(100_000) for _ in range(1000))

    async def story():
        async with served(takes) as (open_stream, _):
            silent = [open_stream() for _ in range(4)]
            for stream in silent:
                length = b"Content-Length: 1000000\r\n" if way == "up" else b""
                await stream.send(b"POST /silent HTTP/1.1\r\nHost: a\r\n" + length + b"\r\n")
            await until(lambda: taken == 4)
            await asyncio.sleep(0.5)
            stream = open_stream()
            await stream.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await answer(stream))[1] == b"bar"
            for one in (*silent, stream):
                one.abort()

    run(story)
