"""Our session against Go's crypto/tls and HashiCorp's yamux, in both roles."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from hardline.errors import ConnectionLost, LimitReached
from hardline.routes import Endpoint
from hardline.session.session import Session, SessionLimits, Stream
from hardline.tasks import TaskSet
from hardline.transport import tcp
from hardline.transport.contexts import client_context
from hardline.transport.listener import Listener
from hardline.transport.tcp import TcpStream
from hardline.transport.tls import TlsStream
from tests.support import needs
from tests.support.check_byte_stream import read_all, read_exactly
from tests.support.pairs import host_context

GOPATH = Path("/usr/share/gocode")
SOURCE = Path(__file__).parent / "yamux_go"
MAX_STREAMS = 64

pytestmark = [pytest.mark.interop, needs.tools("go")]


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, built from Debian's packages."""
    directory = tmp_path_factory.mktemp("go")
    program = directory / "peer"
    environment = {
        **os.environ,
        "GO111MODULE": "off",
        "GOPATH": str(GOPATH),
        "GOCACHE": str(directory / "cache"),
        "GOFLAGS": "",
    }
    subprocess.run(["go", "build", "-o", program, "main.go"], cwd=SOURCE, env=environment, check=True, timeout=300)
    return program


def pattern(count: int) -> bytes:
    return bytes(number * 7 % 251 for number in range(251)) * (count // 251 + 1)


def pattern_of(count: int) -> bytes:
    return pattern(count)[:count]


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(100):
            await story()

    asyncio.run(whole())


@contextlib.asynccontextmanager
async def session_to(peer: Path) -> AsyncIterator[Session]:
    """Our visitor's session to Go's server."""
    process = await asyncio.create_subprocess_exec(peer, "server", stdout=subprocess.PIPE)
    assert process.stdout is not None
    port = int(await process.stdout.readline())
    tls = await TlsStream.over(await tcp.connect(Endpoint("127.0.0.1", port)), client_context(), "any")
    assert tls.version == "TLSv1.3"
    session = Session(tls, SessionLimits(), client=True)
    session.start()
    try:
        yield session
    finally:
        await session.aclose()
        process.kill()
        await process.wait()


async def asked(session: Session, line: bytes) -> Stream:
    stream = session.open_stream()
    await stream.send(line + b"\n")
    return stream


async def uploaded(session: Session, count: int) -> None:
    data = pattern_of(count)
    stream = await asked(session, b"sum")
    await stream.send(data)
    await stream.send_eof()
    assert await read_all(stream) == f"{count} {hashlib.sha256(data).hexdigest()}".encode()


def test_go_gets_every_byte_of_an_upload_and_answers_after_its_end(peer):
    async def story():
        async with session_to(peer) as session:
            await uploaded(session, 8_000_000)
            assert session.open_streams == 0

    run(story)


def test_we_get_every_byte_of_a_download_from_go(peer):
    async def story():
        async with session_to(peer) as session:
            stream = await asked(session, b"source 8000000")
            assert await read_all(stream) == pattern_of(8_000_000)
            await stream.send_eof()

    run(story)


def test_fifty_streams_to_go_at_once(peer):
    async def story():
        async with session_to(peer) as session:
            await asyncio.gather(*(uploaded(session, 100_000 + number) for number in range(50)))

    run(story)


def test_an_echo_through_go_half_closed_at_the_end(peer):
    async def story():
        async with session_to(peer) as session:
            stream = await asked(session, b"echo")
            for _ in range(100):
                await stream.send(b"ping")
                assert await read_exactly(stream, 4) == b"ping"
            await stream.send_eof()
            assert await stream.receive() == b""

    run(story)


def test_a_stalled_reader_in_go_costs_its_window_and_stops_no_other(peer):
    async def story():
        async with session_to(peer) as session:
            stalled = await asked(session, b"stall")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(stalled.send(bytes(8_000_000)), 0.5)
            await uploaded(session, 1_000_000)
            await stalled.aclose()

    run(story)


def test_go_pings_us_and_we_ping_go(peer):
    async def story():
        async with session_to(peer) as session:
            assert await read_all(await asked(session, b"ping")) == b"pong"
            async with asyncio.timeout(100):
                while not session.round_trip:
                    await asyncio.sleep(0.01)

    run(story)


def test_after_gos_go_away_open_streams_go_on_and_no_new_one_is_opened(peer):
    async def story():
        async with session_to(peer) as session:
            echo = await asked(session, b"echo")
            assert await read_all(await asked(session, b"goaway")) == b"gone"
            with pytest.raises(LimitReached):
                session.open_stream()
            await echo.send(b"still")
            assert await read_exactly(echo, 5) == b"still"

    run(story)


def test_a_stream_that_go_opens_towards_a_visitor_is_reset(peer):
    async def story():
        async with session_to(peer) as session:
            assert b"reset" in await read_all(await asked(session, b"open"))

    run(story)


def test_our_reset_of_a_stream_leaves_the_session_to_go_whole(peer):
    async def story():
        async with session_to(peer) as session:
            stream = await asked(session, b"source 8000000")
            await stream.receive(10)
            await stream.aclose()
            await uploaded(session, 100_000)

    run(story)


# Go's client, our accepting session.


async def serve(session: Session, stream: Stream) -> None:
    """What Go's client asks for."""
    with contextlib.suppress(ConnectionLost):
        line = b""
        while not line.endswith(b"\n"):
            line += await stream.receive(1)
        match line.split():
            case [b"sum", count]:
                data = await read_exactly(stream, int(count))
                await stream.send(f"{len(data)} {hashlib.sha256(data).hexdigest()}".encode())
                await stream.send_eof()
                assert await stream.receive() == b""  # Go's half-close
            case [b"source", count]:
                await stream.send(pattern_of(int(count)))
                await stream.send_eof()
            case [b"reset"]:
                await stream.aclose()
            case [b"hold"]:
                await stream.send(b"held")
                await read_all(stream)
                await stream.send_eof()
            case [b"goaway"]:
                session.go_away()
                await stream.send_eof()


def test_go_as_client_finds_in_us_a_yamux_server_to_the_letter(peer):
    async def story():
        tasks = TaskSet("test")

        async def welcome(arrived: TcpStream) -> None:
            tls = await TlsStream.over(arrived, host_context())
            limits = SessionLimits(streams=MAX_STREAMS)
            session = Session(
                tls, limits, client=False, accept=lambda stream: tasks.start(serve(session, stream), "stream")
            )
            session.start()

        listener = await Listener.open(["127.0.0.1"], 0, lambda tcp: tasks.start(welcome(tcp), "welcome"), what="test")
        process = await asyncio.create_subprocess_exec(
            peer, "client", f"127.0.0.1:{listener.port}", stdout=subprocess.PIPE
        )
        try:
            output, _ = await process.communicate()
        finally:
            await tasks.aclose()
            await listener.aclose()
        results = json.loads(output)
        assert results.pop("refused") == 70 - (MAX_STREAMS - 1)  # one is the stalled reader's
        assert "reset" in results.pop("reset")
        assert results.pop("after_go_away") == "remote end is not accepting connections"
        assert results == {
            "parallel": 50,
            "big_upload": True,
            "big_download": True,
            "ping": True,
            "beside_a_stalled_reader": True,
        }

    run(story)
