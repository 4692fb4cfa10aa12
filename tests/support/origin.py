"""A web server for tests: the local service that a host shares.  A program, so that it can run in a namespace and die.

    GET  /            page: "hello from NAME\n"
    GET  /echo        JSON: the request as it arrived, and how many came before it on this connection
    GET  /bytes/N     N bytes that a seed determines; `digest_of_bytes(N)` is their SHA-256
    GET  /stall/N     promises 2N bytes, sends N of them, then keeps the connection open for ever
    POST /sum         {"length": …, "sha256": …} of the body
    GET  /events      server-sent events: the first at once, the next one whenever somebody asks for /event
    GET  /until-end/N the same bytes; their end is the end of the connection, as in HTTP/1.0
    GET  /event       lets every open /events go on by one
    GET  /ws          WebSocket: every message comes back

    python tests/support/origin.py [--name NAME] [--bind ADDRESS] [--port PORT]      prints the port when it listens

It writes HTTP by hand and imports nothing of the project: it must not share the project's mistakes.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import json
import random
import struct
from collections.abc import AsyncIterator, Iterator

CHUNK = 1_048_576
_BLOCK = random.Random(7009).randbytes(CHUNK)
_WEBSOCKET_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


def pieces_of_bytes(count: int) -> Iterator[bytes]:
    """`count` bytes; each MiB begins with its own number, so that no two are alike."""
    for number in range((count + CHUNK - 1) // CHUNK):
        piece = struct.pack(">Q", number) + _BLOCK[8:]
        yield piece[: count - number * CHUNK]


def digest_of_bytes(count: int) -> str:
    """SHA-256 of what /bytes/N sends."""
    digest = hashlib.sha256()
    for piece in pieces_of_bytes(count):
        digest.update(piece)
    return digest.hexdigest()


class Origin:
    """Serves connections; `events` is notified by /event."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._events = asyncio.Condition()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            before = 0
            while await self._answer(reader, writer, before):
                before += 1
        except (OSError, asyncio.IncompleteReadError):
            pass  # the other side went away: tests do that on purpose
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, before: int) -> bool:
        """One request; returns whether the connection goes on."""
        head = await reader.readuntil(b"\r\n\r\n")
        request, *lines = head.decode("latin-1").split("\r\n")[:-2]
        method, target, version = request.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        keep = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
        match target.partition("?")[0].split("/")[1:]:
            case ["bytes", count]:
                await _send(writer, 200, pieces_of_bytes(int(count)), int(count), "application/octet-stream")
            case ["stall", count]:
                await _send(writer, 200, pieces_of_bytes(int(count)), 2 * int(count), "application/octet-stream")
                await asyncio.Event().wait()
            case ["until-end", count]:
                writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
                for piece in pieces_of_bytes(int(count)):
                    writer.write(piece)
                    await writer.drain()
                return False
            case ["sum"] if method == "POST":
                await _send_json(writer, await _sum(reader, writer, headers))
            case ["echo"]:
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                told = {"request": request, "headers": headers, "before": before, "body": body.decode("latin-1")}
                await _send_json(writer, told)
            case ["events"]:
                await self._send_events(writer)
            case ["event"]:
                async with self._events:
                    self._events.notify_all()
                await _send_json(writer, {})
            case ["ws"]:
                await _websocket(reader, writer, headers["sec-websocket-key"])
                return False
            case [""]:
                page = f"hello from {self._name}\n".encode()
                await _send(writer, 200, [page], len(page), "text/plain")
            case _:
                await _send(writer, 404, [b"nothing here\n"], 13, "text/plain")
        return keep

    async def _send_events(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        number = 0
        while True:
            writer.write(b"data: %d\n\n" % number)
            await writer.drain()
            number += 1
            async with self._events:
                await self._events.wait()


async def _send(
    writer: asyncio.StreamWriter, status: int, body: Iterator[bytes] | list[bytes], length: int, kind: str
) -> None:
    reason = {200: "OK", 404: "Not Found"}[status]
    head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    writer.write(head.encode())
    for piece in body:
        writer.write(piece)
        await writer.drain()


async def _send_json(writer: asyncio.StreamWriter, value: object) -> None:
    body = json.dumps(value).encode()
    await _send(writer, 200, [body], len(body), "application/json")


async def _sum(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: dict[str, str]) -> object:
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    digest, length = hashlib.sha256(), 0
    async for piece in _body(reader, headers):
        digest.update(piece)
        length += len(piece)
    return {"length": length, "sha256": digest.hexdigest()}


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> AsyncIterator[bytes]:
    """A request's body; what is cut ends earlier than was promised."""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        while size := int((await reader.readline()).partition(b";")[0], 16):
            yield await reader.readexactly(size)
            await reader.readexactly(2)
        while await reader.readline() != b"\r\n":
            pass
        return
    left = int(headers["content-length"])
    while left and (piece := await reader.read(min(left, CHUNK))):
        left -= len(piece)
        yield piece


async def _websocket(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str) -> None:
    """RFC 6455: the handshake, then every frame of the client back to it, unmasked, until its close frame."""
    accept = base64.b64encode(hashlib.sha1(key.encode() + _WEBSOCKET_MAGIC).digest())
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    while True:
        first, second = await reader.readexactly(2)
        lengths = {126: 2, 127: 8}
        extended = await reader.readexactly(lengths.get(second & 0x7F, 0))
        length = int.from_bytes(extended) if extended else second & 0x7F
        mask = await reader.readexactly(4)
        masked = await reader.readexactly(length)
        body = bytes(letter ^ mask[index % 4] for index, letter in enumerate(masked))
        writer.write(bytes([first, second & 0x7F]) + extended + body)
        await writer.drain()
        if first & 0x0F == 8:
            return


async def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", default="the origin")
    parser.add_argument("--bind", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    server = await asyncio.start_server(Origin(options.name).serve, options.bind, options.port, limit=CHUNK)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main())
