"""What a local service sends that has no end, or is not quite HTTP: it costs what it may, and nobody else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hardline.cache.caching.headfirst import _HEAD_TIME, HeadFirst, tolerant
from hardline.tasks import TaskSet
from tests.cache.proxied import DAY, Answer, Asked, answer, proxied, request, until
from tests.support import clock, needs

HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
FIELD = b"X-Field: " + b"y" * 100 + b"\r\n"
MUCH = 64 << 20  # bytes, more than any buffers between two programs take


class Endless:
    """Sends `begin`, then `piece` again and again; `sent` bytes until nobody takes them any more."""

    def __init__(self, begin: bytes, piece: bytes) -> None:
        self._begin, self._piece = begin, piece * (1 + 65_536 // len(piece))
        self.sent = 0
        self.is_over = False

    async def __call__(self, asked: Asked) -> None:
        try:
            await asked.send(self._begin)
            while self.sent < MUCH:
                await asked.send(self._piece)
                self.sent += len(self._piece)
        finally:
            self.is_over = True


ENDLESS = {
    "early hints": (b"", HINTS),
    "continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "processing": (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "a few long hints": (b"", b"HTTP/1.1 103 Early Hints\r\n" + FIELD * 300 + b"\r\n"),
    "a status line": (b"HTTP/1.1 200 ", b"y"),
    "no HTTP": (b"", b"SSH-2.0-Odd "),
    "fields": (b"HTTP/1.1 200 OK\r\n", FIELD),
    "one field": (b"HTTP/1.1 200 OK\r\nX: ", b"y"),
    "trailers": (CHUNKED + b"0\r\n", FIELD),
    "one trailer": (CHUNKED + b"0\r\nX: ", b"y"),
    "a chunk's extension": (CHUNKED + b"3;", b"y"),
    "a chunk's size": (CHUNKED, b"0"),
    "chunks with long extensions": (CHUNKED, b"1;" + b"y" * 1000 + b"\r\nx\r\n"),
}


@pytest.mark.parametrize("what", ENDLESS)
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_what_has_no_end_is_broken_off(tmp_path: Path, what: str, method: str) -> None:
    async def main() -> None:
        endless = Endless(*ENDLESS[what])
        async with proxied(tmp_path, {"/endless": endless, "/a": answer(b"hello")}) as site:
            async with asyncio.timeout(60):
                got = await site.ask(method, "/endless")
                assert got.status == 502 or got.is_cut
                assert len(got.interim) <= 8
                assert (await site.get("/a")).body == b"hello"
            await until(lambda: endless.is_over, "nothing is taken any more")
            assert endless.sent < MUCH / 2
            assert site.stored() == ["a@http"]
            assert site.origin.count("/endless") == 1

    asyncio.run(main())


def test_as_many_interim_answers_as_anybody_needs_come_through(tmp_path: Path) -> None:
    async def origin(asked: Asked) -> None:
        await asked.send(*[HINTS] * 8, answer(b"hello"))

    async def main() -> None:
        async with proxied(tmp_path, {"/a": origin, "/b": origin}) as site:
            for target in ("/a", "/b"):  # each request has as many
                got = await site.get(target)
                assert (got.status, got.body, len(got.interim)) == (200, b"hello", 8)

    asyncio.run(main())


@needs.linux()
@pytest.mark.parametrize("begin", [b"H", b"HTTP/1.1 200 OK\r\nX: y", HINTS + b"HTTP/1.1 200"])
def test_a_head_that_has_begun_ends_within_its_time_and_silence_before_it_has_none(
    tmp_path: Path, begin: bytes
) -> None:
    async def slow(asked: Asked) -> None:
        await asked.send(begin)
        while True:
            await asyncio.sleep(_HEAD_TIME / 8)
            await asked.send(b"y")

    async def silent(asked: Asked) -> None:
        await asyncio.sleep(10 * _HEAD_TIME)
        await asked.send(answer(b"at last"))

    async def main() -> None:
        async with proxied(tmp_path, {"/slow": slow, "/silent": silent}) as site:
            began = asyncio.get_running_loop().time()
            got = await site.get("/slow")
            assert (got.status, b"did not end the head" in got.body) == (502, True)
            assert clock.since(began) == _HEAD_TIME
            assert (await site.get("/silent")).body == b"at last"

    clock.run(main)


def test_a_request_that_was_answered_with_hints_is_not_sent_again(tmp_path: Path) -> None:
    async def hints(asked: Asked) -> None:
        await asked.send(HINTS)
        asked.cut()

    async def main() -> None:
        async with proxied(tmp_path, {"/a": answer(b"hello"), "/b": hints}) as site:
            await site.get("/a")
            assert (await site.get("/b")).status == 502
            assert site.origin.count("/b") == 1

    asyncio.run(main())


@pytest.mark.parametrize("piece", [b"HTTP/1.1 200 OK\r\n", b"X-Odd: y\r\n", b"\n", b"\r", b"x"], ids=repr)
def test_a_head_in_the_smallest_pieces_costs_in_proportion_to_its_length(piece: bytes) -> None:
    async def costs(length: int) -> float:
        protocol = HeadFirst(asyncio.Protocol(), asyncio.Transport(), lambda _, __: None)
        data = b"HTTP/1.1 200 OK\r\nA: b\r\nx" + (piece * length)[:length].replace(b"\n\n", b"\nx").replace(
            b"\n\r\n", b"\nx"
        )
        began = time.process_time()
        for octet in data:
            protocol.data_received(bytes((octet,)))
        took = time.process_time() - began
        protocol.eof_received()
        return took

    short, long = (min(asyncio.run(costs(length)) for _ in range(3)) for length in (10_000, 100_000))
    assert long <= 3 * 10 * short


def early(status: str, *, after: int) -> Answer:
    """Answers when so many bytes of the body have come, and reads no more: the rest meets a reset."""

    async def origin(asked: Asked) -> None:
        if after:
            await asked.reader.readexactly(after)
        asked.writer.write(answer(b"too large", status, Connection="close"))
        asked.writer.transport.close()
        raise EOFError

    return origin


@pytest.mark.parametrize("after", [0, 300_000])
@pytest.mark.parametrize("framing", [{"Content_Length": "20000000"}, {"Transfer_Encoding": "chunked"}], ids=str)
def test_what_is_answered_early_is_heard_although_the_rest_cannot_be_sent(
    tmp_path: Path, after: int, framing: dict[str, str]
) -> None:
    piece = b"x" * 100_000
    if "Transfer_Encoding" in framing:
        piece = b"%x\r\n%s\r\n" % (len(piece), piece)

    async def main() -> None:
        async with proxied(tmp_path, {"/a": early("413 Content Too Large", after=after)}) as site:
            for _ in range(20):
                visitor = await site.visitor()
                visitor.send(request("POST", "/a", **framing))

                async def upload(to: Callable[[bytes], None] = visitor.send) -> None:
                    for _ in range(200):
                        to(piece)
                        await asyncio.sleep(0)

                uploading = TaskSet("visitor").start(upload(), "upload")
                got = await visitor.reply()
                assert (got.status, got.body) == (413, b"too large")
                await uploading
                visitor.writer.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("head", "name", "value"),
    [
        (b"X-Space : v", "X-Space", "v"),
        (b"X-Tab\t \t: v", "X-Tab", "v"),
        (b"no field at all\r\nX: v", "X", "v"),
        (b"Odd(name): w\r\n  more of it\r\nX: v", "X", "v"),
        (b": v\r\nX: v", "X", "v"),
        (b"X: v\rw", "X", "v w"),
        (b"X: v\r\n w", "X", "v w"),
        (b"Content-Length: 4\r\nX: v", "X", "v"),
        (b"Cache-Control : no-store", "Cache-Control", "no-store"),
    ],
)
def test_what_small_devices_send_is_understood_as_browsers_do(tmp_path: Path, head, name: str, value: str) -> None:
    async def main() -> None:
        said = b"HTTP/1.1 200 OK\r\n" + head + b"\r\nContent-Length : 4\r\n\r\nbody"
        async with proxied(tmp_path, {"/a": said}, max_age=DAY) as site:
            got = await site.get("/a")
            assert (got.status, got.body, got.get(name)) == (200, b"body", value)
            assert (site.stored() == []) is (value == "no-store")

    asyncio.run(main())


def test_a_visitors_request_is_never_read_so(tmp_path: Path) -> None:
    async def main() -> None:
        async with proxied(tmp_path, {"/a": answer(b"body")}) as site:
            for line in (b"X-Space : v", b"no field", b"Content-Length: 0\r\nContent-Length: 1"):
                visitor = await site.visitor()
                visitor.send(b"GET /a HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n\r\n")
                assert (await visitor.reply()).status == 400
            assert site.origin.count() == 0

    asyncio.run(main())


LINES = st.lists(st.one_of(st.binary(max_size=20), st.sampled_from([b"A: b", b" c", b"Content-Length: 1", b"A :b"])))


@given(LINES)
@example([b"Content-Length: 1", b"Content-Length: 2"])
def test_whatever_a_head_holds_it_stays_one_head(lines: list[bytes]) -> None:
    head = b"\r\n".join([b"HTTP/1.1 200 OK", *(line.replace(b"\n", b"") for line in lines if line), b"", b""])
    meant = tolerant(head)
    assert tolerant(meant) == meant
    assert meant.endswith(b"\r\n\r\n")
    assert meant.count(b"\r\n\r\n") == 1
    if b"Content-Length: 1" in lines and b"Content-Length: 2" in lines:
        assert b"Content-Length: 2" in meant  # two that differ are for the parser to refuse
