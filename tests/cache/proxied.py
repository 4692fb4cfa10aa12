"""A caching proxy over a real HTTP server on 127.0.0.1, between raw clients and an origin that does what a test says.

    Visitor ── TCP ──▶ aiohttp's server ─▶ CachingProxy ── TCP ──▶ OriginServer: counts, and misbehaves

Both ends write HTTP by hand: they must not share the proxy's view of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from hardline.cache.caching.origin import Origin
from hardline.cache.caching.proxy import CachingProxy
from hardline.cache.kept.bucket import TokenBucket
from hardline.cache.kept.store import Store
from hardline.disks import Disk
from hardline.errors import HardlineError
from hardline.settings.local import LocalService

DAY = 86_400.0


@dataclass(slots=True)
class Asked:
    """A request as it reached the origin."""

    line: str
    fields: list[tuple[str, str]]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def method(self) -> str:
        return self.line.split(" ")[0]

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]

    def get(self, name: str) -> str | None:
        return next((value for field, value in self.fields if field.lower() == name.lower()), None)

    def all(self, name: str) -> list[str]:
        return [value for field, value in self.fields if field.lower() == name.lower()]

    async def body(self) -> bytes:
        """The whole body."""
        return b"".join([piece async for piece in self.pieces()])

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes."""
        if self.get("transfer-encoding") == "chunked":
            while size := int((await self.reader.readline()).partition(b";")[0], 16):
                yield await self.reader.readexactly(size)
                await self.reader.readexactly(2)
            while await self.reader.readline() != b"\r\n":
                pass
        left = int(self.get("content-length") or 0)
        while left:
            data = await self.reader.read(min(left, 65_536))
            if not data:
                raise EOFError
            left -= len(data)
            yield data

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    def cut(self) -> None:
        """As when the program is killed in the middle of a body."""
        self.writer.transport.abort()


Answer = Callable[[Asked], Awaitable[None]]


def answer(body: bytes = b"hello", status: str = "200 OK", **fields: str) -> bytes:
    """A whole answer; "_" in a field's name is "-"."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    if "Transfer_Encoding" not in fields and "Content_Length" not in fields and not status.startswith(("204", "304")):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode("latin-1") + body


@dataclass(slots=True)
class OriginServer:
    """Answers each target as `answers` says: bytes, or what does it.  `asked` is what came."""

    answers: dict[str, bytes | Answer] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    _server: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def open(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Nobody listens any more, and every connection is cut."""
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._open):
            writer.transport.abort()
        await self._server.wait_closed()

    def count(self, target: str = "") -> int:
        return sum(1 for one in self.asked if not target or one.target == target)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        try:
            while True:
                line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
                fields = [(name, value.strip()) for name, _, value in (one.partition(":") for one in lines)]
                asked = Asked(line, fields, reader, writer)
                self.asked.append(asked)
                what = self.answers.get(asked.target, answer(b"nothing", "404 Not Found", Cache_Control="no-store"))
                if isinstance(what, bytes):
                    if asked.method not in ("GET", "HEAD"):
                        await asked.body()
                    await asked.send(what.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if asked.method == "HEAD" else what)
                else:
                    await what(asked)
        except (OSError, EOFError):
            pass  # the proxy is done with it
        finally:
            self._open.discard(writer)
            writer.close()


@dataclass(slots=True)
class Reply:
    """What a visitor got.  `is_cut`: it ended before it should."""

    status: int
    fields: list[tuple[str, str]]
    body: bytes
    is_cut: bool
    interim: list[bytes]

    def get(self, name: str) -> str | None:
        return next((value for field, value in self.fields if field.lower() == name.lower()), None)

    def all(self, name: str) -> list[str]:
        return [value for field, value in self.fields if field.lower() == name.lower()]

    @property
    def cache(self) -> str:
        """The last line of Cache-Status: ours."""
        return self.all("cache-status")[-1]

    @property
    def is_hit(self) -> bool:
        return self.cache.startswith("hardline; hit")


class Visitor:
    """One connection to the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> Reply:
        """The next head, with the interim ones before it."""
        interim = []
        while True:
            text = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, *lines = text.split("\r\n")[:-2]
            status = int(line.split(" ")[1])
            if status >= 200 or status == 101:
                break
            interim.append(text.encode("latin-1"))
        fields = [(name, value.strip()) for name, _, value in (one.partition(":") for one in lines)]
        return Reply(status, fields, b"", False, interim)

    async def reply(self, method: str = "GET", *, slowly: Callable[[], Awaitable[None]] | None = None) -> Reply:
        """The next answer, whole."""
        reply = await self.head()
        body = bytearray()
        try:
            if method != "HEAD" and reply.status not in (101, 204, 304):
                async for piece in self._body(reply):
                    body += piece
                    if slowly is not None:
                        await slowly()
        except (OSError, EOFError):
            reply.is_cut = True
        reply.body = bytes(body)
        return reply

    async def _body(self, reply: Reply) -> AsyncIterator[bytes]:
        if reply.get("transfer-encoding") == "chunked":
            while size := int((await self.reader.readuntil(b"\r\n")).strip(), 16):
                yield await self.reader.readexactly(size)
                await self.reader.readexactly(2)
            assert await self.reader.readline() == b"\r\n", "trailers are not carried on"
        elif (length := reply.get("content-length")) is not None:
            left = int(length)
            while left:
                data = await self.reader.read(min(left, 262_144))
                if not data:
                    raise EOFError
                left -= len(data)
                yield data
        else:
            while data := await self.reader.read(262_144):
                yield data


@dataclass(slots=True)
class Clock:
    """Seconds since 1970, as a test says."""

    now: float = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


class Proxied:
    """A proxy, its store and its origin.  `cut` is why answers were broken off, `failures` what went wrong in it."""

    def __init__(
        self, root: Path, origin: OriginServer, proxy: CachingProxy, clock: Clock, bucket: TokenBucket | None
    ) -> None:
        self.root, self.origin, self.proxy, self.clock, self.bucket = root, origin, proxy, clock, bucket
        self.port = 0
        self.failures: list[BaseException] = []
        self.writers: list[asyncio.StreamWriter] = []

    async def visitor(self) -> Visitor:
        """A new connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
        self.writers.append(writer)
        return Visitor(reader, writer)

    async def ask(self, method: str, target: str, body: bytes = b"", **fields: str) -> Reply:
        """One request on a connection of its own; a field's name has "_" for "-"."""
        visitor = await self.visitor()
        visitor.send(request(method, target, body, **fields))
        try:
            return await visitor.reply(method)
        finally:
            visitor.writer.close()

    async def get(self, target: str, **fields: str) -> Reply:
        return await self.ask("GET", target, **fields)

    def stored(self) -> list[str]:
        """The bodies that are in the store."""
        files = (path for path in self.root.rglob("*") if path.is_file())
        return sorted(str(path.relative_to(self.root)) for path in files if re.search(r"@http(\.\d+)?$", path.name))

    def drafts(self) -> list[str]:
        return [str(path) for path in self.root.rglob("*draft") if path.is_file()]


def request(method: str, target: str, body: bytes = b"", **fields: str) -> bytes:
    """A request's bytes."""
    lines = {"Host": "site.localhost", **{name.replace("_", "-"): value for name, value in fields.items()}}
    if body and "Transfer-Encoding" not in lines:
        lines["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


@contextlib.asynccontextmanager
async def proxied(
    root: Path,
    answers: dict[str, bytes | Answer] | None = None,
    *,
    max_age: float | None = 0.0,
    max_size: int = 256 << 20,
    rate: int | None = None,
    without_origin: bool = False,
    disk: Disk | None = None,
) -> AsyncIterator[Proxied]:
    """A running proxy; afterwards nothing of it is left, and nothing failed inside."""
    clock, origin = Clock(), OriginServer(answers or {})
    await origin.open()
    store = Store(root, max_size=max_size, clock=clock, disk=disk)
    await store.open()
    bucket = None if rate is None else TokenBucket(rate, asyncio.get_running_loop().time())
    service = None if without_origin else Origin(LocalService("tcp", "127.0.0.1", origin.port))
    proxy = CachingProxy(store, service, max_age=max_age, bucket=bucket, clock=clock)
    running = Proxied(root, origin, proxy, clock, bucket)

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await proxy.respond(request)
        except (ConnectionError, HardlineError):
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError from None
        except Exception as failure:
            running.failures.append(failure)
            raise

    server = web.Server(handle, handler_cancellation=True, access_log=None, auto_decompress=False)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    running.port = listening.sockets[0].getsockname()[1]
    try:
        yield running
        assert running.failures == []
    finally:
        for writer in running.writers:
            writer.close()
        listening.close()
        await server.shutdown(1.0)
        await proxy.aclose()
        await origin.close()
        await store.aclose()


async def until(condition: Callable[[], object], what: str, timeout: float = 60.0) -> None:
    """Wait for `condition` on the event loop."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    while not condition():
        if loop.time() > deadline:
            raise AssertionError(f"waited {timeout:g} s, and still not: {what}")
        await asyncio.sleep(0.01)
