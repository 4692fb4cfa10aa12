"""Telling at once, and not all the time."""

from __future__ import annotations

import asyncio

from hardline.upnp.telling import Teller
from tests.support.clock import run, settled, since


def now() -> float:
    return asyncio.get_running_loop().time()


def test_the_first_few_are_told_at_once_and_a_flood_once_in_a_while():
    said: list[float] = []

    async def work() -> None:
        began = now()
        teller = Teller(lambda: said.append(since(began)), burst=3, within=12.0)
        for _ in range(4):
            teller.tell()
        assert said == [0, 0, 0]
        await asyncio.sleep(0.5)
        while since(began) < 26:
            teller.tell()
            await asyncio.sleep(1)
        teller.close()

    run(work)
    assert said == [0, 0, 0, 12, 12.5, 13.5, 24, 24.5, 25.5]


def test_the_last_change_of_a_flood_is_told_in_the_end():
    async def work() -> None:
        told: list[tuple[int, float]] = []
        began = now()
        teller = Teller(lambda: told.append((state, since(began))), burst=2, within=12.0)
        for state in range(6):  # noqa: B007  what is told looks at it
            teller.tell()
        await asyncio.sleep(100)
        assert told == [(0, 0), (1, 0), (5, 12)]

    run(work)


def test_after_the_end_nothing_is_told():
    async def work() -> None:
        said: list[str] = []
        closed = Teller(lambda: said.append("closed"), burst=1, within=12.0)
        other = Teller(lambda: said.append("other"), burst=1, within=12.0)
        for teller in (closed, closed, other, other):
            teller.tell()
        closed.close()
        closed.close()
        await asyncio.sleep(12)
        await settled()
        assert said == ["closed", "other", "other"]

    run(work)
