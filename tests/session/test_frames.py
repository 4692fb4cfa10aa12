"""One budget of frames a turn for all sessions, and turns for all sources.

Sessions here are real, over TLS; who floods has written a whole read of frames before anybody looks at it.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator

import pytest

from hardline.session import yamux
from hardline.session.frames import AT_ONCE, BUDGET, IN_TURN, FrameTurns
from hardline.session.session import Session, SessionLimits
from hardline.session.stream import Stream
from hardline.transport.contexts import client_context
from hardline.transport.sources import Source
from hardline.transport.tls import TlsStream
from tests.support import clock
from tests.support.pairs import host_context, tcp_pair
from tests.support.size import FULL

SESSIONS = [1, 50, 300] if FULL else [1, 20]
FRAMES = 2000  # that each of them sends
A_TURN = 2 * BUDGET  # as they come, and those that waited


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(300):
            await story()

    asyncio.run(whole())


def frame(kind: int, flags: int, stream: int, length: int, payload: bytes = b"") -> bytes:
    return struct.pack(">BBHII", 0, kind, flags, stream, length) + payload


def flood(kind: str) -> bytes:
    """What a session sends; its stream 1 is open."""
    streams = range(3, 3 + 2 * FRAMES, 2)
    opened = frame(yamux.WINDOW, yamux.SYN, 1, 0)
    match kind:
        case "pongs":
            return opened + frame(yamux.PING, yamux.ACK, 0, 1) * FRAMES
        case "updates":
            return opened + frame(yamux.WINDOW, 0, 1, 1) * FRAMES
        case "empty data":
            return opened + frame(yamux.DATA, 0, 1, 0) * FRAMES
        case "one byte each":
            return opened + frame(yamux.DATA, 0, 1, 1, b"x") * FRAMES
        case "farewells":
            return opened + frame(yamux.GOAWAY, 0, 0, 0) * FRAMES
        case "for a stream that is gone":
            return opened + frame(yamux.WINDOW, yamux.RST, 1, 0) + frame(yamux.WINDOW, 0, 1, 1) * FRAMES
        case "opened and reset":
            reset = (frame(yamux.WINDOW, flags, stream, 0) for stream in streams for flags in (yamux.SYN, yamux.RST))
            return opened + b"".join(reset)[: 12 * FRAMES]
        case _:
            raise AssertionError(kind)


KINDS = [
    "pongs",
    "updates",
    "empty data",
    "one byte each",
    "farewells",
    "for a stream that is gone",
    "opened and reset",
]


class Looked:
    """How many frames were looked at in each turn of the event loop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.turn = 0
        self.in_turn: Counter[int] = Counter()
        whole = yamux.Yamux.receive

        def receive(machine: yamux.Yamux, data: memoryview, most: int = 1 << 30) -> Iterator[yamux.Event]:
            before = len(data)
            yield from whole(machine, data, most)
            self.in_turn[self.turn] += (before - machine.unread) // 13  # at least

        monkeypatch.setattr(yamux.Yamux, "receive", receive)

    async def count_turns(self) -> None:
        while True:
            self.turn += 1
            await asyncio.sleep(0)


async def peers(
    stack: contextlib.AsyncExitStack, accept: Callable[[Stream], None], source: str | None = None
) -> tuple[TlsStream, Session]:
    """A peer that writes what it likes, and the host's session with it."""
    one, other = await stack.enter_async_context(tcp_pair())
    client, server = await asyncio.gather(
        TlsStream.over(one, client_context(), "any"), TlsStream.over(other, host_context())
    )
    host = Session(
        server, SessionLimits(), client=False, accept=accept, source=Source(source) if source is not None else None
    )
    host.start()
    stack.push_async_callback(host.aclose)
    stack.callback(client.abort)
    return client, host


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sessions", SESSIONS)
def test_in_one_turn_so_many_frames_are_looked_at_however_many_sessions_bring_them(monkeypatch, kind, sessions):
    async def story() -> None:
        async with contextlib.AsyncExitStack() as stack:
            pairs = [await peers(stack, lambda stream: None) for _ in range(sessions)]
            looked = Looked(monkeypatch)
            counting = asyncio.get_running_loop().create_task(looked.count_turns())
            await asyncio.gather(*(client.send(flood(kind)) for client, _ in pairs))
            while any(host._yamux.frames < FRAMES for _, host in pairs):
                await asyncio.sleep(0.01)
            counting.cancel()
            assert max(looked.in_turn.values()) <= A_TURN
            assert not any(host.closed.done() for _, host in pairs)

    run(story)


@pytest.mark.parametrize("sources", ["one", "many"])
def test_who_sends_a_little_is_heard_in_the_same_turn_while_hundreds_flood(sources):
    """Counted in frames of others that are looked at meanwhile."""

    async def story() -> None:
        async with contextlib.AsyncExitStack() as stack:
            number = 60
            flooders = [
                await peers(stack, lambda stream: None, "greedy" if sources == "one" else f"greedy {one}")
                for one in range(number)
            ]
            modest, host = await peers(stack, lambda stream: None, "modest")
            await asyncio.gather(*(client.send(flood("updates")) for client, _ in flooders))

            def theirs() -> int:
                return sum(session._yamux.frames for _, session in flooders)

            while theirs() < 2 * BUDGET:
                await asyncio.sleep(0)
            assert any(session._unread is not None for _, session in flooders)
            worst = 0
            for _ in range(20):
                before, heard = theirs(), host._yamux.frames
                await modest.send(frame(yamux.PING, yamux.SYN, 0, 1))
                while host._yamux.frames == heard:
                    await asyncio.sleep(0)
                worst = max(worst, theirs() - before)
            assert theirs() < number * FRAMES, "they were flooding all the time"
            assert worst <= 4 * A_TURN

    run(story)


class Flooder:
    """Somebody who always has more frames; `served` are the names in order."""

    def __init__(self, turns: FrameTurns, source: str, name: str, frames: int, served: list[str]) -> None:
        self._turns, self._source, self._name, self._left, self._served = turns, source, name, frames, served

    def work(self, most: int) -> int:
        count = min(most, self._left)
        self._left -= count
        self._served.append(self._name)
        if self._left:
            self._turns.wait(self._source, self.work, again=True)
        return count


def test_sources_take_turns_and_then_their_sessions():
    async def story() -> None:
        turns, served = FrameTurns.of_this_loop(), []
        for name in ("a1", "a2", "a3", "b1"):
            turns.wait(name[0], Flooder(turns, name[0], name, 3 * IN_TURN, served).work)
        while turns.waiting:
            await asyncio.sleep(0)
        assert served[:6:2] == ["a3", "a2", "a1"]
        assert served[1:6:2] == ["b1", "b1", "b1"]

    run(story)


def test_a_session_that_comes_anew_goes_before_those_of_its_source_that_had_a_turn():
    async def story() -> None:
        turns, served = FrameTurns.of_this_loop(), []
        for number in range(100):
            turns.wait("a", Flooder(turns, "a", f"old {number}", 1000, served).work)
        await asyncio.sleep(0)
        turns.wait("a", Flooder(turns, "a", "new", IN_TURN, served).work)
        before = len(served)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert served[before] == "new"

    run(story)


def test_what_comes_is_looked_at_at_once_unless_others_of_the_source_wait_or_the_turn_is_used_up():
    async def story() -> None:
        turns = FrameTurns.of_this_loop()
        assert turns.allowed("a") == AT_ONCE
        turns.wait("a", lambda most: 1)
        assert turns.allowed("a") == 0
        assert turns.allowed("b") == AT_ONCE
        turns.looked(BUDGET)
        assert turns.allowed("b") == 0
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert turns.allowed("a") == turns.allowed("b") == AT_ONCE

    run(story)


def test_one_that_fails_stops_nobody_else():
    async def story() -> None:
        turns, served = FrameTurns.of_this_loop(), []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)

        def fails(most: int) -> int:
            raise RuntimeError("broken")

        turns.wait("a", fails)
        turns.wait("b", Flooder(turns, "b", "b", 1, served).work)
        while turns.waiting:
            await asyncio.sleep(0)
        assert served == ["b"]

    run(story)


def test_frames_without_data_end_the_session_and_its_streams_are_cut():
    async def story() -> None:
        opened: list[Stream] = []
        async with contextlib.AsyncExitStack() as stack:
            client, host = await peers(stack, opened.append)
            with contextlib.suppress(Exception):
                for _ in range(10):
                    await client.send(flood("updates")[0 if not opened else 12 :])
                    await clock.settled()
            await host.closed
            assert "frames without payload" in str(host.failure)
            assert all(stream.gone for stream in opened)

    clock.run(story)
