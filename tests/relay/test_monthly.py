"""What a relay has passed in a month: kept over restarts, begun anew with the month, and an end to it."""

from __future__ import annotations

import asyncio
import calendar
from pathlib import Path

import pytest

from hardline.relay.monthly import Monthly
from hardline.tasks import TaskSet
from tests.support.clock import run

TASKS = TaskSet("test")
NOVEMBER = calendar.timegm((2026, 11, 29, 0, 0, 0))
DECEMBER = calendar.timegm((2026, 12, 1, 0, 0, 1))


class Counter:
    """A relay that passes what it is told."""

    def __init__(self, file: Path, limit: int = 0) -> None:
        self.volume, self.now = 0, float(NOVEMBER)
        self.told: list[bool] = []
        self.monthly = Monthly(file, limit, lambda: self.volume, self.told.append, lambda: self.now)

    async def for_seconds(self, seconds: float, volume: int) -> None:
        """It passes so many bytes, and runs for so long."""
        running = TASKS.start(self.monthly.run(), "count")
        await asyncio.sleep(0.5)
        self.volume += volume
        await asyncio.sleep(seconds)
        running.cancel()
        await asyncio.wait([running])


def test_it_counts_on_after_a_restart(tmp_path: Path) -> None:
    async def story() -> None:
        file = tmp_path / "month"
        for number in (1, 2, 3):
            counter = Counter(file)
            await counter.for_seconds(2, 1000)
            assert counter.monthly.passed == 1000 * number

    run(story)


def test_a_month_that_ends_is_forgotten(tmp_path: Path) -> None:
    async def story() -> None:
        counter = Counter(tmp_path / "month", 1500)
        running = TASKS.start(counter.monthly.run(), "count")
        await asyncio.sleep(0.5)
        counter.volume = 2000
        await asyncio.sleep(2)
        assert counter.told == [True]
        counter.now = float(DECEMBER)
        await asyncio.sleep(2)
        assert (counter.told, counter.monthly.passed) == ([True, False], 0)
        running.cancel()
        await asyncio.wait([running])
        late = Counter(tmp_path / "month")
        await late.for_seconds(1, 0)
        assert late.monthly.passed == 0, "December's file says nothing of November"

    run(story)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"month":"2026-11","passed":-1}', '{"month":"2026-11","passed":"x"}'])
def test_a_file_that_says_nothing_is_none(tmp_path: Path, text: str) -> None:
    async def story() -> None:
        (tmp_path / "month").write_text(text)
        counter = Counter(tmp_path / "month")
        await counter.for_seconds(2, 7)
        assert counter.monthly.passed == 7
        again = Counter(tmp_path / "month")
        await again.for_seconds(1, 0)
        assert again.monthly.passed == 7

    run(story)


def test_a_disk_that_takes_nothing_stops_nobody(tmp_path: Path) -> None:
    async def story() -> None:
        counter = Counter(tmp_path / "missing" / "month", 100)
        await counter.for_seconds(70, 200)
        assert counter.told == [True]

    run(story)
