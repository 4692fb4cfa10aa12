"""A session whose peer stops after any byte of its frames: every stream ends as far as it came, and nothing stays.

The frames are those that a real session sent: a stream that ended, one that was reset, one that is in the middle,
pings, credit, a go-away.
"""

from __future__ import annotations

import asyncio
import functools
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from hardline.errors import ConnectionLost
from hardline.session.session import Session, SessionLimits, Stream
from hardline.session.windows import INITIAL_WINDOW, WindowBudget
from hardline.session.yamux import DATA, FIN, HEADER_SIZE, RST
from tests.support.check_byte_stream import read_exactly
from tests.support.pairs import session_pair, tls_pair
from tests.tunnel.pair import eventually

PROCESS = 1 << 20
HEADER = struct.Struct(">BBHII")
WHOLE, RESET, OPEN = b"all of it", b"until the reset", b"half of"


@dataclass
class Expected:
    """What the first bytes of a recording say of one stream."""

    data: bytes = b""
    ended: bool = False


@functools.cache
def recorded(client: bool) -> bytes:
    """What the visitor's session (`client`) or the host's sends in the story below."""
    sent = {True: bytearray(), False: bytearray()}

    def listening(session: Session, whose: bool) -> None:
        take = session.plaintext_received

        def received(data: memoryview) -> None:
            sent[whose] += data
            take(data)

        session.plaintext_received = received  # type: ignore[method-assign]
        session.tls.part()  # C would not ask for it

    async def story() -> None:
        async with session_pair() as (visitor, host, opened):
            listening(visitor, False)
            listening(host, True)
            pipes = []
            for payload in (WHOLE, RESET, OPEN):
                ours = visitor.open_stream()
                await ours.send(payload)
                theirs = await opened.get()
                await theirs.send(payload)
                assert await read_exactly(theirs, len(payload)) == await read_exactly(ours, len(payload)) == payload
                pipes.append((ours, theirs))
            for pipe in pipes[0]:
                await pipe.send_eof()
            visitor.go_away()
            host.go_away()
            pipes[1][0 if client else 1].abort()
            await eventually(lambda: visitor.open_streams == host.open_streams == 1, "the reset arrived")

    asyncio.run(story())
    return bytes(sent[client])


def frames(data: bytes) -> Iterator[tuple[int, tuple[int, int, int, int, int]]]:
    """Where each frame starts, and its header."""
    start = 0
    while start + HEADER_SIZE <= len(data):
        header = HEADER.unpack_from(data, start)
        yield start, header
        start += HEADER_SIZE + (header[4] if header[1] == DATA else 0)


def expected(data: bytes) -> dict[int, Expected]:
    """By the plainest reading of the specification."""
    streams: dict[int, Expected] = {}
    for start, (_, kind, flags, stream, length) in frames(data):
        if stream:
            state = streams.setdefault(stream, Expected())
            payload = data[start + HEADER_SIZE : start + HEADER_SIZE + length] if kind == DATA else b""
            state.data += payload
            state.ended |= bool(flags & FIN) and not (kind == DATA and len(payload) < length)
            assert not (flags & RST and state.ended)
    return streams


async def read(stream: Stream) -> Expected:
    """What a stream gives before it ends or is lost."""
    state = Expected()
    try:
        while data := await stream.receive():
            state.data += data
        state.ended = True
    except ConnectionLost:
        pass
    return state


async def cut_session(client: bool, data: bytes, ending: str, limits: SessionLimits) -> None:
    """The session of the side that is *not* `client` is sent `data`, and then nothing more."""
    async with tls_pair() as (visitor, host):
        peer, tls = (visitor, host) if client else (host, visitor)
        streams: dict[int, Stream] = {}

        def accept(stream: Stream) -> None:
            streams[stream.number] = stream

        session = Session(tls, limits, client=not client, accept=accept if client else None)
        session.start()
        if not client:
            streams = {stream.number: stream for stream in (session.open_stream() for _ in range(3))}
        await peer.send(data)
        if ending == "goodbye":
            await peer.send_eof()
        else:
            peer._transport_or_fail().close()
        await session.closed
        assert isinstance(session.failure, ConnectionLost)
        wanted = expected(data)
        assert streams.keys() == wanted.keys() | (set() if client else {1, 3, 5})
        for number, stream in streams.items():
            assert (number, await read(stream)) == (number, wanted.get(number, Expected()))
        assert not session._streams
        assert session.open_streams == 0
        assert limits.process.take(PROCESS - INITIAL_WINDOW), "credit that nobody gave back"
        await session.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}


def limits(ping: float = 15.0) -> SessionLimits:
    return SessionLimits(process=WindowBudget(PROCESS), ping_interval=ping, ping_timeout=ping)


@pytest.mark.parametrize("ending", ["goodbye", "its end"])
@pytest.mark.parametrize("client", [True, False], ids=["frames of a visitor", "frames of a host"])
def test_every_stream_gets_what_came_before_the_cut_and_learns_of_it(client, ending):
    async def story() -> None:
        for cut in range(len(recorded(client)) + 1):
            try:
                async with asyncio.timeout(100):
                    await cut_session(client, recorded(client)[:cut], ending, limits())
            except BaseException as failure:
                failure.add_note(f"cut behind byte {cut} of {recorded(client).hex(' ')}")
                raise

    recorded(client)
    asyncio.run(story())


@pytest.mark.parametrize("client", [True, False], ids=["frames of a visitor", "frames of a host"])
def test_a_peer_that_falls_silent_at_any_byte_is_given_up(client):
    """Many cuts at once: each takes the time of a ping that nobody answers."""

    async def silent(cut: int) -> None:
        async with tls_pair() as (visitor, host):
            peer, tls = (visitor, host) if client else (host, visitor)
            session = Session(tls, limits(0.3), client=not client, accept=(lambda stream: None) if client else None)
            session.start()
            if not client:
                for _ in range(3):
                    session.open_stream()
            if cut:
                await peer.send(recorded(client)[:cut])
            await session.closed
            assert "does not answer" in str(session.failure)
            assert session.open_streams == 0

    async def story() -> None:
        async with asyncio.timeout(100), asyncio.TaskGroup() as group:
            for cut in range(0, len(recorded(client)) + 1, 5):
                group.create_task(silent(cut))
        assert asyncio.all_tasks() == {asyncio.current_task()}

    recorded(client)
    asyncio.run(story())


def test_the_recordings_have_everything_in_them():
    for client in (True, False):
        headers = [header for _, header in frames(recorded(client))]
        streams = expected(recorded(client))
        assert {kind for _, kind, *_ in headers} == {0, 1, 2, 3}
        assert any(flags & RST for _, _, flags, *_ in headers)
        assert {number: (state.data, state.ended) for number, state in streams.items()} == {
            1: (WHOLE, True),
            3: (RESET, False),
            5: (OPEN, False),
        }
