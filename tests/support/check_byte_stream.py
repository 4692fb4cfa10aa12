"""What every pipe in the program promises (hardline/streams.py), as checks that any kind of pipe must pass.

`CHECKS` are coroutine functions of (one end, other end); tests/transport/test_byte_streams.py runs each of them on
each kind of pipe.  A kind that cannot half-close (hardline/1) passes `CHECKS` without `HALF_CLOSE`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
from collections.abc import Awaitable, Callable

import pytest

from hardline.errors import ConnectionLost
from hardline.streams import ByteStream

Check = Callable[[ByteStream, ByteStream], Awaitable[None]]

BIG = 3_000_000
# What may be on its way when nobody reads: our own queues, and both kernels' socket buffers.
IN_FLIGHT_LIMIT = 40_000_000


async def read_all(pipe: ByteStream) -> bytes:
    """Everything up to the end."""
    pieces = []
    while piece := await pipe.receive():
        pieces.append(piece)
    return b"".join(pieces)


async def read_exactly(pipe: ByteStream, count: int) -> bytes:
    """`count` bytes, however they come."""
    data = bytearray()
    while len(data) < count:
        piece = await pipe.receive(count - len(data))
        assert piece, f"ended after {len(data)} of {count} bytes"
        data += piece
    return bytes(data)


async def what_is_sent_arrives_in_order(one: ByteStream, other: ByteStream) -> None:
    for word in (b"first ", b"second ", b"third"):
        await one.send(word)
    assert await read_exactly(other, 18) == b"first second third"


async def both_directions_work_at_once(one: ByteStream, other: ByteStream) -> None:
    rng = random.Random(1)
    there, back = rng.randbytes(BIG), rng.randbytes(BIG)

    async def talk(pipe: ByteStream, text: bytes) -> None:
        for start in range(0, len(text), 70_001):
            await pipe.send(text[start : start + 70_001])

    _, _, got_there, got_back = await asyncio.gather(
        talk(one, there), talk(other, back), read_exactly(other, BIG), read_exactly(one, BIG)
    )
    assert hashlib.sha256(got_there).digest() == hashlib.sha256(there).digest()
    assert hashlib.sha256(got_back).digest() == hashlib.sha256(back).digest()


async def receive_returns_at_most_what_was_asked(one: ByteStream, other: ByteStream) -> None:
    await one.send(b"abcdefgh")
    sizes = []
    while sum(sizes) < 8:
        sizes.append(len(await other.receive(3)))
    assert max(sizes) <= 3
    assert min(sizes) >= 1


async def a_cancelled_receive_loses_nothing(one: ByteStream, other: ByteStream) -> None:
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await other.receive()
    await one.send(b"still here")
    assert await read_exactly(other, 10) == b"still here"


async def sending_nothing_is_nothing(one: ByteStream, other: ByteStream) -> None:
    await one.send(b"")
    await one.send(b"x")
    assert await other.receive() == b"x"


async def a_sender_waits_for_a_reader_that_does_not_read(one: ByteStream, other: ByteStream) -> None:
    sent = 0

    async def keep_sending() -> None:
        nonlocal sent
        while True:
            await one.send(bytes(65_536))
            sent += 65_536

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(keep_sending(), 1.0)
    assert sent < IN_FLIGHT_LIMIT
    received = 0
    while received < sent:
        received += len(await other.receive())


async def closing_is_seen_by_the_other_end_and_may_be_done_twice(one: ByteStream, other: ByteStream) -> None:
    await one.send(b"x")
    await read_exactly(other, 1)
    await one.aclose()
    await one.aclose()
    async with asyncio.timeout(100):
        with contextlib.suppress(ConnectionLost):
            assert await other.receive() == b""


async def after_closing_nothing_can_be_sent(one: ByteStream, other: ByteStream) -> None:
    await one.aclose()
    with pytest.raises(ConnectionLost):
        await one.send(b"x")


async def a_reader_that_waits_is_woken_by_closing(one: ByteStream, other: ByteStream) -> None:
    waiting = asyncio.get_running_loop().create_task(one.receive())
    await asyncio.sleep(0.01)
    await one.aclose()
    async with asyncio.timeout(100):
        with contextlib.suppress(ConnectionLost):
            assert await waiting == b""


async def one_direction_ends_and_the_other_goes_on(one: ByteStream, other: ByteStream) -> None:
    await one.send(b"question")
    await one.send_eof()
    await one.send_eof()
    assert await read_all(other) == b"question"
    assert await other.receive() == b""
    await other.send(b"answer")
    assert await read_exactly(one, 6) == b"answer"
    await other.send_eof()
    assert await one.receive() == b""


async def after_the_end_nothing_can_be_sent(one: ByteStream, other: ByteStream) -> None:
    await one.send_eof()
    with pytest.raises(ConnectionLost):
        await one.send(b"x")


async def the_end_comes_after_everything_that_was_sent(one: ByteStream, other: ByteStream) -> None:
    text = random.Random(2).randbytes(BIG)

    async def talk() -> None:
        await one.send(text)
        await one.send_eof()

    _, got = await asyncio.gather(talk(), read_all(other))
    assert hashlib.sha256(got).digest() == hashlib.sha256(text).digest()


HALF_CLOSE: tuple[Check, ...] = (
    one_direction_ends_and_the_other_goes_on,
    after_the_end_nothing_can_be_sent,
    the_end_comes_after_everything_that_was_sent,
)
CHECKS: tuple[Check, ...] = (
    what_is_sent_arrives_in_order,
    both_directions_work_at_once,
    receive_returns_at_most_what_was_asked,
    a_cancelled_receive_loses_nothing,
    sending_nothing_is_nothing,
    a_sender_waits_for_a_reader_that_does_not_read,
    closing_is_seen_by_the_other_end_and_may_be_done_twice,
    after_closing_nothing_can_be_sent,
    a_reader_that_waits_is_woken_by_closing,
    *HALF_CLOSE,
)
