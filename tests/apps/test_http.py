"""HTTP between a visitor and an ASGI application: what is whole looks whole, what is cut looks cut, all has a bound."""

from __future__ import annotations

import asyncio
import hashlib
import os

import pytest

from hardline.apps import connection as connection_module
from hardline.apps.connection import MAX_FIELDS, MAX_HEAD
from hardline.errors import ConnectionLost, ServiceFailed
from hardline.session.session import SessionLimits
from hardline.tasks import TaskSet
from tests.apps.serving import answer, cut, run, served, until
from tests.support.check_byte_stream import read_all

TASKS = TaskSet("test")
START = {"type": "http.response.start", "status": 200, "headers": []}
KB, MB = 1024, 1 << 20


def body(data: bytes = b"", *, more: bool = False) -> dict[str, object]:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def hello(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    data = f"hello {scope['path']}".encode()
    await send({**START, "headers": [(b"content-length", str(len(data)).encode())]})
    await send(body(data))


async def summed(scope, receive, send):
    """The SHA-256 of what is uploaded, or what kept it from being whole."""
    assert scope["type"] == "http"
    digest, length = hashlib.sha256(), 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            torn.append(length)
            return
        digest.update(message["body"])
        length += len(message["body"])
        if not message["more_body"]:
            break
    await send(START)
    await send(body(f"{length} {digest.hexdigest()}".encode()))


torn: list[int] = []


def test_requests_on_one_stream_are_answered_in_order_also_when_they_come_at_once():
    async def story():
        async with served(hello) as (open_stream, _):
            stream = open_stream()
            for number in range(3):
                await stream.send(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
                head, said, _ = await answer(stream)
                assert head.startswith(b"HTTP/1.1 200 OK\r\ndate: ")
                assert said == b"hello /%d" % number
            await stream.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(500)))
            rest = b""
            for number in range(500):
                _, said, rest = await answer(stream, rest)
                assert said == b"hello /%d" % number
            await stream.send(b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert (await read_all(stream)).endswith(b"hello /last")
            await stream.send_eof()

    run(story)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_upload_arrives_whole(chunked):
    data = os.urandom(20 * MB + 17)

    async def story():
        async with served(summed) as (open_stream, _):
            stream = open_stream()
            if chunked:
                await stream.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
                for start in range(0, len(data), 300_000):
                    piece = data[start : start + 300_000]
                    await stream.send(b"%x\r\n%b\r\n" % (len(piece), piece))
                await stream.send(b"0\r\n\r\n")
            else:
                await stream.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(data))
                await stream.send(data)
            _, said, _ = await answer(stream)
            assert said == f"{len(data)} {hashlib.sha256(data).hexdigest()}".encode()
            await stream.aclose()

    run(story)


@pytest.mark.parametrize("how", ["its own direction", "both", "the session"])
def test_a_torn_upload_does_not_look_whole(how):
    async def story():
        torn.clear()
        async with served(summed) as (open_stream, _):
            stream = open_stream()
            await stream.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" + b"x" * 400)
            if how == "its own direction":
                await stream.send_eof()
                with pytest.raises(ConnectionLost):
                    await read_all(stream)
            elif how == "both":
                await asyncio.sleep(0.05)
                stream.abort()
            else:
                await asyncio.sleep(0.05)
                stream.session._tls.abort()
            await until(lambda: torn == [400])

    run(story)


def test_who_has_ended_his_direction_gets_every_answer_and_then_the_end():
    async def slow(scope, receive, send):
        if scope["type"] == "http":
            await asyncio.sleep(0.1)
            await hello(scope, receive, send)

    async def story():
        async with served(slow) as (open_stream, _):
            stream = open_stream()
            await stream.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
            await stream.send_eof()
            whole = await read_all(stream)
            assert whole.count(b"HTTP/1.1 200") == 2
            assert whole.endswith(b"hello /2")
            for nothing in (b"", b"GET / HT"):
                stream = open_stream()
                await stream.send(nothing)
                await stream.send_eof()
                assert await read_all(stream) == b""

    run(story)


def test_who_has_ended_and_is_told_nothing_for_long_is_given_up(monkeypatch):
    monkeypatch.setattr(connection_module, "SILENCE", 0.1)
    told = []

    async def waits(scope, receive, send):
        if scope["type"] == "http":
            assert (await receive())["type"] == "http.request"
            told.append((await receive())["type"])

    async def story():
        async with served(waits) as (open_stream, _):
            stream = open_stream()
            await stream.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await stream.send_eof()
            with pytest.raises(ConnectionLost):
                await stream.receive()
            await until(lambda: told == ["http.disconnect"])

    run(story)


@pytest.mark.parametrize("coding", ["chunked", "length"])
@pytest.mark.parametrize("end", ["raises", "returns"])
def test_an_application_that_breaks_off_is_a_cut(coding, end, caplog):
    async def breaks(scope, receive, send):
        if scope["type"] == "http":
            await send({**START, "headers": [(b"content-length", b"100")] if coding == "length" else []})
            await send(body(b"the first half", more=True))
            if end == "raises":
                raise RuntimeError("broken")

    async def story():
        async with served(breaks) as (open_stream, _):
            stream = open_stream()
            await stream.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert b"the first half" in await cut(stream)

    run(story)
    assert [record.message for record in caplog.records].count("app.failed") == 1


def test_an_application_that_fails_before_its_answer_is_500_and_the_next_request_is_answered(caplog):
    async def fails(scope, receive, send):
        if scope["type"] == "http":
            if scope["path"] == "/fail":
                raise RuntimeError("secret of the application")
            await hello(scope, receive, send)

    async def story():
        async with served(fails) as (open_stream, _):
            stream = open_stream()
            await stream.send(b"GET /fail HTTP/1.1\r\nHost: a\r\n\r\n")
            whole = await read_all(stream)
            assert whole.startswith(b"HTTP/1.1 500")
            assert b"secret" not in whole
            await stream.aclose()
            stream = open_stream()
            await stream.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await answer(stream))[1] == b"hello /"
            await stream.aclose()

    run(story)
    [told] = [record for record in caplog.records if record.message == "app.failed"]
    assert "secret of the application" in told.fields["reason"]
    assert told.exc_info is not None


def test_work_behind_an_answer_that_fails_cuts_nobody():
    async def late(scope, receive, send):
        if scope["type"] == "http":
            await hello(scope, receive, send)
            if scope["path"] == "/1":
                await asyncio.sleep(0.05)
                raise RuntimeError("too late")
            await asyncio.sleep(0.1)

    async def story():
        async with served(late) as (open_stream, _):
            stream = open_stream()
            for number in (b"1", b"2", b"3"):
                await stream.send(b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % number)
                assert (await answer(stream))[1] == b"hello /" + number
                await asyncio.sleep(0.08)
            await stream.aclose()

    run(story)


def test_head_and_100_continue():
    async def story():
        async with served(hello) as (open_stream, _):
            stream = open_stream()
            await stream.send(
                b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\nGET /y HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            )
            first, second = (await read_all(stream)).split(b"\r\n\r\nHTTP/1.1 200 OK")
            assert b"content-length: 8" in first
            assert second.endswith(b"\r\n\r\nhello /y")
            await stream.aclose()
        async with served(summed) as (open_stream, _):
            stream = open_stream()
            await stream.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
            assert await stream.receive() == b"HTTP/1.1 100 Continue\r\n\r\n"
            await stream.send(b"abc")
            assert (await answer(stream))[1].startswith(b"3 ")
            await stream.aclose()

    run(story)


async def refuses(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 413, "headers": [(b"connection", b"close")]})
        await send(body(b"too much"))


def test_an_early_answer_reaches_who_is_still_sending():
    async def story():
        async with served(refuses) as (open_stream, _):
            stream = open_stream()
            await stream.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n")
            sending = TASKS.start(stream.send(bytes(30 * MB)), "send")
            _, said, _ = await answer(stream)
            assert said == b"too much"
            await sending
            await stream.aclose()

    run(story)


def test_a_visitor_who_does_not_read_holds_no_more_than_his_window():
    sent = 0

    async def endless(scope, receive, send):
        nonlocal sent
        if scope["type"] == "http":
            await send(START)
            while True:
                await send(body(bytes(65_536), more=True))
                sent += 65_536

    async def story():
        async with served(endless, SessionLimits(stream_window=MB, session_window=4 * MB)) as (open_stream, site):
            stream = open_stream()
            await stream.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            before = -1
            while before != sent or not sent:
                before = sent
                await asyncio.sleep(0.1)
            assert sent < 12 * MB, "what the sockets and one window take"
            [transport] = site._transports
            assert transport.get_write_buffer_size() < 200 * KB
            stream.abort()  # and the application, which never stops, is told
            await until(lambda: not site._state.tasks)

    run(story)


def test_an_application_that_does_not_read_is_not_sent_more():
    go_on = asyncio.Event()

    async def waits(scope, receive, send):
        if scope["type"] == "http":
            await go_on.wait()
            await summed(scope, receive, send)

    async def story():
        async with served(waits) as (open_stream, site):
            stream = open_stream()
            await stream.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n")
            sending = TASKS.start(stream.send(bytes(8_000_000)), "send")
            await asyncio.sleep(0.3)
            assert not sending.done()
            [transport], [connection] = site._transports, site._state.connections
            assert connection.held + transport._incoming.size < 600 * KB
            go_on.set()
            assert (await answer(stream))[1].startswith(b"8000000 ")
            await sending
            await stream.aclose()

    run(story)


LONG = b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * (MAX_HEAD + 10_000)
ENDLESS_CHUNK = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;" + b"x" * (MAX_HEAD + 70_000)
TRAILERS = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 30_000


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GARBAGE\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (LONG, b"431"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a:\r\n" * (MAX_FIELDS + 1) + b"\r\n", b"431"),
        (b"GET /" + b"x" * (2 * MAX_HEAD), b"431"),
        (ENDLESS_CHUNK, b"431"),
        (TRAILERS, b"431"),
    ],
)
def test_what_is_no_request_is_refused_in_bounds_and_nobody_else_notices(sent, status):
    async def story():
        async with served(summed) as (open_stream, _):
            other, stream = open_stream(), open_stream()
            await stream.send(sent)
            whole = await read_all(stream)
            assert whole.startswith(b"HTTP/1.1 " + status)
            assert b"connection: close" in whole.lower()
            await stream.aclose()
            await other.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await answer(other))[1].startswith(b"0 ")
            await other.aclose()

    run(story)


def test_garbage_behind_a_request_cuts_its_answer_rather_than_to_stand_in_it():
    half = asyncio.Event()

    async def slow(scope, receive, send):
        if scope["type"] == "http":
            await send({**START, "headers": [(b"content-length", b"10")]})
            await send(body(b"12345", more=True))
            half.set()
            await asyncio.sleep(0.2)
            await send(body(b"67890"))

    async def story():
        async with served(slow) as (open_stream, _):
            stream = open_stream()
            await stream.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await half.wait()
            await stream.send(b"\0\0\0\0\r\n\r\n")
            assert b"400" not in await cut(stream)

    run(story)


def test_a_head_that_does_not_come_to_its_end_is_told_so(monkeypatch):
    monkeypatch.setattr(connection_module, "HEAD_TIME", 0.1)

    async def story():
        async with served(hello) as (open_stream, _):
            stream = open_stream()
            await stream.send(b"GET / HTTP/1.1\r\nHo")
            assert (await read_all(stream)).startswith(b"HTTP/1.1 408")
            await stream.aclose()

    run(story)


def test_what_waits_to_be_sent_is_not_the_applications_any_more():
    async def reuses(scope, receive, send):
        if scope["type"] == "http":
            buffer = bytearray(65_536)
            await send({**START, "headers": [(b"content-length", str(80 * 65_536).encode())]})
            for number in range(80):
                buffer[:] = bytes([number]) * 65_536
                await send(body(buffer, more=number < 79))
            buffer[:] = b"!" * 65_536

    async def story():
        async with served(reuses, SessionLimits(stream_window=512 * KB)) as (open_stream, _):
            stream = open_stream()
            await stream.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await asyncio.sleep(0.2)
            _, said, _ = await answer(stream)
            assert said == b"".join(bytes([number]) * 65_536 for number in range(80))
            await stream.aclose()

    run(story)


def test_a_site_that_retires_answers_what_is_under_way_and_takes_nothing_new():
    began = asyncio.Event()

    async def slow(scope, receive, send):
        if scope["type"] == "http":
            began.set()
            await asyncio.sleep(0.2)
            await hello(scope, receive, send)

    async def story():
        async with served(slow) as (open_stream, site):
            idle, stream = open_stream(), open_stream()
            await idle.send(b"")
            await stream.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
            await began.wait()
            retiring = TASKS.start(site.retire(60), "retire")
            _, said, behind = await answer(stream)
            assert (said, behind, await read_all(stream)) == (b"hello /1", b"", b"")
            with pytest.raises(ServiceFailed):
                await site.ready()
            await stream.aclose()
            assert await read_all(idle) == b""
            await idle.aclose()
            await retiring

    run(story)


@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket", b"TLS/1.0"])
def test_an_upgrade_that_is_not_made_is_a_request_like_any_other(upgrade):
    def wsgi(environ, start_response):
        start_response("200 OK", [])
        return [environ["PATH_INFO"].encode() + environ["wsgi.input"].read()]

    async def story():
        async with served(wsgi) as (open_stream, _):
            fields = b"Host: a\r\nConnection: Upgrade\r\nUpgrade: %b\r\n" % upgrade
            stream = open_stream()
            await stream.send(b"GET /1 HTTP/1.1\r\n%b\r\n" % fields)
            assert (await answer(stream))[1] == b"/1"
            await stream.send(b"GET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            whole = await read_all(stream)
            assert not whole or whole.endswith(b"/2"), "the next one is answered, or its connection has ended"
            await stream.aclose()
            stream = open_stream()
            first = b"POST /3 HTTP/1.1\r\n%bContent-Length: 23\r\n\r\nGET /x HTTP/1.1\r\na: b\r\n" % fields
            second = b"POST /4 HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" % fields
            rest = b""
            await stream.send(first + second)
            for expected in (b"/3GET /x HTTP/1.1\r\na: b\r\n", b"/4abc"):
                _, body, rest = await answer(stream, rest)
                assert body == expected
            for cut in range(1, len(first), 7):
                await stream.send(first[:cut])
                await asyncio.sleep(0)
                await stream.send(first[cut:])
                assert (await answer(stream))[1] == b"/3GET /x HTTP/1.1\r\na: b\r\n"
            await stream.send(b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await read_all(stream)).startswith(b"HTTP/1.1 400")
            await stream.aclose()

    run(story)


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("length", [[], [(b"content-length", b"15")], [(b"transfer-encoding", b"chunked")]])
def test_a_body_where_there_is_none_is_not_taken_for_the_next_answer(status, length):
    async def app(scope, receive, send):
        if scope["path"] == "/next":
            await hello(scope, receive, send)
        elif scope["type"] == "http":
            await send({**START, "status": status, "headers": length})
            await send(body(b"HTTP/1.1 200 OK"))

    async def story():
        async with served(app) as (open_stream, _):
            stream = open_stream()
            await stream.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n")
            said = b""
            while not said.endswith(b"hello /next"):
                said += await stream.receive()
            first, _, rest = said.partition(b"\r\n\r\n")
            assert first.startswith(b"HTTP/1.1 %d" % status)
            assert rest.startswith(b"HTTP/1.1 200 OK\r\n")
            assert rest.count(b"HTTP/1.1") == 1
            await stream.aclose()

    run(story)


@pytest.mark.parametrize("wrong", [{"status": 103}, {"headers": [(b"x", b"a\r\nSet-Cookie: b=c")]}])
def test_a_head_that_is_none_is_a_500(wrong, caplog):
    async def app(scope, receive, send):
        if scope["type"] == "http":
            await send({**START, **wrong})
            await send(body(b"x"))

    async def story():
        async with served(app) as (open_stream, _):
            stream = open_stream()
            await stream.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            head, _, _ = await answer(stream)
            assert head.startswith(b"HTTP/1.1 500 ")
            assert b"Set-Cookie" not in head
            await stream.aclose()

    run(story)
    assert any("BadAnswer" in str(getattr(one, "fields", "")) for one in caplog.records)


def test_an_application_that_stumbles_over_its_own_cancelled_task_is_a_500(caplog):
    async def app(scope, receive, send):
        if scope["type"] == "http":
            task = TASKS.start(asyncio.sleep(100), "own")
            task.cancel()
            await task

    async def story():
        async with served(app) as (open_stream, _):
            stream = open_stream()
            await stream.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await answer(stream))[0].startswith(b"HTTP/1.1 500 ")
            await stream.aclose()

    run(story)
    assert any("CancelledError" in str(getattr(one, "fields", "")) for one in caplog.records)


def test_http_1_0_gets_no_chunks():
    async def app(scope, receive, send):
        if scope["type"] == "http":
            await send(START)
            await send(body(b"one ", more=True))
            await send(body(b"two"))

    async def story():
        async with served(app) as (open_stream, _):
            stream = open_stream()
            await stream.send(b"GET / HTTP/1.0\r\n\r\n")
            head, _, said = (await read_all(stream)).partition(b"\r\n\r\n")
            assert (said, b"chunked" in head, b"connection: close" in head) == (b"one two", False, True)
            await stream.aclose()

    run(story)
