"""Every kind of pipe keeps the same promises, on both event loops."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.check_byte_stream import CHECKS, HALF_CLOSE, Check
from tests.support.pairs import KINDS

uvloop = pytest.importorskip("uvloop")

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_pipe(kind: str, check: Check, loop: str) -> None:
    if kind == "hardline/1" and check in HALF_CLOSE:
        return  # it has no half-close: tests/session/test_legacy.py

    async def story() -> None:
        async with asyncio.timeout(100), KINDS[kind]() as (one, other):
            await check(one, other)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(story())
