"""A visitor whose hello is right and whose frames are not.  A program, for a stranger's machine.

    python session_attacks.py KIND VICTIM PORT LABEL COUNT SECONDS [SOURCES]

    lies        sessions with one broken rule each; "ended" counts those that the host ended, as it must
    cuts        sessions that end within their first frames, at each byte
    pings       COUNT pings on each of some sessions, whose answers are read      unread     and are not read
    resets      streams opened and reset            closed     COUNT streams, each used to its orderly end
    deaf        sessions with many downloads, and nobody reads any more
    hoards      four sessions with COUNT streams each whose service does not read, filled to their window
    heads       one session with COUNT streams, each a request whose head goes on for 8 MB
    idle        COUNT sessions that are opened and then only answer pings
    farewells   go-away, and streams behind it
    floods      COUNT sessions that send one kind of frame as fast as they go, a kind each; flood-KIND: all the same

With SOURCES, a range of addresses that are all this machine's, sessions come from them in turns.

Frames: docs/PROTOCOL.md, section 5.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import struct
import sys
from collections.abc import AsyncIterator, Iterator

from assault import Assault, Connection, fight
from psk_tls import Client
from tls_attacks import Attacker

DATA, WINDOW, PING, GOAWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8
_WINDOW = 262_144
_SESSIONS_PER_SECOND = 300


def frame(kind: int, flags: int, stream: int, length: int, payload: bytes = b"", version: int = 0) -> bytes:
    return struct.pack(">BBHII", version, kind, flags, stream, length) + payload


OPEN_1 = frame(WINDOW, SYN, 1, 0)
LIES = (
    frame(DATA, SYN, 1, 2**32 - 1, b"x" * 1000),
    frame(DATA, SYN, 1, 2**31, b"x" * 1000),
    frame(DATA, SYN, 1, _WINDOW + 1, b"x"),
    OPEN_1 + frame(DATA, 0, 1, _WINDOW, b"x" * _WINDOW) * 60,
    OPEN_1 + frame(WINDOW, 0, 1, 2**32 - 1) * 2,
    frame(DATA, 0, 0, 5, b"hello"),
    frame(WINDOW, 0, 0, 1000),
    frame(DATA, SYN, 0, 0),
    frame(WINDOW, SYN, 2, 0),
    frame(WINDOW, SYN, 2**32 - 1, 0),
    frame(WINDOW, SYN, 2**31 + 1, 0),
    OPEN_1 + OPEN_1,
    frame(DATA, 0, 7, 5, b"hello"),
    frame(WINDOW, FIN, 7, 0),
    frame(WINDOW, RST, 7, 0),
    frame(WINDOW, SYN | FIN, 1, 0) + frame(DATA, 0, 1, 5, b"hello"),
    frame(PING, SYN, 0, 1, version=1),
    frame(4, 0, 0, 0),
    frame(255, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF),
    b"\xff" * 4096,
    b"GET / HTTP/1.1\r\n\r\n",
)


FLOODS = ("pings", "pongs", "updates", "empties", "resets", "closes", "gone", "farewells", "crumbs")
_CHUNK = 500  # frames
_FRAMES_PER_SECOND = 200_000  # of all: what a host can look at, and no more than this machine can bear


def flood(kind: str) -> Iterator[bytes]:
    """What a session that sends nothing else writes, without end."""
    yield OPEN_1 + frame(WINDOW, SYN, 3, 0) + frame(WINDOW, RST, 3, 0)
    first = 5
    while True:
        streams = range(first, first + 2 * _CHUNK, 2)
        match kind:
            case "pings":
                yield frame(PING, SYN, 0, 1) * _CHUNK
            case "pongs":
                yield frame(PING, ACK, 0, 1) * _CHUNK
            case "updates":
                yield frame(WINDOW, 0, 1, 1) * _CHUNK
            case "empties":
                yield frame(DATA, 0, 1, 0) * _CHUNK
            case "resets":
                yield b"".join(frame(WINDOW, SYN, stream, 0) + frame(WINDOW, RST, stream, 0) for stream in streams)
            case "closes":
                yield b"".join(frame(WINDOW, SYN | FIN, stream, 0) for stream in streams)
            case "gone":
                yield frame(WINDOW, 0, 3, 1) * _CHUNK
            case "farewells":
                yield frame(GOAWAY, 0, 0, 0) * _CHUNK
            case "crumbs":
                yield b"".join(frame(DATA, 0, 3, 1, b"x") for _ in range(_CHUNK))
        first += 2 * _CHUNK


class Tunnel:
    """A session with the host, in its visitor's hands."""

    def __init__(self, connection: Connection, shaking: Client) -> None:
        self._connection, self._shaking = connection, shaking
        self._partial = b""
        self._sending = asyncio.Lock()  # of two that wait for one socket, asyncio forgets the first

    async def send(self, data: bytes) -> None:
        for start in range(0, len(data), 65_536):
            async with self._sending:
                await self._connection.send(self._shaking.seal(data[start : start + 65_536]))

    async def receive(self) -> bytes:
        """b"" at its end."""
        while data := await self._connection.receive():
            if plain := self._shaking.unseal(data):
                return plain
        return b""

    async def frames(self) -> AsyncIterator[tuple[int, int, int, int]]:
        """(type, flags, stream, length) of every frame that comes; pings are answered."""
        while data := await self.receive():
            self._partial += data
            while len(self._partial) >= 12:
                _, kind, flags, stream, length = struct.unpack(">BBHII", self._partial[:12])
                size = 12 + (length if kind == DATA else 0)
                if len(self._partial) < size:
                    break
                self._partial = self._partial[size:]
                if kind == PING and flags & SYN:
                    await self.send(frame(PING, ACK, 0, length))
                yield kind, flags, stream, length

    async def until_ended(self) -> None:
        while await self.receive():
            pass

    @contextlib.asynccontextmanager
    async def being_read(self) -> AsyncIterator[None]:
        """What comes is read and thrown away meanwhile."""

        async def read() -> None:
            with contextlib.suppress(OSError):
                await self.until_ended()

        reading = asyncio.create_task(read())  # noqa: TID251
        try:
            yield
        finally:
            reading.cancel()
            await asyncio.wait([reading])


class Rogue(Attacker):
    def __init__(self, victim: str, port: int, label: str, count: int, sources: str | None) -> None:
        super().__init__(victim, port, label, sources)
        self._count = count

    @contextlib.asynccontextmanager
    async def tunnel(self) -> AsyncIterator[Tunnel]:
        """Behind both hellos."""
        async with self.connection() as connection:
            shaking = await self.secured(connection, self.shaking())
            await connection.send(shaking.seal(b'{"v":2}\n'))
            hello = b""
            while b"\n" not in hello:
                data = await connection.receive()
                if not data:
                    raise ConnectionError("ended before its hello")
                hello += shaking.unseal(data)
            tunnel = Tunnel(connection, shaking)
            tunnel._partial = hello.partition(b"\n")[2]
            self.report["sessions"] += 1
            yield tunnel

    async def lies(self, number: int) -> None:
        async with self.tunnel() as tunnel:
            with contextlib.suppress(ConnectionError):
                await tunnel.send(LIES[number % len(LIES)])
                async with asyncio.timeout(100):
                    await tunnel.until_ended()
            self.report["ended"] += 1

    async def cuts(self, number: int) -> None:
        frames = (
            OPEN_1 + frame(DATA, 0, 1, 18, b"GET / HTTP/1.1\r\n\r\n") + frame(PING, SYN, 0, 7) + frame(GOAWAY, 0, 0, 0)
        )
        async with self.tunnel() as tunnel:
            await tunnel.send(frames[: number % len(frames)])

    async def pings(self, number: int) -> None:
        async with self.tunnel() as tunnel, tunnel.being_read():
            for _ in range(self._count // 1000):
                await tunnel.send(frame(PING, SYN, 0, 1) * 1000)
                self.report["pings"] += 1000

    async def unread(self, number: int) -> None:
        async with self.tunnel() as tunnel:
            for _ in range(self._count // 1000):
                await tunnel.send(frame(PING, SYN, 0, 1) * 1000)
                self.report["pings"] += 1000

    async def resets(self, number: int) -> None:
        async with self.tunnel() as tunnel, tunnel.being_read():
            for first in range(1, 2 * self._count, 20):
                streams = range(first, first + 20, 2)
                await tunnel.send(b"".join(frame(WINDOW, SYN, stream, 0) for stream in streams))
                await tunnel.send(b"".join(frame(WINDOW, RST, stream, 0) for stream in streams))
                self.report["streams"] += len(streams)
                await asyncio.sleep(0.01)

    async def farewells(self, number: int) -> None:
        async with self.tunnel() as tunnel:
            await tunnel.send(frame(GOAWAY, 0, 0, number % 3))
            await tunnel.send(b"".join(_page_on(stream) for stream in range(1, 20, 2)) + frame(GOAWAY, 0, 0, 2) * 100)
            await tunnel.receive()

    async def deaf(self, connection: Connection) -> None:
        shaking = await self.secured(connection, self.shaking())
        await connection.send(shaking.seal(b'{"v":2}\n'))
        tunnel = Tunnel(connection, shaking)
        request = b"GET /bytes/1000000000 HTTP/1.1\r\nHost: x\r\n\r\n"
        for stream in range(1, 100, 2):
            await tunnel.send(
                frame(DATA, SYN, stream, len(request), request) + frame(WINDOW, 0, stream, 2**32 - 1 - _WINDOW)
            )
        self.report["streams"] += 50
        while True:  # it gives signs of life all the time
            await tunnel.send(frame(PING, ACK, 0, 1))
            await asyncio.sleep(0.2)

    async def hoards(self, connection: Connection) -> None:
        """The service writes an answer that nobody takes, and so does not read what comes behind the request."""
        shaking = await self.secured(connection, self.shaking())
        await connection.send(shaking.seal(b'{"v":2}\n'))
        tunnel = Tunnel(connection, shaking)
        request = b"GET /bytes/1000000000 HTTP/1.1\r\nHost: x\r\n\r\n"
        filling = b"x" * 65_536
        for stream in range(1, 2 * self._count, 2):
            await tunnel.send(frame(DATA, SYN, stream, len(request), request))
            left = _WINDOW - len(request)
            while left:
                piece = filling[:left]
                await tunnel.send(frame(DATA, 0, stream, len(piece), piece))
                left -= len(piece)
            self.report["filled"] += 1
        async for _ in tunnel.frames():
            pass

    async def heads(self, connection: Connection) -> None:
        """As much of them as the host gives credit for, until it has ended each."""
        shaking = await self.secured(connection, self.shaking())
        await connection.send(shaking.seal(b'{"v":2}\n'))
        tunnel = Tunnel(connection, shaking)
        hello = b""
        while b"\n" not in hello:
            hello += shaking.unseal(await connection.receive())
        tunnel._partial = hello.partition(b"\n")[2]
        beginning, field = b"GET / HTTP/1.1\r\nHost: x\r\n", b"x-%03d: " + b"a" * 32_000 + b"\r\n"
        credit = dict.fromkeys(range(1, 2 * self._count, 2), _WINDOW - len(beginning))
        for stream in credit:
            await tunnel.send(frame(DATA, SYN, stream, len(beginning), beginning))
        self.report["streams"] += len(credit)

        async def listen() -> None:
            async for kind, flags, stream, length in tunnel.frames():
                if kind == WINDOW and stream in credit:
                    credit[stream] += length
                if flags & (FIN | RST):
                    self.report["ended"] += credit.pop(stream, None) is not None
                if not credit:
                    return

        listening = asyncio.create_task(listen())  # noqa: TID251
        for number in range(250):
            if listening.done():
                break
            for stream in list(credit):
                line = field % number
                if credit.get(stream, 0) >= len(line):
                    credit[stream] -= len(line)
                    await tunnel.send(frame(DATA, 0, stream, len(line), line))
                    self.report["sent"] += len(line)
            await asyncio.sleep(0.005)
        await listening

    async def idle(self, connection: Connection) -> None:
        shaking = await self.secured(connection, self.shaking())
        await connection.send(shaking.seal(b'{"v":2}\n'))
        self.report["sessions"] += 1
        tunnel = Tunnel(connection, shaking)
        data = await connection.receive()
        tunnel._partial = shaking.unseal(data).partition(b"\n")[2]
        async for _ in tunnel.frames():
            pass

    async def floods(self, connection: Connection, kind: str) -> None:
        """Until the host has had enough."""
        shaking = await self.secured(connection, self.shaking())
        await connection.send(shaking.seal(b'{"v":2}\n'))
        tunnel = Tunnel(connection, shaking)
        self.report["sessions"] += 1
        async with tunnel.being_read():
            for data in flood(kind):
                await tunnel.send(data)
                self.report["frames"] += _CHUNK
                await asyncio.sleep(self._count * _CHUNK / _FRAMES_PER_SECOND)

    async def closed(self, number: int) -> None:
        """Streams to their orderly end, some at a time, until COUNT were closed."""
        async with self.tunnel() as tunnel:
            numbers: Iterator[int] = iter(range(1, 2 * self._count // 4, 2))
            for _ in range(4):
                await tunnel.send(_page_on(next(numbers)))
            async for _, flags, stream, _ in tunnel.frames():
                if flags & RST:
                    raise ConnectionError(f"stream {stream} was reset")
                if flags & FIN:
                    self.report["closed"] += 1
                    following = next(numbers, None)
                    if following is not None:
                        await tunnel.send(_page_on(following))
                    elif stream >= 2 * self._count // 4 - 16:
                        return


def _page_on(stream: int) -> bytes:
    request = b"GET / HTTP/1.0\r\nConnection: close\r\n\r\n"
    return frame(DATA, SYN | FIN, stream, len(request), request)


async def battle(kind: str, victim: str, port: str, label: str, count: str, seconds: str, sources: str = "") -> Assault:
    rogue = Rogue(victim, int(port), label, int(count), sources or None)
    kind, _, only = kind.partition("-")
    act = getattr(rogue, "floods" if kind == "flood" else kind)
    match kind:
        case "floods" | "flood":
            kinds = itertools.cycle([only] if only else FLOODS)
            await rogue.hold(int(count), float(seconds), lambda connection: rogue.floods(connection, next(kinds)))
        case "unread":
            rogue.takes = 4096
            await rogue.repeat(_SESSIONS_PER_SECOND, float(seconds), act)
        case "deaf":
            rogue.takes = 4096
            await rogue.hold(10, float(seconds), act)
        case "hoards":
            await rogue.hold(4, 2 * float(seconds), act)
        case "heads":
            print("under way", flush=True)
            with contextlib.suppress(TimeoutError):
                async with rogue.connection() as connection, asyncio.timeout(float(seconds)):
                    await rogue.heads(connection)
        case "idle":
            await rogue.hold(int(count), float(seconds), act)
        case "closed":
            print("under way", flush=True)
            await asyncio.gather(*(rogue.closed(number) for number in range(4)))
        case _:
            await rogue.repeat(_SESSIONS_PER_SECOND, float(seconds), act)
    return rogue


if __name__ == "__main__":
    fight(battle(*sys.argv[1:]))
