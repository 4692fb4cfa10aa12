"""Memory that was needed for a moment goes back to the system."""

from __future__ import annotations

import asyncio
import subprocess
import sys

from hardline.memory import STEP, keep_small
from tests.support import needs


def trims(sizes: list[int]) -> list[int]:
    """After which looks at the process, of these sizes, something was given back."""
    looks, trimmed = 0, []

    def resident() -> int | None:
        nonlocal looks
        looks += 1
        return sizes[looks - 1] if looks <= len(sizes) else None

    async def story() -> None:
        task = asyncio.get_running_loop().create_task(keep_small(resident, lambda: trimmed.append(looks), every=0.001))
        while looks <= len(sizes):
            await asyncio.sleep(0.001)
        task.cancel()

    asyncio.run(story())
    return trimmed


def test_only_growth_that_is_worth_it_is_given_back():
    base = 40 << 20
    assert trims([base, base + STEP, base + STEP // 2]) == []
    assert trims([base, base + STEP + 1, base + 1, base + STEP]) == [2]


def test_what_cannot_be_given_back_is_not_asked_for_again_and_again():
    base = 40 << 20
    assert trims([base, base + 2 * STEP, base + 2 * STEP, base + 2 * STEP, base + 2 * STEP]) == [2]


_HOARDER = """
import asyncio, hardline.memory as memory

async def main():
    tidying = asyncio.get_running_loop().create_task(memory.keep_small(every=0.05))
    await asyncio.sleep(0.01)
    before = memory._resident()
    held, pins = [], []
    for _ in range(3000):
        held.append(bytes(20_000))
        pins.append(bytes(600))
    grown = memory._resident() - before
    held.clear()
    for _ in range(200):
        if memory._resident() - before < grown / 3:
            break
        await asyncio.sleep(0.05)
    print(grown >> 20, (memory._resident() - before) >> 20)

asyncio.run(main())
"""


@needs.linux()
def test_what_lies_between_small_things_is_given_back():
    out = subprocess.run(
        [sys.executable, "-c", _HOARDER], capture_output=True, text=True, check=True, timeout=30
    ).stdout
    grown, left = map(int, out.split())
    assert grown > 50
    assert left < grown / 3
