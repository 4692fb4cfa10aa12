"""How something ended, for everybody who asks."""

from __future__ import annotations

import asyncio
import traceback

import pytest

from hardline.errors import ConnectionLost
from hardline.outcome import Outcome
from tests.support import clock


def test_all_who_wait_hear_the_first_word_and_each_failure_is_one_of_its_own():
    async def story() -> None:
        outcome = Outcome()
        waiting = [asyncio.get_running_loop().create_task(_heard(outcome)) for _ in range(2)]
        await clock.settled()
        kept = ConnectionLost("cut")
        outcome.settle(kept)
        outcome.settle()
        first, second = await asyncio.gather(*waiting)
        third = await _heard(outcome)
        assert [str(one) for one in (first, second, third)] == ["cut"] * 3
        assert len({id(one) for one in (kept, first, second, third)}) == 4
        assert kept.__traceback__ is None
        assert len(traceback.extract_tb(third.__traceback__)) == len(traceback.extract_tb(first.__traceback__))

    clock.run(story)


def test_in_order_is_no_failure():
    async def story() -> None:
        outcome = Outcome()
        assert not outcome.done()
        outcome.settle()
        assert outcome.done()
        await outcome
        await outcome

    clock.run(story)


def test_who_stops_waiting_stops_nobody_else():
    async def story() -> None:
        outcome = Outcome()
        waiting = asyncio.get_running_loop().create_task(_heard(outcome))
        await clock.settled()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not outcome.done()
        assert not await outcome.within(10)
        outcome.settle()
        assert await outcome.within(10)
        await outcome

    clock.run(story)


def test_a_failure_that_nobody_asks_for_is_no_trouble(caplog):
    async def story() -> None:
        Outcome().settle(ConnectionLost("nobody asks"))

    clock.run(story)
    assert not caplog.records


def test_who_needs_no_task_to_wait_is_told_once_before_or_after():
    async def story() -> None:
        told = list[Exception | None]()
        outcome = Outcome()
        outcome.then(told.append)
        assert not told
        kept = ConnectionLost("cut")
        outcome.settle(kept)
        outcome.settle()
        assert [str(one) for one in told] == ["cut"]
        assert told[0] is not kept
        outcome.then(told.append)
        assert [str(one) for one in told] == ["cut", "cut"]
        in_order = Outcome()
        in_order.settle()
        in_order.then(told.append)
        assert told[2] is None

    clock.run(story)


async def _heard(outcome: Outcome) -> Exception:
    with pytest.raises(ConnectionLost) as caught:
        await outcome
    return caught.value
