"""A service that goes by a name of its own, at its host: what it gets, and what comes back."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import socket
import struct

import pytest

from hardline.errors import ConnectionLost
from hardline.settings.service import HttpSection
from hardline.streams import ByteStream
from hardline.tasks import TaskSet
from tests.tunnel.pair import Pair, echo, pair

NAS = HttpSection(host="nas.lan", forwarded="append")


@contextlib.asynccontextmanager
async def visiting(both: Pair, first: bytes):
    visit = await both.visitor.visit(both.service.label, first)
    try:
        yield visit.pipe, await visit.answered()
    finally:
        await visit.pipe.aclose()


async def until(pipe: ByteStream, got: bytes, end: bytes) -> bytes:
    while end not in got:
        more = await pipe.receive()
        assert more, f"it ended: {got!r}"
        got += more
    return got


async def to_end(pipe: ByteStream, got: bytes = b"") -> bytes:
    while more := await pipe.receive():
        got += more
    return got


async def mirror(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers each request with its own head, and a redirect to the name that it knows."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(
                b"HTTP/1.1 302 F\r\nLocation: http://nas.lan/x\r\nContent-Length: %d\r\n\r\n" % len(head) + head
            )
            await writer.drain()
    writer.close()


def get(both: Pair, path: str = "/") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {both.service.label}.localhost:7009\r\n\r\n".encode()


def test_every_request_of_a_connection_is_changed_and_every_answer_led_back(tmp_path):
    async def story() -> None:
        async with pair(tmp_path, mirror) as both:
            both.retarget(http=NAS)
            async with visiting(both, get(both, "/1")) as (pipe, got):
                got = await until(pipe, got, b"proto=http\r\n\r\n")
                await pipe.send(get(both, "/2"))
                got = await until(pipe, got[got.index(b"GET /1") :], b"/2 HTTP/1.1\r\nHost: nas.lan\r\n")
        assert b'/1 HTTP/1.1\r\nHost: nas.lan\r\nForwarded: for="127.0.0.1:' in got
        assert f"Location: http://{both.service.label}.localhost:7009/x\r\n".encode() in got
        assert b"http://nas.lan" not in got

    asyncio.run(story())


def test_who_is_smuggling_gets_400_behind_his_answers_and_the_service_nothing(tmp_path):
    async def story() -> None:
        async with pair(tmp_path, mirror) as both:
            both.retarget(http=NAS)
            bad = get(both, "/bad").replace(b"\r\n\r\n", b"\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
            async with visiting(both, get(both, "/good") + bad) as (pipe, got):
                got = await to_end(pipe, got)
        assert got.startswith(b"HTTP/1.1 302 F")
        assert b"\r\n\r\nHTTP/1.1 400 Bad Request\r\n" in got
        assert got.endswith(b"both Content-Length and Transfer-Encoding\n")
        assert b"/bad" not in got

    asyncio.run(story())


def test_a_first_request_that_is_none_is_refused_at_once(tmp_path):
    async def story() -> None:
        async with pair(tmp_path, mirror) as both:
            both.retarget(http=NAS)
            async with visiting(both, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n") as (pipe, got):
                assert (await to_end(pipe, got)).startswith(b"HTTP/1.1 400 ")

    asyncio.run(story())


def test_a_service_that_answers_early_and_closes_is_heard(tmp_path):
    async def story() -> None:
        async def refuses(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 413 X\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmuch")
            await writer.drain()
            writer.close()

        async with pair(tmp_path, refuses) as both:
            both.retarget(http=NAS)
            head = get(both).replace(b"\r\n\r\n", b"\r\nContent-Length: 10000000\r\n\r\n").replace(b"GET", b"POST")
            async with visiting(both, head) as (pipe, got):
                with contextlib.suppress(ConnectionLost):
                    await pipe.send(bytes(1_000_000))
                assert (await until(pipe, got, b"much")).startswith(b"HTTP/1.1 413")

    asyncio.run(story())


def test_a_cut_in_the_middle_of_an_answer_is_a_cut(tmp_path):
    async def story() -> None:
        async def cuts(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\nhalf")
            await writer.drain()
            await reader.readuntil(b"\r\n\r\n")
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.close()

        async with pair(tmp_path, cuts) as both:
            both.retarget(http=NAS)
            async with visiting(both, get(both)) as (pipe, got):
                await until(pipe, got, b"half")
                await pipe.send(get(both))
                with pytest.raises(ConnectionLost):
                    await to_end(pipe)

    asyncio.run(story())


def test_after_an_upgrade_bytes_pass_both_ways_untouched(tmp_path):
    async def story() -> None:
        async def upgrades(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert b"Host: nas.lan\r\n" in await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
            await echo(reader, writer)

        said = random.Random(1).randbytes(3_000_000) + b"\r\n\r\n"
        tasks = TaskSet("test")
        async with pair(tmp_path, upgrades) as both:
            both.retarget(http=NAS)
            head = get(both).replace(b"\r\n\r\n", b"\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
            async with visiting(both, head) as (pipe, got):
                got = await until(pipe, got, b"\r\n\r\n")
                sending = tasks.start(pipe.send(said), "send")
                back = got.partition(b"\r\n\r\n")[2]
                while len(back) < len(said):
                    back += await pipe.receive()
                await sending
                await pipe.send_eof()
                assert await pipe.receive() == b""
        assert hashlib.sha256(back).digest() == hashlib.sha256(said).digest()

    asyncio.run(story())


def test_what_is_sent_behind_the_end_of_what_the_service_says_arrives_whole(tmp_path):
    """A program that was upgraded to may have said all, and still listen."""

    async def story() -> None:
        came: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def listens(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
            writer.write_eof()
            came.set_result(await reader.read())
            writer.close()

        said = random.Random(2).randbytes(1_000_000)
        async with pair(tmp_path, listens) as both:
            both.retarget(http=NAS)
            head = get(both).replace(b"\r\n\r\n", b"\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
            async with visiting(both, head) as (pipe, got):
                await to_end(pipe, got)
                await pipe.send(said)
                await pipe.send_eof()
                assert hashlib.sha256(await came).digest() == hashlib.sha256(said).digest()

    asyncio.run(story())


def test_the_header_of_the_proxy_protocol_comes_first_and_names_the_visitor(tmp_path):
    async def story() -> None:
        async with pair(tmp_path, echo) as both:
            for version, begins in (
                (1, b"PROXY TCP4 127.0.0.1 127.0.0.1 "),
                (2, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + b"\x7f\0\0\1" * 2),
            ):
                both.retarget(proxy_protocol=version)
                async with visiting(both, b"hello\r\n") as (pipe, got):
                    got = await until(pipe, got, b"hello\r\n")
                    assert got.startswith(begins)
                    reached = both.finding.endpoints[0].port
                    assert got.endswith((f" {reached}\r\nhello\r\n".encode(), reached.to_bytes(2) + b"hello\r\n"))

    asyncio.run(story())


def test_what_does_not_ask_for_it_gets_the_bytes_as_they_are(tmp_path):
    async def story() -> None:
        async with pair(tmp_path, echo) as both:
            raw = b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n\0"
            async with visiting(both, raw) as (pipe, got):
                assert await until(pipe, got, b"\0") == raw

    asyncio.run(story())
