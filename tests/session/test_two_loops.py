"""Sessions of two loops in one process, at the same time: none gets a byte of the other's."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import threading
from collections.abc import Callable

import pytest

from hardline.errors import ConnectionLost, HardlineError
from hardline.session.joint import Joint
from hardline.session.session import Session
from hardline.session.stream import Stream
from hardline.tasks import TaskSet
from hardline.transport import native
from hardline.transport.buffers import Buffers
from hardline.transport.tcp import TcpStream
from tests.support.pairs import identity, session_pair, tcp_pair
from tests.support.size import FULL

uvloop = pytest.importorskip("uvloop")

SIZE = 1 << 30 if FULL else 48 << 20  # bytes, each way
PIECE = 1 << 18


async def sends(stream: Stream, seed: int) -> bytes:
    """SIZE bytes of nobody else's, then the end.  Their digest."""
    digest, block = hashlib.sha256(), random.Random(seed).randbytes(PIECE)
    for number in range(SIZE // PIECE):
        piece = number.to_bytes(8, "big") + block[8:]
        digest.update(piece)
        await stream.send(piece)
    await stream.send_eof()
    return digest.digest()


async def takes(stream: Stream) -> bytes:
    digest = hashlib.sha256()
    while data := await stream.receive():
        digest.update(data)
    return digest.digest()


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_two_loops_in_two_threads_mix_no_bytes(factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    arrived: dict[int, bool] = {}
    buffers: list[Buffers] = []
    both_run = threading.Barrier(2, timeout=60)
    identity()  # one for both threads

    def loop_of_its_own(seed: int) -> None:
        async def story() -> None:
            async with session_pair() as (visitor, _, opened):
                buffers.append(Buffers.of_this_loop())
                await asyncio.to_thread(both_run.wait)
                ours = visitor.open_stream()
                await ours.send(b"x")
                theirs = await opened.get()
                assert await theirs.receive() == b"x"
                up, down, got_up, got_down = await asyncio.gather(
                    sends(ours, seed), sends(theirs, seed + 1), takes(theirs), takes(ours)
                )
                arrived[seed] = (got_up, got_down) == (up, down)

        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(story())

    threads = [threading.Thread(target=loop_of_its_own, args=(seed,)) for seed in (10, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert arrived == {10: True, 20: True}
    assert buffers[0] is not buffers[1]


ROUNDS = 60 if FULL else 2
MARK = 16  # bytes: whose they are, and where in it


def marked(whose: int, count: int) -> bytes:
    return b"".join(whose.to_bytes(8, "big") + index.to_bytes(8, "big") for index in range(count // MARK))


async def says(end: TcpStream, data: bytes, chance: random.Random) -> None:
    """`data`, in pieces of any size; somebody may cut it."""
    with contextlib.suppress(HardlineError):
        at = 0
        while at < len(data):
            size = chance.choice([MARK, 1000, 70_000, 400_000])
            await end.send(data[at : at + size])
            at += size
        await end.send_eof()


async def hears(end: TcpStream, wanted: bytes, chance: random.Random) -> int:
    """AssertionError when what comes is not the beginning of `wanted`.  How much that was."""
    at = 0
    with contextlib.suppress(HardlineError):
        while data := await end.receive(chance.choice([7, 5000, 1 << 18])):
            assert data == wanted[at : at + len(data)], f"foreign bytes at {at}"
            at += len(data)
            if not chance.randrange(20):
                await asyncio.sleep(0)
    return at


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_sockets_of_many_sessions_that_are_cut_get_no_foreign_bytes(
    factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """Joined at both ends, in two loops of two threads; some are cut in the middle, with bytes on their way."""
    arrived, failures, linked = list[int](), list[BaseException](), list[bool]()
    identity()  # one for both threads

    async def pipe(visitor: Session, host: Session, opened: asyncio.Queue[Stream], whose: int) -> None:
        chance, tasks = random.Random(whose), TaskSet("pipe")
        async with contextlib.aclosing(tasks), tcp_pair() as (browser, door), tcp_pair() as (caller, service):
            try:
                joints = [Joint(visitor.open_stream(), door)]
            except ConnectionLost:
                return
            theirs = tasks.start(opened.get(), "opened")  # in the order in which they were opened
            up, down = (marked(whose + side, chance.choice([MARK, 20_000, 1_000_000])) for side in (0, 1))
            ends = [
                tasks.start(one, "end")
                for one in (
                    *(says(browser, up, chance), hears(browser, down, chance)),
                    *(says(service, down, chance), hears(service, up, chance)),
                )
            ]
            await asyncio.wait([theirs, host.closed, visitor.closed], return_when=asyncio.FIRST_COMPLETED)
            if theirs.done():
                joints.append(Joint(theirs.result(), caller))
            else:
                theirs.cancel()
                caller.abort()
            if native.best_engine is native.NativeEngine:
                linked.extend(joint.linked for joint in joints)
            if chance.random() < 0.4:
                await asyncio.sleep(chance.choice([0, 0.001, 0.02]))
                cuts = [lambda one=one: one.abort(ConnectionLost("cut")) for one in joints]
                chance.choice([*cuts, browser.abort, service.abort])()
            _, got_down, _, got_up = await asyncio.gather(*ends)
            arrived.append(got_down + got_up)
            for joint in joints:
                joint.abort(ConnectionLost("the test is over"))

    async def session(seed: int) -> None:
        chance = random.Random(seed)
        async with session_pair() as (visitor, host, opened):
            pipes = asyncio.gather(*(pipe(visitor, host, opened, (seed << 20) + 2 * number) for number in range(4)))
            if chance.random() < 0.3:
                await asyncio.sleep(0.03)
                chance.choice([visitor, host]).abort(ConnectionLost("cut"))
            await pipes

    def loop_of_its_own(seed: int) -> None:
        async def story() -> None:
            for number in range(ROUNDS):
                async with asyncio.timeout(60):
                    await asyncio.gather(*(session(seed + 10 * number + one) for one in range(3)))

        try:
            with asyncio.Runner(loop_factory=factory) as runner:
                runner.run(story())
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=loop_of_its_own, args=(seed,)) for seed in (1000, 2000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert sum(arrived) > 1_000_000
    assert any(linked) or native.best_engine is not native.NativeEngine
