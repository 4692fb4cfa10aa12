"""WebSockets to an ASGI application, by a client that nobody here wrote, and by visitors who mean no good."""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Opcode
from websockets.uri import parse_uri

from hardline.apps import websockets as websockets_module
from hardline.errors import ConnectionLost
from hardline.session.session import SessionLimits
from hardline.tasks import TaskSet
from tests.apps.serving import run, served, until
from tests.support.check_byte_stream import read_all

MB = 1 << 20
TASKS = TaskSet("test")


class Client:
    """websockets' own protocol on a stream."""

    def __init__(self, stream) -> None:
        self.stream, self.protocol, self.frames = stream, ClientProtocol(parse_uri("ws://a/ws"), max_size=None), []

    async def connect(self) -> None:
        self.protocol.send_request(self.protocol.connect())
        await self.flush()
        await self.next()
        assert self.protocol.handshake_exc is None, self.protocol.handshake_exc

    async def flush(self) -> None:
        for data in self.protocol.data_to_send():
            if data:
                await self.stream.send(data)

    async def next(self):
        while not self.frames:
            data = await self.stream.receive()
            if data:
                self.protocol.receive_data(data)
            else:
                self.protocol.receive_eof()
            self.frames += self.protocol.events_received()
            await self.flush()
            if not data:
                return None
        return self.frames.pop(0)


async def echo(scope, receive, send):
    if scope["type"] != "websocket":
        return
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        kind = "text" if message.get("text") is not None else "bytes"
        await send({"type": "websocket.send", kind: message[kind]})
    left.append(message["code"])


left: list[int] = []


def test_every_message_comes_back_and_the_end_is_told():
    async def story():
        left.clear()
        async with served(echo) as (open_stream, _):
            client = Client(open_stream())
            await client.connect()
            client.protocol.send_text("grüße".encode())
            await client.flush()
            assert (await client.next()).data == "grüße".encode()
            data = os.urandom(3 * MB)
            client.protocol.send_binary(data)
            await client.flush()
            got = b""
            while len(got) < len(data):
                got += (await client.next()).data
            assert got == data
            client.protocol.send_close(1000)
            await client.flush()
            await until(lambda: left == [1000])
            await client.stream.aclose()

    run(story)


@pytest.mark.parametrize("how", ["ends", "cut"])
def test_a_visitor_that_is_gone_is_told_to_the_application(how):
    async def story():
        left.clear()
        async with served(echo) as (open_stream, _):
            client = Client(open_stream())
            await client.connect()
            if how == "ends":
                await client.stream.send_eof()
            else:
                client.stream.abort()
            await until(lambda: left)

    run(story)


def test_a_site_that_ends_says_so():
    async def story():
        async with served(echo) as (open_stream, site):
            client = Client(open_stream())
            await client.connect()
            ending = TASKS.start(site.retire(60), "retire")
            frame = await client.next()
            assert (frame.opcode, struct.unpack(">H", frame.data[:2])) == (Opcode.CLOSE, (1012,))
            await client.stream.aclose()
            await ending

    run(story)


def test_who_pings_and_never_reads_is_cut():
    async def story():
        async with served(echo, SessionLimits(stream_window=512 * 1024)) as (open_stream, site):
            client = Client(open_stream())
            await client.connect()
            client.protocol.send_ping(b"x" * 125)
            [frame] = client.protocol.data_to_send()
            with contextlib.suppress(ConnectionLost):
                while True:
                    await client.stream.send(frame * 1000)
                    await asyncio.sleep(0)
            await until(lambda: not site._transports)

    run(story)


def test_messages_that_are_never_whole_have_a_bound_together(monkeypatch):
    monkeypatch.setattr(websockets_module, "MOST_PARTIAL", 2 * MB)

    async def story():
        async with served(echo) as (open_stream, site):
            clients = [Client(open_stream()) for _ in range(4)]
            for client in clients:
                await client.connect()
                client.protocol.send_binary(bytes(900_000), fin=False)
                with contextlib.suppress(ConnectionLost):
                    await client.flush()
            await until(lambda: len(site._transports) < 4)
            assert site._state.partial <= 2 * MB
            for client in clients:
                client.stream.abort()
            await until(lambda: not site._transports)
            assert site._state.partial == 0

    run(story)


def test_an_application_that_refuses_and_one_that_fails():
    async def refuses(scope, receive, send):
        if scope["type"] == "websocket":
            await receive()
            if scope["path"] == "/fail":
                raise RuntimeError("broken")
            await send({"type": "websocket.close"})

    async def story():
        async with served(refuses) as (open_stream, _):
            for path, status in ((b"/", b"403"), (b"/fail", b"500")):
                stream = open_stream()
                await stream.send(
                    b"GET %b HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" % path
                )
                assert (await stream.receive()).startswith(b"HTTP/1.1 " + status)
                await stream.aclose()

    run(story)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/name", b"500"),
        ("/own", b"500"),
        ("/head", b"500"),
        ("/unsaid", b"500"),
        ("/unended", b"500"),
        ("/no", b"401"),
    ],
)
def test_what_an_application_answers_instead_is_one_answer(path, status):
    denied = {"type": "websocket.http.response.start", "status": 401, "headers": [(b"content-length", b"1")]}
    sends = {
        "/name": [{"type": "websocket.accept", "headers": [(b"x: a\r\nSet-Cookie", b"b")]}],
        "/own": [{"type": "websocket.accept", "headers": [(b"sec-websocket-accept", b"b")]}],
        "/head": [{**denied, "headers": [(b"x", b"a\r\nSet-Cookie: b")]}],
        "/unsaid": [{**denied, "status": 101}],
        "/unended": [denied],
        "/no": [denied, {"type": "websocket.http.response.body", "body": b"no"}],
    }

    async def app(scope, receive, send):
        if scope["type"] == "websocket":
            for message in sends[scope["path"]]:
                await send(message)

    async def story():
        async with served(app) as (open_stream, _):
            stream = open_stream()
            await stream.send(
                b"GET %b HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" % path.encode()
            )
            said = await read_all(stream)
            assert said.startswith(b"HTTP/1.1 " + status)
            assert said.count(b"HTTP/1.1") == 1
            assert b"Set-Cookie" not in said
            assert (b"content-length: 2\r" in said.lower()) == (path == "/no")
            await stream.aclose()

    run(story)
