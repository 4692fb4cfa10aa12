"""Who goes by addresses: what it waits for, and how long until it tries again what it could not use."""

from __future__ import annotations

import asyncio

import pytest

from hardline.discovery import following
from hardline.discovery.following import AGAIN, Following
from hardline.discovery.interfaces import InterfaceAddress

LO = InterfaceAddress("lo", 1, "127.0.0.1", 8)
ETH = InterfaceAddress("eth0", 2, "192.0.2.7", 24)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """How long each wait would have been; none of them lasts."""
    asked: list[float | None] = []

    def timeout(pause: float | None) -> asyncio.Timeout:
        asked.append(pause)
        return real(None if pause is None else 0)

    real = asyncio.timeout
    monkeypatch.setattr(following.asyncio, "timeout", timeout)
    return asked


def test_it_goes_by_those_among_the_addresses_that_it_is_bound_to() -> None:
    bound, free = Following(["192.0.2.7"]), Following()
    for one in (bound, free):
        one.told(frozenset({LO, ETH}))
    assert bound.take() == {ETH}
    assert free.take() == {LO, ETH}


def test_what_is_left_is_tried_again_with_longer_and_longer_pauses_and_news_begin_anew(
    pauses: list[float | None],
) -> None:
    async def story() -> None:
        one = Following()
        for _ in range(len(AGAIN) + 2):
            await one.wait(left=True)
        one.told(frozenset({LO}))
        await one.wait(left=True)
        assert one.take() == {LO}
        await one.wait(left=True)

    asyncio.run(story())
    assert pauses == [*AGAIN, AGAIN[-1], AGAIN[-1], AGAIN[-1], AGAIN[0]]


def test_where_nothing_is_left_it_waits_for_news_alone(pauses: list[float | None]) -> None:
    async def story() -> None:
        one = Following()
        one.told(frozenset({LO}))
        assert one.take() == {LO}
        waiting = asyncio.get_running_loop().create_task(one.wait(left=False))
        await asyncio.sleep(0.02)
        assert not waiting.done(), "what was taken is no news"
        one.nudge()
        await waiting

    asyncio.run(story())
    assert pauses == [None]


def test_news_that_come_while_nobody_waits_end_the_next_wait() -> None:
    async def story() -> None:
        one = Following()
        one.take()
        one.nudge()
        await one.wait(left=False)

    asyncio.run(story())
