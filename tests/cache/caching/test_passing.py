"""What is carried to the local service and back as it is: streams, uploads, upgrades, and requests of odd shapes."""

from __future__ import annotations

import asyncio
import hashlib
import os
import resource
import sys
from pathlib import Path

import pytest

from hardline.tasks import TaskSet
from tests.cache.proxied import Asked, answer, proxied, request, until
from tests.support import clock, needs

MB = 1 << 20


def test_a_request_and_its_answer_are_carried_letter_by_letter(tmp_path: Path) -> None:
    async def main() -> None:
        told = (
            b"HTTP/1.1 404 Nowhere To Be Seen\r\nSet-Cookie: a=1\r\nX-One: 1\r\nset-cookie: b=2\r\nX-Latin: \xfc\r\n"
            b"Connection: close, X-Hop\r\nX-Hop: gone\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nno"
        )
        target = "/a/../b//c?x=%zz&y='\"<>|~"
        async with proxied(tmp_path, {target: told}) as site:
            visitor = await site.visitor()
            visitor.send(
                b"POST /a/../b//c?x=%zz&y='\"<>|~ HTTP/1.1\r\nhost: Site.Localhost:7009\r\nCookie: c=1\r\nX-Dup: 1\r\n"
                b"Accept: */*\r\nX-DUP: 2\r\nConnection: keep-alive, X-Hop\r\nX-Hop: gone\r\nKeep-Alive: 5\r\n"
                b"TE: trailers\r\nUser-Agent: \xc3\xbc\r\nContent-Length: 0\r\n\r\n"
            )
            got = await visitor.reply()
            assert (got.status, got.body) == (404, b"no")
            fields = [one for one in got.fields if one[0] not in ("Date", "Cache-Status", "Content-Length")]
            assert fields == [("Set-Cookie", "a=1"), ("X-One", "1"), ("set-cookie", "b=2"), ("X-Latin", "\xfc")]
            asked = site.origin.asked[0]
            assert asked.line == f"POST {target} HTTP/1.1"
            assert sorted((name.lower(), value) for name, value in asked.fields) == [
                ("accept", "*/*"),
                ("content-length", "0"),
                ("cookie", "c=1"),
                ("host", "Site.Localhost:7009"),
                ("user-agent", "\xc3\xbc"),
                ("x-dup", "1"),
                ("x-dup", "2"),
            ]

    asyncio.run(main())


def test_an_answer_without_a_type_or_a_server_gets_none(tmp_path: Path) -> None:
    async def main() -> None:
        plain = answer(b"<p>", Cache_Control="no-store", Date="Sun, 06 Nov 1994 08:49:37 GMT")
        async with proxied(tmp_path, {"/a": plain}) as site:
            got = await site.get("/a")
            assert {name.lower() for name, _ in got.fields} == {
                "cache-control",
                "date",
                "cache-status",
                "content-length",
            }

    asyncio.run(main())


def test_the_first_event_of_a_stream_comes_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        more = asyncio.Event()

        async def events(asked: Asked) -> None:
            await asked.send(answer(b"", Content_Type="text/event-stream", Transfer_Encoding="chunked"))
            await asked.send(b"9\r\ndata: 1\n\n\r\n")
            await more.wait()
            await asked.send(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

        async with proxied(tmp_path, {"/events": events}, max_age=1000) as site:
            visitors = [await site.visitor() for _ in range(3)]
            for visitor in visitors:
                visitor.send(request("GET", "/events"))
            for visitor in visitors:
                await visitor.head()
                assert await visitor.reader.readuntil(b"\n\n\r\n") == b"9\r\ndata: 1\n\n\r\n"
            more.set()
            assert await visitors[0].reader.readuntil(b"0\r\n\r\n") == b"9\r\ndata: 2\n\n\r\n0\r\n\r\n"
            assert site.stored() == []

    asyncio.run(main())


def test_the_end_of_the_visitor_ends_the_stream_at_the_origin(tmp_path: Path) -> None:
    async def main() -> None:
        ended = asyncio.Event()

        async def events(asked: Asked) -> None:
            await asked.send(answer(b"", Content_Type="text/event-stream", Transfer_Encoding="chunked"))
            await asked.send(b"9\r\ndata: 1\n\n\r\n")
            try:
                await asked.reader.read(1)
            finally:
                ended.set()
            raise EOFError

        async with proxied(tmp_path, {"/events": events}) as site:
            visitor = await site.visitor()
            visitor.send(request("GET", "/events"))
            await visitor.head()
            visitor.writer.transport.abort()
            await asyncio.wait_for(ended.wait(), 100)

    asyncio.run(main())


@pytest.mark.parametrize("chunked", [True, False])
def test_a_large_upload_and_download_take_no_memory(tmp_path: Path, chunked: bool) -> None:
    async def main() -> None:
        size = 300 * MB
        block = os.urandom(MB)

        async def origin(asked: Asked) -> None:
            digest = hashlib.sha256()
            async for piece in asked.pieces():
                digest.update(piece)
            await asked.send(answer(b"", Content_Length=str(size), X_Sum=digest.hexdigest()))
            for _ in range(size // MB):
                await asked.send(block)

        async with proxied(tmp_path, {"/up": origin}) as site:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            visitor = await site.visitor()
            kind = b"Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}".encode()
            visitor.send(b"PUT /up HTTP/1.1\r\nHost: a\r\n" + kind + b"\r\n\r\n")
            digest = hashlib.sha256()
            for _ in range(size // MB):
                digest.update(block)
                visitor.send(b"100000\r\n" + block + b"\r\n" if chunked else block)
                await visitor.writer.drain()
            if chunked:
                visitor.send(b"0\r\nX-Trailer: dropped\r\n\r\n")
            head = await visitor.head()
            assert head.get("x-sum") == digest.hexdigest()
            left = size
            while left:
                left -= len(await visitor.reader.read(MB))
            unit = 1024 if sys.platform == "linux" else 1
            assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit < 40 * MB

    asyncio.run(main())


@needs.linux()
def test_a_slow_visitor_slows_the_local_service_down(tmp_path: Path) -> None:
    async def main() -> None:
        sent = 0

        async def origin(asked: Asked) -> None:
            nonlocal sent
            await asked.send(answer(b"", Content_Length=str(100 * MB), Cache_Control="no-store"))
            for _ in range(100):
                await asked.send(bytes(MB))
                sent += 1

        async with proxied(tmp_path, {"/a": origin}) as site:
            visitor = await site.visitor()
            visitor.send(request("GET", "/a"))
            await visitor.head()
            await clock.settled()
            assert sent < 50
            left = 100 * MB
            while left:
                left -= len(await visitor.reader.read(MB))
            await until(lambda: sent == 100, "it goes on")

    clock.run(main)


def test_a_body_is_asked_for_when_the_visitor_waits_for_that(tmp_path: Path) -> None:
    async def main() -> None:
        async def origin(asked: Asked) -> None:
            await asked.send(answer(b"got " + await asked.body()))

        async with proxied(tmp_path, {"/a": origin}) as site:
            visitor = await site.visitor()
            visitor.send(b"POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
            assert await visitor.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            visitor.send(b"body")
            assert (await visitor.reply()).body == b"got body"

    asyncio.run(main())


def test_an_answer_may_come_before_the_upload_is_over(tmp_path: Path) -> None:
    async def main() -> None:
        async def refuse(asked: Asked) -> None:
            await asked.send(answer(b"too large", "413 Content Too Large", Connection="close"))

        async with proxied(tmp_path, {"/up": refuse}) as site:
            visitor = await site.visitor()
            visitor.send(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n" + bytes(100_000))
            got = await visitor.reply()
            assert (got.status, got.body) == (413, b"too large")

    asyncio.run(main())


def test_an_upload_that_is_cut_never_looks_whole(tmp_path: Path) -> None:
    async def main() -> None:
        outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def origin(asked: Asked) -> None:
            try:
                await asked.body()
                outcome.set_result("whole")
            except (OSError, EOFError, ValueError):
                outcome.set_result("cut")
            raise EOFError

        async with proxied(tmp_path, {"/up": origin}) as site:
            visitor = await site.visitor()
            visitor.send(b"POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            await until(lambda: site.origin.asked, "it is carried")
            visitor.writer.transport.abort()
            assert await asyncio.wait_for(outcome, 100) == "cut"

    asyncio.run(main())


def test_both_ends_speak_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async def echo(asked: Asked) -> None:
            await asked.send(answer(b"", Transfer_Encoding="chunked"))
            async for piece in asked.pieces():
                await asked.send(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            await asked.send(b"0\r\n\r\n")

        async with proxied(tmp_path, {"/echo": echo}) as site:
            visitor = await site.visitor()
            visitor.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            await visitor.head()
            for word in (b"one", b"two"):
                visitor.send(b"3\r\n" + word + b"\r\n")
                assert await visitor.reader.readexactly(8) == b"3\r\n" + word + b"\r\n"
            visitor.send(b"0\r\n\r\n")
            assert await visitor.reader.readuntil(b"0\r\n\r\n") == b"0\r\n\r\n"

    asyncio.run(main())


@pytest.mark.parametrize("protocol", ["websocket", "something/1"])
def test_an_upgraded_connection_is_raw_both_ways(tmp_path: Path, protocol: str) -> None:
    async def main() -> None:
        tasks = TaskSet("test")
        ended: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def origin(asked: Asked) -> None:
            assert asked.get("upgrade") == protocol
            await asked.send(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "
                + protocol.encode()
                + b"\r\nSec-WebSocket-Accept: x\r\n\r\nfirst"
            )
            while data := await asked.reader.read(65_536):
                await asked.send(data)
            ended.set_result(b"")
            raise EOFError

        async with proxied(tmp_path, {"/ws": origin}) as site:
            visitor = await site.visitor()
            visitor.send(
                request("GET", "/ws", Connection="keep-alive, Upgrade", Upgrade=protocol, Sec_WebSocket_Key="k")
            )
            head = await visitor.head()
            assert (head.status, head.get("upgrade"), head.get("sec-websocket-accept")) == (101, protocol, "x")
            assert (head.get("connection") or "").lower() == "upgrade"
            assert await visitor.reader.readexactly(5) == b"first"
            data = os.urandom(20 * MB)
            writing = tasks.start(_write(visitor.writer, data), "write")
            assert await visitor.reader.readexactly(len(data)) == data
            await writing
            visitor.writer.write_eof()
            await asyncio.wait_for(ended, 100)
            assert await visitor.reader.read() == b""

    asyncio.run(main())


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


def test_an_upgrade_that_is_refused_is_an_answer_like_any_other(tmp_path: Path) -> None:
    async def main() -> None:
        async with proxied(tmp_path, {"/ws": answer(b"no", "426 Upgrade Required"), "/a": answer(b"a")}) as site:
            visitor = await site.visitor()
            visitor.send(request("GET", "/ws", Connection="Upgrade", Upgrade="websocket"))
            got = await visitor.reply()
            assert (got.status, got.body) == (426, b"no")
            visitor.send(request("GET", "/a"))
            assert (await visitor.reply()).body == b"a"

    asyncio.run(main())


@pytest.mark.parametrize("cache", ["no-store", "max-age=60"])
def test_interim_answers_are_passed_on(tmp_path: Path, cache: str) -> None:
    async def main() -> None:
        early = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
        async with proxied(tmp_path, {"/a": early + early + answer(b"page", Cache_Control=cache)}) as site:
            got = await site.get("/a")
            assert (got.status, got.body) == (200, b"page")
            assert got.interim == [early, early]

    asyncio.run(main())


def test_trailers_are_not_carried(tmp_path: Path) -> None:
    async def main() -> None:
        told = answer(b"", Transfer_Encoding="chunked", Trailer="X-T", Cache_Control="no-store")
        async with proxied(tmp_path, {"/a": told + b"5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"}) as site:
            got = await site.get("/a")
            assert (got.body, got.get("trailer")) == (b"hello", None)

    asyncio.run(main())


def test_a_visitor_of_http_1_0_gets_an_answer_that_ends_with_its_connection(tmp_path: Path) -> None:
    async def main() -> None:
        told = answer(b"", Transfer_Encoding="chunked", Cache_Control="no-store") + b"5\r\nhello\r\n0\r\n\r\n"
        async with proxied(tmp_path, {"/a": told}) as site:
            visitor = await site.visitor()
            visitor.send(b"GET /a HTTP/1.0\r\nHost: a\r\n\r\n")
            text = await visitor.reader.read()
            assert text.endswith(b"\r\n\r\nhello")
            assert b"chunked" not in text

    asyncio.run(main())


def test_a_head_request_is_carried_with_the_length_it_tells(tmp_path: Path) -> None:
    async def main() -> None:
        async with proxied(tmp_path, {"/a": answer(b"", Content_Length="5000000", Cache_Control="no-store")}) as site:
            visitor = await site.visitor()
            for _ in range(2):
                visitor.send(request("HEAD", "/a"))
                got = await visitor.reply("HEAD")
                assert (got.status, got.get("content-length")) == (200, "5000000")

    asyncio.run(main())


def test_a_body_that_breaks_off_is_cut(tmp_path: Path) -> None:
    async def main() -> None:
        async def origin(asked: Asked) -> None:
            await asked.send(answer(b"", Content_Length="100", Cache_Control="no-store"), b"part")
            asked.cut()
            raise EOFError

        async with proxied(tmp_path, {"/a": origin}) as site:
            got = await site.get("/a")
            assert got.is_cut
            assert b"part".startswith(got.body)

    asyncio.run(main())


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        b"GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT other:80 HTTP/1.1\r\nHost: other:80\r\n\r\n",
        b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_what_two_programs_might_read_in_two_ways_is_refused(tmp_path: Path, head: bytes) -> None:
    async def main() -> None:
        async with proxied(tmp_path, {"/": answer(b"served")}) as site:
            visitor = await site.visitor()
            visitor.send(head)
            got = await visitor.reply()
            assert 400 <= got.status < 500
            assert await visitor.reader.read() == b"", "nothing behind it is read as another request"
            assert site.origin.count() == 0

    asyncio.run(main())


def test_a_whole_url_is_carried_as_path_and_host(tmp_path: Path) -> None:
    async def main() -> None:
        async with proxied(tmp_path, {"/a?b": answer(b"got", Cache_Control="max-age=60")}) as site:
            visitor = await site.visitor()
            visitor.send(b"GET http://real.localhost/a?b HTTP/1.1\r\nHost: other.localhost\r\n\r\n")
            assert (await visitor.reply()).body == b"got"
            assert site.origin.asked[0].get("host") == "real.localhost"
            assert (await site.get("/a?b", Host="real.localhost")).is_hit
            assert not (await site.get("/a?b", Host="other.localhost")).is_hit

    asyncio.run(main())


def test_a_read_with_a_body_is_carried_and_never_stored(tmp_path: Path) -> None:
    async def main() -> None:
        async def origin(asked: Asked) -> None:
            await asked.send(answer(await asked.body(), Cache_Control="max-age=60"))

        async with proxied(tmp_path, {"/a": origin}) as site:
            assert (await site.ask("GET", "/a", b"evil")).body == b"evil"
            assert (await site.get("/a")).body == b""

    asyncio.run(main())


def test_nothing_is_left_of_what_was_carried(tmp_path: Path) -> None:
    async def main() -> None:
        async with proxied(
            tmp_path, {"/a": answer(b"x" * 1000, Cache_Control="max-age=60"), "/b": answer(b"y")}
        ) as site:
            await site.get("/a")
            before = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
            for _ in range(50):
                await site.get("/a")
                await site.get("/b", Cache_Control="no-store")
                await site.get(f"/c{os.urandom(3).hex()}")
            await until(lambda: len(asyncio.all_tasks()) < 10, "no task is left")
            if sys.platform == "linux":
                await until(lambda: len(os.listdir("/proc/self/fd")) < before + 5, "no file is left")

    asyncio.run(main())
