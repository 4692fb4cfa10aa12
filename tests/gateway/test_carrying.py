"""A request's rest and its answer's, carried without a task: whole or visibly cut, and both pipes are free again."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from hardline.errors import ConnectionLost, PeerError
from hardline.gateway.answering import Answering
from hardline.gateway.answers import for_client
from hardline.gateway.exchange import Carrying, Sent
from hardline.http.bodies import Body
from hardline.session.stream import Stream
from hardline.tasks import TaskSet
from hardline.transport.native import ENGINE
from hardline.transport.tcp import TcpStream
from tests.support.check_byte_stream import read_exactly
from tests.support.pairs import session_pair, tcp_pair

BIG = 5_000_000
DATA = random.Random(7).randbytes(BIG)
NEXT = b"GET /next HTTP/1.1\r\n\r\n"


class Counting(Carrying):
    """Counts what went past it."""

    went_by = 0

    def carried(self, count: int) -> None:
        self.went_by += count
        super().carried(count)


@dataclass
class Ends:
    """`client` asks, `ours` is the gateway's end of its connection; `stream` is ours, `service` the other end of it."""

    client: TcpStream
    ours: TcpStream
    stream: Stream
    service: Stream
    tasks: TaskSet

    def carrying(self, sent: Body, *, head: bytes = b"") -> tuple[Carrying, Sent, Answering]:
        answering = Answering("GET", lambda answer, ends: for_client(answer, close=ends))
        if head:
            answering.take(head)
        body = Sent(sent, b"")
        return Counting(self.stream, self.ours, body, answering), body, answering

    async def both_are_free(self) -> None:
        """Each still carries what its owner says, both ways."""
        for one, other in ((self.stream, self.service), (self.ours, self.client)):
            for word, to, at in ((b"there", one, other), (b"back", other, one)):
                await to.send(word)
                assert await read_exactly(at, len(word)) == word


@contextlib.asynccontextmanager
async def ends() -> AsyncIterator[Ends]:
    async with session_pair() as (visitor, _, opened), tcp_pair() as (client, ours):
        stream = visitor.open_stream()
        await stream.send(b"GET / HTTP/1.1\r\n\r\n")
        service = await opened.get()
        await read_exactly(service, 18)
        tasks = TaskSet("test")
        yield Ends(client, ours, stream, service, tasks)
        await tasks.aclose()


def told(size: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size


async def in_pieces(pipe: TcpStream | Stream, data: bytes, size: int = 70_001) -> None:
    for start in range(0, len(data), size):
        await pipe.send(data[start : start + size])


def same(one: bytes, other: bytes) -> bool:
    return hashlib.sha256(one).digest() == hashlib.sha256(other).digest()


def chunked(data: bytes, size: int = 100_000) -> bytes:
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (*pieces, b""))


@pytest.mark.parametrize("kind", ["counted", "chunked"])
def test_a_download_comes_whole_and_both_are_free_again(run, kind):
    async def story() -> None:
        async with ends() as four:
            head = told(BIG) if kind == "counted" else b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            body = DATA if kind == "counted" else chunked(DATA)
            carrying, _, answering = four.carrying(Body(0), head=head)
            got, _ = await asyncio.gather(read_exactly(four.client, len(body)), in_pieces(four.service, body))
            assert same(got, body)
            await carrying.done
            assert (answering.keeps, answering.count) == (True, len(body))
            if ENGINE == "native":
                assert isinstance(carrying, Counting)
                assert carrying.went_by > (BIG // 2 if kind == "counted" else 0)
            await four.both_are_free()

    run(story)


@pytest.mark.parametrize("kind", ["counted", "chunked"])
def test_an_upload_arrives_whole_and_what_is_asked_behind_it_waits(run, kind):
    async def story() -> None:
        async with ends() as four:
            body = DATA if kind == "counted" else chunked(DATA)
            carrying, sent, answering = four.carrying(Body(BIG * (kind == "counted"), chunked=kind == "chunked"))
            got, _ = await asyncio.gather(read_exactly(four.service, len(body)), in_pieces(four.client, body + NEXT))
            assert same(got, body)
            await four.service.send(told(2) + b"ok")
            await carrying.done
            assert (await read_exactly(four.client, len(answer := told(2)[:-2]))) == answer
            assert sent.leftover + four.ours.heard == NEXT
            assert (sent.body.done, answering.keeps) == (True, True)
            assert (await read_all_of(four.client, b"ok")).endswith(b"\r\n\r\nok")

    run(story)


async def read_all_of(pipe: TcpStream, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        data += await pipe.receive()
    return data


def test_both_directions_are_carried_at_once(run):
    async def story() -> None:
        async with ends() as four:
            carrying, _, _ = four.carrying(Body(BIG))

            async def echo() -> None:
                await four.service.send(told(BIG))
                for _ in range(BIG // 1000):
                    await four.service.send(await read_exactly(four.service, 1000))

            got, *_ = await asyncio.gather(read_all_of_size(four.client, BIG), in_pieces(four.client, DATA), echo())
            assert same(got, DATA)
            await carrying.done
            await four.both_are_free()

    run(story)


async def read_all_of_size(pipe: TcpStream, size: int) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        head += await pipe.receive()
    _, _, body = head.partition(b"\r\n\r\n")
    return body + await read_exactly(pipe, size - len(body))


def test_what_a_client_asks_meanwhile_is_not_the_services(run):
    async def story() -> None:
        async with ends() as four:
            carrying, sent, _ = four.carrying(Body(0), head=told(3))
            await four.client.send(NEXT)
            while not sent.leftover:
                await asyncio.sleep(0.01)
            await four.service.send(b"abc")
            await carrying.done
            assert sent.leftover == NEXT
            assert four.service._inbox.size == 0

    run(story)


def test_a_client_that_asks_without_end_is_read_no_more(run):
    async def story() -> None:
        async with ends() as four:
            carrying, sent, _ = four.carrying(Body(0), head=told(3))
            four.tasks.start(in_pieces(four.client, DATA * 10), "beside")
            while not sent.stopped:
                await asyncio.sleep(0.01)
            before = len(sent.leftover)
            await asyncio.sleep(0.1)
            assert len(sent.leftover) == before < 10_000
            await four.service.send(b"abc")
            await carrying.done

    run(story)


def test_a_slow_reader_holds_the_service_back_and_then_gets_the_rest(run):
    async def story() -> None:
        async with ends() as four:
            size = 15 * BIG
            carrying, _, answering = four.carrying(Body(0), head=told(size))
            sending = four.tasks.start(in_pieces(four.service, DATA * 15), "beside")
            before = -1
            while before != answering.count:
                before = answering.count
                await asyncio.sleep(0.3)
            assert 0 < before < size
            assert not sending.done()
            got = hashlib.sha256()
            for _ in range(15):
                got.update(await read_exactly(four.client, BIG))
            assert got.digest() == hashlib.sha256(DATA * 15).digest()
            await carrying.done
            await four.both_are_free()

    run(story)


def test_an_answer_that_is_whole_while_its_client_is_behind_leaves_the_rest_to_the_socket(run):
    async def story() -> None:
        async with ends() as four:
            for one, buffer in ((four.client, socket.SO_RCVBUF), (four.ours, socket.SO_SNDBUF)):
                one.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, buffer, 4096)
            size = 200_000  # less than a stream may have on its way
            carrying, _, answering = four.carrying(Body(0), head=told(size))
            await four.service.send(DATA[:size])
            await carrying.done
            assert answering.keeps
            assert four.ours.transport.get_write_buffer_size() > 0
            more = four.tasks.start(four.ours.send(b"behind it"), "beside")
            await asyncio.sleep(0.1)
            assert not more.done(), "who sends more waits until there is room"
            raw = four.client.transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            assert same(await read_exactly(four.client, size + 9), DATA[:size] + b"behind it")
            await more
            await four.both_are_free()

    run(story)


def test_an_answer_that_ends_with_its_stream_is_whole(run):
    async def story() -> None:
        async with ends() as four:
            carrying, _, answering = four.carrying(Body(0), head=b"HTTP/1.1 200 OK\r\n\r\n")
            got = four.tasks.start(read_exactly(four.client, BIG), "beside")
            await in_pieces(four.service, DATA)
            await four.service.send_eof()
            assert same(await got, DATA)
            await carrying.done
            assert not answering.keeps

    run(story)


@pytest.mark.parametrize("how", ["ends", "resets", "speaks no HTTP"])
@pytest.mark.parametrize("head", [b"", told(10)])
def test_a_service_that_breaks_off_is_a_failure(run, how, head):
    async def story() -> None:
        async with ends() as four:
            carrying, _, answering = four.carrying(Body(10), head=head)
            if how == "ends":
                await four.service.send_eof()
            elif how == "resets":
                await four.service.aclose()
            else:
                await four.service.send(b"nonsense")
                if head:
                    await four.service.send_eof()
            with pytest.raises(ConnectionLost if head or how != "speaks no HTTP" else PeerError):
                await carrying.done
            assert not answering.whole
            await four.ours.send(b"a page")  # the client hears of it
            assert (await read_all_of(four.client, b"a page")).endswith(b"a page")

    run(story)


@pytest.mark.parametrize("how", ["ends", "resets"])
@pytest.mark.parametrize("size", [0, 10])
def test_a_client_that_leaves_ends_it(run, how, size):
    async def story() -> None:
        async with ends() as four:
            carrying, _, _ = four.carrying(Body(size), head=told(10))
            if how == "ends":
                await four.client.send_eof()
            else:
                four.client.abort()
            with pytest.raises(ConnectionLost):
                await carrying.done
            assert four.ours.ended

    run(story)


def test_chunks_that_are_none_do_not_pass(run):
    async def story() -> None:
        async with ends() as four:
            carrying, sent, _ = four.carrying(Body(0, chunked=True))
            await four.client.send(b"3\r\nabc\r\n")
            assert await read_exactly(four.service, 8) == b"3\r\nabc\r\n"
            await four.client.send(b"+3\r\nabc\r\n")
            with pytest.raises(PeerError):
                await carrying.done
            assert sent.wrong is not None
            assert four.service._inbox.size == 0

    run(story)


def test_one_that_is_given_up_lets_both_go(run):
    async def story() -> None:
        async with ends() as four:
            carrying, _, _ = four.carrying(Body(10), head=told(10))
            carrying.abort(TimeoutError())
            with pytest.raises(TimeoutError):
                await carrying.done
            await four.both_are_free()

    run(story)
