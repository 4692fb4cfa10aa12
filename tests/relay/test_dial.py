"""To a relay through a web proxy: where one is named, and where nothing else goes out."""

from __future__ import annotations

import asyncio
import select
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from hardline.errors import ConnectionLost, PeerError
from hardline.relay.dial import RelayDialer, proxy_of_environment
from hardline.routes import Endpoint
from hardline.transport import tcp

NOBODY = Endpoint("127.0.0.1", 1)


@asynccontextmanager
async def server(answer: bytes, heard: list[bytes], behind: bytes = b"") -> AsyncIterator[Endpoint]:
    """Answers a head, and says what is `behind` it."""

    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer + behind)
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield Endpoint(*listening.sockets[0].getsockname()[:2])
    finally:
        listening.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)


def test_what_the_relay_says_behind_the_proxys_head_is_the_relays() -> None:
    async def story() -> None:
        heard: list[bytes] = []
        ok = b"HTTP/1.1 200 Connection established\r\nVia: a proxy\r\n\r\n"
        async with server(ok, heard, b"HARDLINE") as proxy:
            stream = await RelayDialer(Endpoint("relay.example", 443), proxy=proxy).connect()
            assert await stream.receive() == b"HARDLINE"
            await stream.aclose()
        assert heard == [b"CONNECT relay.example:443 HTTP/1.1\r\nHost: relay.example:443\r\n\r\n"]

    asyncio.run(story())


def test_the_environments_proxy_is_used_only_where_nothing_else_goes() -> None:
    async def story() -> None:
        heard: list[bytes] = []
        async with server(b"HTTP/1.1 200 OK\r\n\r\n", heard) as proxy:
            dialer = RelayDialer(NOBODY, fallback=proxy)
            await (await dialer.connect()).aclose()
            assert len(heard) == 1
            assert dialer.through == proxy
            direct = RelayDialer(proxy, fallback=NOBODY)
            await (await direct.connect()).aclose()
            assert direct.through is None
            dialer.forget()
            assert dialer.through is None, "the relay itself is tried again"

    asyncio.run(story())


def test_a_proxy_that_is_not_there_is_named_and_a_relay_is_tried_at_all_its_endpoints() -> None:
    async def story() -> None:
        with pytest.raises(ConnectionLost, match=r"the proxy 127\.0\.0\.1:1 cannot be reached: "):
            await RelayDialer(NOBODY, proxy=NOBODY).connect()
        async with server(b"", []) as there:
            stream = await RelayDialer(NOBODY, Endpoint("no.such.name.invalid", 1), there).connect()
            assert stream.peer == there
            await stream.aclose()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "407"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\n", "ended the connection"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 4000, "more than a proxy has to say"),
    ],
)
def test_a_proxy_that_does_not_let_us_through_is_named(answer: bytes, why: str) -> None:
    async def story() -> None:
        async with server(answer, []) as proxy:
            with pytest.raises((PeerError, ConnectionLost), match=why) as failure:
                await RelayDialer(Endpoint("relay.example", 443), proxy=proxy).connect()
            assert str(proxy) in str(failure.value)

    asyncio.run(story())


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"https_proxy": "http://proxy.example:3128"}, Endpoint("proxy.example", 3128)),
        ({"HTTPS_PROXY": "proxy.example:3128/"}, Endpoint("proxy.example", 3128)),
        ({"https_proxy": "http://proxy.example"}, Endpoint("proxy.example", 80)),
        ({"https_proxy": "http://[2001:db8::1]:3128"}, Endpoint("2001:db8::1", 3128)),
        ({"https_proxy": "https://proxy.example:3128"}, None),  # a proxy that wants TLS
        ({"https_proxy": "socks5://proxy.example:3128"}, None),
        ({"https_proxy": "http://ann:secret@proxy.example:3128"}, None),
        ({"https_proxy": "http://proxy.example:what"}, None),
        ({"https_proxy": "http://a b:1"}, None),
    ],
)
def test_the_environments_proxy(environment: dict[str, str], expected: Endpoint | None) -> None:
    assert proxy_of_environment(environment) == expected


def test_a_connection_that_is_cut_at_once_does_not_become_where_the_relay_is(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            real = tcp.over_socket

            async def late(raw: socket.socket) -> tcp.TcpStream:
                there, _ = listener.accept()
                there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                there.close()
                select.select([raw], [], [], 10)
                return await real(raw)

            dialer = RelayDialer(Endpoint(*listener.getsockname()))
            with monkeypatch.context() as cut:
                cut.setattr(tcp, "over_socket", late)
                (await dialer.connect()).abort()
            stream = await dialer.connect()
            assert stream.peer == Endpoint(*listener.getsockname())
            stream.abort()
            await asyncio.sleep(0)

    asyncio.run(story())
