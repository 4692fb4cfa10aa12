"""TLS and a local socket joined: bytes, ends and cuts, as a TLS client that is not ours sees them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from hardline.errors import ConnectionLost
from hardline.tasks import TaskSet
from hardline.transport import tcp
from hardline.transport.contexts import browser_context
from hardline.transport.listener import Listener
from hardline.transport.tcp import TcpStream
from hardline.transport.tls import TlsStream
from hardline.tunnel.direct import Direct
from tests.https.certified import a_certificate
from tests.relay.running import in_loop, until

NAME = "nas.example.org"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Joined:
    """A client, what it is joined with, and how that went."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ended: list[Exception | None]
    ) -> None:
        self.reader, self.writer, self.ended = reader, writer, ended
        self.directs: list[Direct] = []
        self.port = 0

    async def over(self) -> Exception | None:
        await until(lambda: bool(self.ended))
        return self.ended[0]


@contextlib.asynccontextmanager
async def joined(serve: Serve) -> AsyncIterator[Joined]:
    tasks, ended, directs = TaskSet("direct"), list[Exception | None](), list[Direct]()
    context = browser_context(*a_certificate(NAME))
    service = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = service.sockets[0].getsockname()[1]

    async def join(arrived: TcpStream) -> None:
        tls = await TlsStream.over(arrived, context)
        local = await tcp.connect_any([tcp.Endpoint("127.0.0.1", port)])
        directs.append(direct := Direct(tls, local))
        try:
            await direct.done
        except ConnectionLost as failure:
            ended.append(failure)
        else:
            ended.append(None)

    listener = await Listener.open(
        ["127.0.0.1"], 0, lambda arrived: tasks.start(join(arrived), "join") and None, what="test"
    )
    anything = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anything.check_hostname, anything.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", listener.port, ssl=anything, server_hostname=NAME, limit=1 << 20
    )
    try:
        one = Joined(reader, writer, ended)
        one.directs, one.port = directs, listener.port
        yield one
    finally:
        writer.transport.abort()
        service.close()
        await listener.aclose()
        await tasks.aclose()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@in_loop
async def test_what_is_said_comes_back_whole_in_any_pieces() -> None:
    async with joined(echo) as client:
        for size in (1, 16_384, 16_385, 1_000_000, 5_000_000):
            data = os.urandom(size)
            client.writer.write(data)
            assert await client.reader.readexactly(size) == data


@in_loop
async def test_a_service_that_speaks_first_and_ends_is_heard_to_its_end() -> None:
    async def says(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes(3_000_000))
        await writer.drain()
        writer.close()

    async with joined(says) as client:
        assert len(await client.reader.read(-1)) == 3_000_000
        client.writer.close()
        assert await client.over() is None


@pytest.mark.parametrize("side", ["client", "service"])
def test_a_cut_on_one_side_is_a_cut_on_the_other(side: str) -> None:
    @in_loop
    async def story() -> None:
        heard = list[type[Exception]]()

        async def cuts(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"some of it")
            await writer.drain()
            if side == "service":
                sock = writer.transport.get_extra_info("socket")
                sock.setsockopt(*_RESET)
                writer.transport.abort()
                return
            try:
                await reader.read()
            except ConnectionError as failure:
                heard.append(type(failure))
            writer.close()

        async with joined(cuts) as client:
            if side == "client":
                assert await client.reader.readexactly(10) == b"some of it"
                client.writer.get_extra_info("socket").setsockopt(*_RESET)
                client.writer.transport.abort()
            else:
                with pytest.raises((ConnectionError, ssl.SSLError, asyncio.IncompleteReadError)):
                    await client.reader.readexactly(1000)
            assert isinstance(await client.over(), ConnectionLost)
            if side == "client":
                await until(lambda: heard == [ConnectionResetError])

    story()


@in_loop
async def test_a_client_that_leaves_while_the_service_is_silent_is_missed() -> None:
    left = asyncio.Event()

    async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read()
            writer.write(b"still there?")
            await reader.read()
        left.set()
        writer.close()

    async with joined(waits) as client:
        client.writer.write(b"x")
        await client.writer.drain()
        client.writer.close()
        await asyncio.wait_for(left.wait(), 20)
        await client.over()


@in_loop
async def test_who_reads_slowly_holds_back_the_service_and_loses_nothing() -> None:
    sent = 0

    async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.transport.set_write_buffer_limits(high=0)
        for _ in range(400):
            writer.write(bytes(100_000))
            sent += 100_000
            await writer.drain()
        writer.close()

    async with joined(floods) as client:
        client.writer.transport.pause_reading()
        before = -1
        while sent != before:  # until it stands still
            before = sent
            await asyncio.sleep(0.3)
        assert sent < 30_000_000, "what nobody reads is not collected"
        client.writer.transport.resume_reading()
        assert len(await client.reader.read(-1)) == 40_000_000


@in_loop
async def test_a_service_that_reads_slowly_holds_back_the_client() -> None:
    go, got = asyncio.Event(), 0

    async def sips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal got
        await go.wait()
        while got < 40_000_000:
            got += len(await reader.read(1 << 20))
        writer.write(b"all")
        writer.close()

    async with joined(sips) as client:
        data, sent = bytes(100_000), 0
        with contextlib.suppress(TimeoutError):
            while sent < 40_000_000:
                client.writer.write(data)
                sent += len(data)
                async with asyncio.timeout(0.5):
                    await client.writer.drain()
        assert sent < 30_000_000, "what nobody reads is not collected"
        go.set()
        for _ in range((40_000_000 - sent) // len(data)):
            client.writer.write(data)
            await client.writer.drain()
        assert await client.reader.read(-1) == b"all"


_RESET = (1, 13, b"\1\0\0\0\0\0\0\0")  # SOL_SOCKET, SO_LINGER: on, for no time


def ends_and_reads(port: int) -> int:
    """A client that says that it has said all, and only then, and slowly, reads: how many bytes until the end."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing, got = ssl.MemoryBIO(), ssl.MemoryBIO(), 0
    tls = context.wrap_bio(incoming, outgoing, server_hostname=NAME)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        for step in (tls.do_handshake, lambda: tls.write(b"all"), tls.unwrap):
            with contextlib.suppress(ssl.SSLWantReadError):
                step()
            while step == tls.do_handshake and tls.version() is None:
                raw.sendall(outgoing.read())
                incoming.write(raw.recv(65_536))
                with contextlib.suppress(ssl.SSLWantReadError):
                    step()
            raw.sendall(outgoing.read())
        while data := raw.recv(65_536):
            incoming.write(data)
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                while piece := tls.read(65_536):
                    got += len(piece)
    return got


@in_loop
async def test_who_has_said_all_early_gets_the_whole_answer() -> None:
    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.read() == b"all"
        writer.write(bytes(5_000_000))
        await writer.drain()
        writer.close()

    async with joined(answers) as client:
        assert await asyncio.to_thread(ends_and_reads, client.port) == 5_000_000
