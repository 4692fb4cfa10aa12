"""One timer for many: each is told in its time, and nobody who was taken out."""

from __future__ import annotations

import asyncio

import pytest

from hardline.deadlines import Deadlines, Limit
from tests.support import clock


def test_each_is_told_once_in_its_time_and_in_the_order_of_their_coming():
    async def story() -> None:
        loop, told = asyncio.get_running_loop(), list[tuple[str, float]]()
        began = loop.time()
        deadlines = Deadlines[str](10.0, lambda one: told.append((one, loop.time() - began)))
        for one in ("first", "second", "taken out"):
            deadlines.add(one)
            await asyncio.sleep(1)
        assert deadlines.discard("taken out") == began + 12
        assert deadlines.discard("taken out") is None
        deadlines.add("first")
        assert len(deadlines) == 2
        await asyncio.sleep(30)
        assert told == [("second", 11.0), ("first", 13.0)]
        assert not deadlines

    clock.run(story)


def test_one_that_is_told_may_take_out_others_and_come_again():
    async def story() -> None:
        loop, told = asyncio.get_running_loop(), list[tuple[str, float]]()
        began = loop.time()

        def expired(one: str) -> None:
            told.append((one, loop.time() - began))
            if one == "first":
                deadlines.discard("second")
                if len(told) < 3:
                    deadlines.add("first")

        deadlines = Deadlines[str](5.0, expired)
        deadlines.add("first")
        deadlines.add("second")
        await asyncio.sleep(60)
        assert told == [("first", 5.0), ("first", 10.0), ("first", 15.0)]

    clock.run(story)


def test_without_a_time_nobody_is_told_and_closed_neither():
    async def story() -> None:
        told = list[str]()
        never = Deadlines[str](None, told.append)
        never.add("one")
        assert never.discard("one") is None
        closed = Deadlines[str](1.0, told.append)
        closed.add("one")
        assert closed.close() == ["one"]
        await asyncio.sleep(60)
        assert not told
        closed.add("two")
        await asyncio.sleep(2)
        assert told == ["two"]

    clock.run(story)


def test_a_limit_ends_what_takes_too_long_and_nothing_else():
    async def story() -> None:
        loop, limit = asyncio.get_running_loop(), Limit()
        began = loop.time()
        for _ in range(3):
            with limit(10):
                await asyncio.sleep(9)
        await asyncio.sleep(50)  # outside it takes what it takes
        assert loop.time() - began == 77
        with pytest.raises(TimeoutError), limit(10):
            await asyncio.sleep(11)
        assert loop.time() - began == 87

        async def shorter() -> None:
            with limit(100):
                limit.at_most(5)
                limit.at_most(50)
                await asyncio.sleep(11)

        with pytest.raises(TimeoutError):
            await shorter()
        assert loop.time() - began == 92
        with limit(1):
            await asyncio.sleep(0.5)
        limit.close()
        await asyncio.sleep(100)

    clock.run(story)


def test_a_task_that_is_cancelled_within_a_limit_is_cancelled():
    async def story() -> None:
        async def wait() -> None:
            with Limit()(100):
                await asyncio.sleep(50)

        task = asyncio.get_running_loop().create_task(wait())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    clock.run(story)
