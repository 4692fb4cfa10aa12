"""A browser's side of one connection, written by hand: it believes nothing and compares every byte.

    connect ─▶ send a head ─▶ answer() ─▶ body_is(…) ─▶ ends()

It imports nothing of the project: it must not share the project's mistakes.  What can become of an errand:

    Failed   refused, reset, cut, or the door's own page 502, 503, 504: a fault may cause that
    Short    a body of which nobody said how long it is ended in order, and too early: it looks whole
    Wrong    a byte, a status or a header that is not what it must be: nothing may cause that
    Hung     nothing moved for HANG_LIMIT seconds: nothing may cause that either
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

HANG_LIMIT = 35.0  # seconds: the door gives up a host that says nothing after 25 s, a session a dead peer after 19 s
CHUNK = 65_536
ADDRESSES = ("127.0.0.1", "::1")
_OUR_PAGES = (502, 503, 504)
_NO_LINGER = struct.pack("ii", 1, 0)


class Failed(Exception):
    """It did not work, and says so."""


class Short(Exception):
    """Less than there is, told as the whole."""


class Wrong(Exception):
    """Not what it must be."""


class Hung(Exception):
    """Nothing moved."""


@dataclass(slots=True)
class Life:
    """When something was last heard, and how much, in seconds of the monotonic clock and bytes."""

    began: float
    alive: float
    received: int = 0
    sent: int = 0

    @classmethod
    def begin(cls) -> Life:
        now = time.monotonic()
        return cls(now, now)

    def heard(self, count: int) -> None:
        self.received += count
        self.alive = time.monotonic()


@dataclass(frozen=True, slots=True)
class Answer:
    """A response's head."""

    status: int
    headers: Mapping[str, str]

    @property
    def length(self) -> int:
        return int(self.headers["content-length"])


class Wire:
    """One connection to the door."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, life: Life) -> None:
        self._reader, self._writer, self._life = reader, writer, life

    @classmethod
    async def connect(cls, address: str, port: int, life: Life, *, receive_buffer: int | None = None) -> Wire:
        caller = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        caller.setblocking(False)
        if receive_buffer is not None:
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            async with _patience("connecting"):
                await asyncio.get_running_loop().sock_connect(caller, (address, port))
            reader, writer = await asyncio.open_connection(sock=caller, limit=CHUNK)
        except OSError as failure:
            caller.close()
            raise Failed(f"connecting: {failure}") from None
        except BaseException:
            caller.close()
            raise
        return cls(reader, writer, life)

    async def send(self, data: bytes) -> None:
        try:
            self._writer.write(data)
            async with _patience("sending"):
                await self._writer.drain()
        except OSError as failure:
            raise Failed(f"sending: {failure}") from None
        self._life.sent += len(data)

    async def request(self, method: str, target: str, host: str, body: bytes = b"", **headers: str) -> None:
        """A head, and a body whose length it tells."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        await self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def send_end(self) -> None:
        """Half-close: no more will be sent."""
        with contextlib.suppress(OSError):
            self._writer.write_eof()

    async def head(self) -> Answer:
        """Whatever is answered."""
        head = await self._read(lambda: self._reader.readuntil(b"\r\n\r\n"), "an answer's head")
        try:
            status, *lines = head.decode("ascii").split("\r\n")[:-2]
            headers = dict(line.lower().split(": ", 1) for line in lines)
            return Answer(int(status.removeprefix("HTTP/1.1 ")[:3]), headers)
        except ValueError:
            raise Wrong(f"this is no answer's head: {head[:200]!r}") from None

    async def answer(self, *expected: int) -> Answer:
        """An answer of one of these kinds; the door's own page that says what failed is Failed."""
        answer = await self.head()
        if answer.status in expected:
            return answer
        page = b""
        with contextlib.suppress(Failed, ValueError, KeyError):
            page = await self.exactly(min(answer.length, 2000))
        about = f"{answer.status} {page.decode(errors='replace')[:300]!r}"
        if answer.status in _OUR_PAGES and answer.headers.get("server") == "hardline":
            raise Failed(about)
        raise Wrong(f"expected {expected}, got {about}")

    async def ok(self, length: int | None = None) -> Answer:
        """200, of this length."""
        answer = await self.answer(200)
        if length is not None and answer.headers.get("content-length") != str(length):
            raise Wrong(f"expected {length} bytes, announced were {answer.headers.get('content-length')}")
        return answer

    async def body_is(self, pieces: Iterable[bytes], *, step: int = CHUNK) -> AsyncIterator[int]:
        """Exactly these bytes come, `step` at most at a time; yields how many there were so far."""
        async for offset in self._compared(pieces, step, Failed):
            yield offset

    async def whole_body_is(self, pieces: Iterable[bytes]) -> None:
        async for _ in self.body_is(pieces):
            pass

    async def body_until_end_is(self, pieces: Iterable[bytes]) -> AsyncIterator[int]:
        """As `body_is`, and then the end, which is all that tells that it is whole."""
        async for offset in self._compared(pieces, CHUNK, Short):
            yield offset
        await self.ends()

    async def exactly(self, count: int) -> bytes:
        return await self._read(lambda: self._reader.readexactly(count), f"{count} bytes")

    async def some(self, most: int = CHUNK) -> bytes:
        """What is there; nothing at the end."""
        return await self._read(lambda: self._reader.read(most), "bytes")

    async def ends(self) -> None:
        """The other side ends its direction, and says no more."""
        if more := await self.some():
            raise Wrong(f"{len(more)} bytes more than there should be: {more[:60]!r}")

    async def cut_within(self, until: asyncio.Future[None]) -> bool:
        """Whether the other side closes, or sends what nobody asked for, before `until` is done."""
        reading = asyncio.ensure_future(self._reader.read(1))  # noqa: TID251  awaited below
        try:
            await asyncio.wait([reading, until], return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                return False
            try:
                more = reading.result()
            except OSError:
                return True
            if more:
                raise Wrong("bytes came that nobody asked for")
            return True
        finally:
            reading.cancel()
            await asyncio.wait([reading])

    def drop(self, *, reset: bool = False) -> None:
        """Leave, whatever is still to come; `reset` as a browser that crashes does it."""
        if reset and (raw := self._writer.get_extra_info("socket")) is not None:
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._writer.transport.abort()

    async def _compared(
        self, pieces: Iterable[bytes], step: int, too_early: type[Failed | Short]
    ) -> AsyncIterator[int]:
        offset = 0
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                got = await self.some(min(len(rest), step))
                if not got:
                    raise too_early(f"ended after {offset} bytes")
                _compare(got, rest[: len(got)], offset)
                rest, offset = rest[len(got) :], offset + len(got)
                yield offset

    async def _read(self, work: Callable[[], Awaitable[bytes]], what: str) -> bytes:
        try:
            async with _patience(what):
                data = await work()
        except asyncio.IncompleteReadError as failure:
            raise Failed(f"closed before {what}, after {len(failure.partial)} bytes of it") from None
        except asyncio.LimitOverrunError:
            raise Wrong(f"too long: {what}") from None
        except OSError as failure:
            raise Failed(f"waiting for {what}: {failure}") from None
        self._life.heard(len(data))
        return data


@contextlib.asynccontextmanager
async def _patience(what: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(HANG_LIMIT):
            yield
    except TimeoutError as failure:
        if failure.errno is not None:  # ETIMEDOUT, the kernel's: an OSError like others
            raise OSError(failure.errno, failure.strerror) from None
        raise Hung(f"nothing moved for {HANG_LIMIT:g} s: {what}") from None


def _compare(got: bytes, expected: memoryview, offset: int) -> None:
    if got != expected:
        at = next(index for index, (one, other) in enumerate(zip(got, expected, strict=True)) if one != other)
        raise Wrong(
            f"byte {offset + at} is {got[at : at + 16].hex()}… where {bytes(expected[at : at + 16]).hex()}… belongs"
        )
