"""Sessions of two loops in one process, at the same time: none gets a byte of the other's."""

from __future__ import annotations

import asyncio
import hashlib
import random
import threading
from collections.abc import Callable

import pytest

from hardline.session.stream import Stream
from hardline.transport.buffers import Buffers
from tests.support.pairs import session_pair
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
