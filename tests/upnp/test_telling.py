"""Telling at once, and not all the time."""

from __future__ import annotations

import asyncio
import time

from hardline.upnp.telling import Teller


def test_the_first_few_are_told_at_once_and_a_flood_once_in_a_while():
    said: list[float] = []

    async def work() -> None:
        teller = Teller(lambda: said.append(time.monotonic()), burst=3, within=0.4)
        began = time.monotonic()
        for _ in range(3):
            teller.tell()
        assert len(said) == 3
        while time.monotonic() < began + 1.0:
            teller.tell()
            await asyncio.sleep(0.001)
        teller.close()

    asyncio.run(work())
    assert all(later - sooner >= 0.39 for sooner, later in zip(said, said[3:], strict=False))
    assert 3 < len(said) <= 9


def test_the_last_change_of_a_flood_is_told_in_the_end():
    async def work() -> None:
        told = asyncio.Event()
        state = 0

        def say() -> None:
            if state == 5:
                told.set()

        teller = Teller(say, burst=2, within=0.2)
        for state in range(6):  # noqa: B007  `say` looks at it
            teller.tell()
        assert not told.is_set()
        async with asyncio.timeout(100):
            await told.wait()

    asyncio.run(work())


def test_after_the_end_nothing_is_told():
    async def work() -> None:
        said: list[str] = []
        done = asyncio.Event()
        closed = Teller(lambda: said.append("closed"), burst=1, within=0.05)

        def say_other() -> None:
            said.append("other")
            if len(said) == 3:
                done.set()

        other = Teller(say_other, burst=1, within=0.05)
        for teller in (closed, closed, other, other):
            teller.tell()
        closed.close()
        closed.close()
        async with asyncio.timeout(100):
            await done.wait()
        assert said == ["closed", "other", "other"]

    asyncio.run(work())
