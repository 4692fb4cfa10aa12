"""Waits for a place at a service, with futures of a real event loop and events in an exact order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from hardline.errors import ServiceFailed
from hardline.tunnel.places import Place, Places

pytestmark = pytest.mark.pure

_LONG = 1000.0
_OVER = 0.0  # the wait ends in the next turn of the event loop


def run(story: Callable[[Places], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(60):
            await story(Places(1))

    asyncio.run(whole())


async def visit(place: Place, seconds: float) -> None:
    """What a stream does, as far as places go."""
    try:
        await place.wait(seconds)
    finally:
        place.leave()


def start(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(work)


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def _leave_when_its_wait_is_over(holder: Place, waiting: Place) -> None:
    """In the very turn in which the wait of `waiting` has ended, and its task has not heard of it."""
    while waiting._turn is None or not waiting._turn.cancelled():
        await asyncio.sleep(0)
    assert not waiting.come
    holder.leave()
    assert waiting.come, "the place went to whom nobody needs it for any more"


@pytest.mark.parametrize("ends", ["its time is over", "its task is cancelled"])
def test_a_place_that_comes_as_its_wait_ends_goes_to_the_next(ends):
    async def story(places: Places) -> None:
        holder = places.take("a", "he")
        late, patient = places.take("b", "she"), places.take("c", "it")
        after = start(patient.wait(_LONG))
        wait = start(visit(late, _LONG if ends == "its task is cancelled" else _OVER))
        if ends == "its task is cancelled":
            await turns(1)
            wait.cancel()
        await _leave_when_its_wait_is_over(holder, late)
        with pytest.raises(asyncio.CancelledError if ends == "its task is cancelled" else ServiceFailed):
            await wait
        await after
        assert patient.come
        patient.leave()
        assert places.take("d", "he").come

    run(story)


def test_a_place_that_comes_as_somebody_stops_waiting_is_left_again():
    async def story(places: Places) -> None:
        holder, gone, patient = places.take("a", "he"), places.take("b", "she"), places.take("c", "it")
        wait = start(visit(gone, _LONG))
        await turns(1)
        gone.stop_waiting()
        holder.leave()
        assert gone.come
        await wait
        assert patient.come

    run(story)


def test_who_stops_waiting_is_passed_over_once_it_has_heard():
    async def story(places: Places) -> None:
        holder, gone, patient = places.take("a", "he"), places.take("b", "she"), places.take("c", "it")
        wait = start(visit(gone, _LONG))
        await turns(1)
        gone.stop_waiting()
        await wait
        holder.leave()
        assert not gone.come
        assert patient.come

    run(story)


def test_who_waits_too_long_is_told_why():
    async def story(places: Places) -> None:
        places.take("a", "he")
        with pytest.raises(ServiceFailed, match="all connections"):
            await visit(places.take("b", "she"), _OVER)

    run(story)
