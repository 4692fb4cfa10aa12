"""Streams joined with sockets: what browsers and services see, whole or visibly cut."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import random
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from hardline.errors import ConnectionLost, HardlineError, PeerError, ServiceFailed
from hardline.routes import Endpoint
from hardline.session.joint import Joint
from hardline.session.session import Session, SessionLimits, Stream
from hardline.session.windows import INITIAL_WINDOW
from hardline.tasks import TaskSet
from hardline.transport import tcp
from hardline.transport.listener import Listener
from hardline.transport.tcp import TcpStream
from tests.support import clock
from tests.support.check_byte_stream import read_all, read_exactly
from tests.support.pairs import identity, session_pair, tcp_pair
from tests.tunnel.pair import Handler, eventually


@dataclass
class Tunnel:
    """A door without HTTP, a session, and a service behind it: every connection to `door` is joined end to end."""

    door: Endpoint
    visitor: Session
    host: Session
    joints: list[Joint] = field(default_factory=list)


@contextlib.asynccontextmanager
async def tunnel(
    service: Handler, limits: SessionLimits | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Tunnel]:
    tasks = TaskSet("test")
    origin = await asyncio.start_server(service, "127.0.0.1", 0, ssl=tls, limit=1 << 20)
    at = Endpoint("127.0.0.1", origin.sockets[0].getsockname()[1])

    async def open_service() -> TcpStream:
        if tls is None:
            return await tcp.connect(at)
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(TcpStream, at.host, at.port, ssl=trusting))[1]

    async with session_pair(limits) as (visitor, host, opened):
        joints: list[Joint] = []

        async def join(stream: Stream, local: TcpStream) -> None:
            joint = Joint(stream, local)
            joints.append(joint)
            with contextlib.suppress(ConnectionLost):
                await asyncio.shield(joint.done)

        async def serve() -> None:
            while True:
                stream = await opened.get()
                tasks.start(join(stream, await open_service()), "host")

        tasks.start(serve(), "serve")
        listener = await Listener.open(
            ["127.0.0.1"], 0, lambda browser: tasks.start(join(visitor.open_stream(), browser), "visitor"), what="door"
        )
        try:
            yield Tunnel(listener.endpoints[0], visitor, host, joints)
        finally:
            await listener.aclose()
            await tasks.aclose()
            origin.close()


def no_credit_left(session: Session, streams: int) -> Callable[[], bool]:
    """Whether `session` has so many streams, and they may send nothing, in several looks: credit may be on its way."""
    looks = 0

    def seen() -> bool:
        nonlocal looks
        rooms = [session._yamux.room(number) for number in session._streams]
        looks = looks + 1 if len(rooms) == streams and not any(rooms) else 0
        return looks >= 5

    return seen


async def connect(to: Endpoint) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(to.host, to.port, limit=1 << 20)


async def answers_with_hash(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads to the end of the other direction, then answers."""
    digest = hashlib.sha256()
    while data := await reader.read(1 << 18):
        digest.update(data)
    writer.write(digest.digest())
    writer.close()


def sends(count: int, seed: int = 1) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(random.Random(seed).randbytes(count))
            await writer.drain()
            writer.write_eof()
            await reader.read()
        writer.close()

    return handler


async def forever(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(bytes(65_536))
            await writer.drain()
    writer.close()


def test_uploads_end_by_half_close_and_wait_for_their_answers(run):
    async def upload(door: Endpoint, seed: int) -> None:
        data = random.Random(seed).randbytes(3_000_000 + seed)
        reader, writer = await connect(door)
        writer.write(data)
        writer.write_eof()
        assert await reader.read() == hashlib.sha256(data).digest()
        writer.close()

    async def story():
        async with tunnel(answers_with_hash) as through:
            await asyncio.gather(*(upload(through.door, seed) for seed in range(20)))
            await eventually(lambda: not through.visitor.open_streams, "every stream was closed")

    run(story)


def test_downloads_arrive_whole_and_at_once(run):
    expected = hashlib.sha256(random.Random(1).randbytes(5_000_000)).digest()

    async def download(door: Endpoint) -> None:
        reader, writer = await connect(door)
        digest = hashlib.sha256()
        while data := await reader.read(1 << 18):
            digest.update(data)
        assert digest.digest() == expected
        writer.close()

    async def story():
        async with tunnel(sends(5_000_000)) as through:
            await asyncio.gather(*(download(through.door) for _ in range(20)))
            await eventually(lambda: not through.host.open_streams, "every stream was closed")

    run(story)


def test_stalled_readers_cost_their_windows_and_stop_nobody_else(run):
    limits = SessionLimits(stream_window=1 << 20)

    async def floods_or_greets(reader, writer):
        if await reader.readline() == b"flood\n":
            with contextlib.suppress(ConnectionError):
                while True:
                    writer.write(bytes(65_536))
                    await writer.drain()
        else:
            writer.write(b"hello")
        writer.close()

    async def story():
        async with tunnel(floods_or_greets, limits) as through:
            stalled = []
            for _ in range(10):
                raw = socket.socket()
                raw.setblocking(False)
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
                await asyncio.get_running_loop().sock_connect(raw, (through.door.host, through.door.port))
                await asyncio.get_running_loop().sock_sendall(raw, b"flood\n")
                stalled.append(raw)
            await eventually(no_credit_left(through.host, 10), "all of them have used up their windows")
            kept = sum(joint._transport.get_write_buffer_size() for joint in through.joints)
            assert kept <= 10 * (limits.stream_window + INITIAL_WINDOW)
            reader, writer = await connect(through.door)
            writer.write(b"hi\n")
            assert await reader.read() == b"hello"
            writer.close()
            for raw in stalled:
                raw.close()
            await eventually(lambda: not through.visitor.open_streams, "the stalled streams are gone")

    run(story)


def test_a_browser_that_breaks_off_reaches_the_service(run):
    ended = asyncio.Event()

    async def notices(reader, writer):
        try:
            while True:
                writer.write(bytes(65_536))
                await writer.drain()
        except ConnectionError:
            ended.set()
        writer.close()

    async def story():
        async with tunnel(notices) as through:
            reader, writer = await connect(through.door)
            await reader.readexactly(100_000)
            writer.transport.abort()
            async with asyncio.timeout(100):
                await ended.wait()
            await eventually(lambda: not through.host.open_streams, "the stream is gone")

    run(story)


@pytest.mark.parametrize("breaks", ["service", "session"])
def test_a_download_that_breaks_is_seen_as_a_cut_and_never_as_an_end(run, breaks):
    async def resets(reader, writer):
        writer.write(bytes(100_000))
        await writer.drain()
        await reader.readline()
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def story():
        async with tunnel(resets) as through:
            reader, writer = await connect(through.door)
            await reader.readexactly(100_000)
            if breaks == "service":
                writer.write(b"now\n")
            else:
                through.host.abort(ConnectionLost("test"))
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()

    run(story)


def test_a_service_behind_tls_loses_nothing_of_its_last_words(run):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity().certificate_path, identity().private_key_path)
    text = random.Random(3).randbytes(8_000_000)

    async def speaks(reader, writer):
        writer.write(text)
        await writer.drain()
        writer.close()

    async def story():
        async with tunnel(speaks, tls=context) as through:
            reader, writer = await connect(through.door)
            await eventually(no_credit_left(through.host, 1), "the window is full before anybody reads")
            assert hashlib.sha256(await reader.read()).digest() == hashlib.sha256(text).digest()
            writer.close()

    run(story)


def test_streams_come_and_go_without_a_trace(run):
    async def story():
        async with tunnel(answers_with_hash) as through:
            for _ in range(300):
                reader, writer = await connect(through.door)
                writer.write(b"x")
                writer.write_eof()
                assert len(await reader.read()) == 32
                writer.close()
            await eventually(lambda: not through.host.open_streams + through.visitor.open_streams, "all are closed")
            assert all(joint.done.done() for joint in through.joints)
            assert not through.visitor._streams
            assert not through.host._streams

    run(story)


def until_line(found: list[bytes], fails: bool = False) -> Callable[[memoryview], memoryview | None]:
    """A preamble that takes everything up to a line's end."""

    def take(data: memoryview) -> memoryview | None:
        found.append(bytes(data))
        line, end, rest = b"".join(found).partition(b"\n")
        if not end:
            return None
        if fails:
            raise ServiceFailed("refused", line.decode())
        return memoryview(rest)

    return take


@pytest.mark.parametrize("cut", [1, 4, 5, 9])
def test_a_preamble_gets_what_comes_first_while_the_socket_is_read_already(run, cut):
    async def story():
        async with session_pair() as (visitor, _, opened), tcp_pair() as (browser, door):
            joint = Joint(visitor.open_stream(), door, until_line([]))
            await browser.send(b"question")
            far = await opened.get()
            assert await read_exactly(far, 8) == b"question"
            assert not joint.answered.done()
            for part in (b"fine\nanswer"[:cut], b"fine\nanswer"[cut:]):
                await far.send(part)
            await joint.answered
            assert await read_exactly(browser, 6) == b"answer"
            assert not joint.untouched
            joint.abort(ConnectionLost("test"))

    run(story)


@pytest.mark.parametrize("how", ["refused", "ended", "reset", "given up"])
def test_before_the_answer_a_failure_gives_the_socket_back_unused(run, how):
    async def story():
        async with session_pair() as (visitor, _, opened), tcp_pair() as (browser, door):
            joint = Joint(visitor.open_stream(), door, until_line([], fails=True))
            await browser.send(b"question")
            far = await opened.get()
            assert await read_exactly(far, 8) == b"question"
            if how == "refused":
                await far.send(b"no\n")
            elif how == "ended":
                await far.send_eof()
            elif how == "reset":
                await far.aclose()
            else:
                joint.abort(ConnectionLost("test"))
            with pytest.raises({"refused": ServiceFailed, "ended": PeerError}.get(how, ConnectionLost)):
                await joint.answered
            with pytest.raises(HardlineError):
                await joint.done
            await browser.send(b"more")
            await browser.send_eof()
            assert await read_all(door) == b"more"
            await door.send(b"sorry")
            assert await read_exactly(browser, 5) == b"sorry"
            await eventually(lambda: not visitor.open_streams, "the stream is gone")

    run(story)


def test_a_socket_that_is_given_back_paused_is_read_again(run):
    async def story():
        async with session_pair() as (visitor, _, opened), tcp_pair() as (browser, door):
            joint = Joint(visitor.open_stream(), door, until_line([], fails=True))
            sending = asyncio.get_running_loop().create_task(browser.send(bytes(20_000_000)))
            far = await opened.get()
            await eventually(lambda: joint._outward.waits, "the window is full")
            await far.send(b"no\n")
            with pytest.raises(ServiceFailed):
                await joint.answered
            while not sending.done():
                await door.receive()
            await sending

    run(story)


def test_a_browser_that_leaves_before_the_answer_ends_the_stream(run):
    async def story():
        async with session_pair() as (visitor, _, opened), tcp_pair() as (browser, door):
            joint = Joint(visitor.open_stream(), door, until_line([]))
            await browser.send(b"x")
            far = await opened.get()
            assert await read_exactly(far, 1) == b"x"
            browser.abort()
            with pytest.raises(ConnectionLost):
                await joint.answered
            with pytest.raises(ConnectionLost):
                await far.receive()

    run(story)


def test_a_browser_that_half_closed_and_then_left_is_noticed_by_its_refusal(run, monkeypatch):
    monkeypatch.setattr("hardline.session.joint._LOOK_EVERY", 0.05)

    async def story():
        async with session_pair() as (visitor, host, opened), tcp_pair() as (browser, door):
            joint = Joint(visitor.open_stream(), door)
            await browser.send(b"x")
            await browser.send_eof()
            far = await opened.get()
            assert await read_all(far) == b"x"
            await browser.aclose()
            await far.send(b"an event that nobody reads")
            with pytest.raises(ConnectionLost):
                await joint.done
            await eventually(lambda: not host.open_streams, "the host has heard it")

    run(story)


def test_parallel_downloads_share_what_there_is(run):
    async def story():
        async with tunnel(forever) as through:
            connections = [await connect(through.door) for _ in range(8)]
            counts = [0] * len(connections)

            async def count(number: int, reader: asyncio.StreamReader) -> None:
                while data := await reader.read(65_536):
                    counts[number] += len(data)

            tasks = TaskSet("test")
            for number, (reader, _) in enumerate(connections):
                tasks.start(count(number, reader), "reader")
            await eventually(lambda: sum(counts) > 100 << 20, "there was something to share")
            await tasks.aclose()
            for _, writer in connections:
                writer.transport.abort()
            jain = sum(counts) ** 2 / (len(counts) * sum(count**2 for count in counts))
            assert jain > 0.9, counts

    run(story)


def test_an_end_and_a_reset_that_arrive_together_end_the_joint(run):
    async def story():
        async with session_pair() as (visitor, host, opened), tcp_pair() as (service, local):
            ours = visitor.open_stream()
            await ours.send(b"question")
            joint = Joint(await opened.get(), local)
            assert await read_exactly(service, 8) == b"question"
            ours.finish()
            ours.abort()
            with pytest.raises(ConnectionLost):
                await joint.done
            assert local.transport.is_closing()
            assert not host._streams

    run(story)


def test_what_was_read_before_and_cannot_leave_costs_no_time_once_the_session_is_over():
    async def story():
        async with session_pair() as (visitor, _, opened), tcp_pair() as (browser, door):
            ours = visitor.open_stream()
            await ours.send(bytes(INITIAL_WINDOW))
            await opened.get()
            await browser.send(b"more of the body")
            await eventually(lambda: door._inbox.size, "the door has read it")
            joint = Joint(ours, door)
            visitor.abort(ConnectionLost("test"))
            with pytest.raises(ConnectionLost):
                await joint.done
            before = time.process_time()
            await asyncio.sleep(600)
            assert time.process_time() - before < 0.25

    clock.run(story)


# What is said before the end.


def test_what_a_service_said_before_it_closed_on_unread_bytes_arrives_whole_and_then_the_cut(run):
    said = random.Random(3).randbytes(100_000)

    async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        writer.write(said)
        await writer.drain()
        writer.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        await asyncio.sleep(0)
        writer.transport.abort()

    async def story() -> None:
        async with tunnel(hasty) as through:
            for _ in range(20):
                stream = through.visitor.open_stream()
                with contextlib.suppress(ConnectionLost):
                    while True:
                        await stream.send(bytes(65_536))
                assert await read_exactly(stream, len(said)) == said
                with pytest.raises(ConnectionLost):
                    await stream.receive()
                await stream.aclose()

    run(story)


def test_a_socket_is_given_back_when_the_stream_was_cut_if_that_is_wanted(run):
    async def story() -> None:
        async with session_pair() as (visitor, _, opened), tcp_pair() as (browser, at_door):
            joint = Joint(visitor.open_stream(), at_door, gives_back=True)
            await browser.send(b"a question")
            stream = await opened.get()
            await stream.send(b"an answer")
            await eventually(lambda: joint.moved >= 19, "both were carried")
            await stream.aclose()
            with pytest.raises(ConnectionLost):
                await joint.done
            assert joint.returned
            assert not joint.peer_ended
            await browser.send(b"more")
            assert await at_door.receive() == b"more"
            await at_door.send(b" and the end")
            await at_door.send_eof()
            assert await read_all(browser) == b"an answer and the end"

    run(story)


def test_a_socket_that_was_reset_as_its_streams_end_arrives_ends_its_joint_alone():
    """asyncio's transport raises then: nothing else of the session is to notice."""

    def reset() -> None:
        raise OSError(errno.ENOTCONN, "not heard of yet")

    async def story() -> None:
        async with session_pair() as (visitor, host, opened), tcp_pair() as (browser, door):
            ours, other = visitor.open_stream(), visitor.open_stream()
            joint = Joint(ours, door)
            theirs, the_other = await opened.get(), await opened.get()
            await theirs.send(b"the last")
            assert await read_exactly(browser, 8) == b"the last"
            door.transport.write_eof = reset
            theirs.finish()
            with pytest.raises(ConnectionLost, match="not heard of yet"):
                await joint.done
            await other.send(b"goes on")
            assert await read_exactly(the_other, 7) == b"goes on"
            assert not visitor.closed.done()
            assert not host.closed.done()

    asyncio.run(asyncio.wait_for(story(), 60))
