"""A router that is asked in vain: it is given up in time, and the event loop waits for nothing meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

import pytest

from hardline.upnp.grants import Broken, Silent
from tests.support.beats import beats


async def fails_in_time(asked: Coroutine[Any, Any, object], limit: float) -> None:
    """It fails within `limit` seconds."""
    longest = 0.0

    async def beat() -> None:
        nonlocal longest
        while True:
            began = beats()
            await asyncio.sleep(0.01)
            longest = max(longest, beats() - began)

    heart = asyncio.get_running_loop().create_task(beat())
    began = beats()
    with pytest.raises((Broken, Silent)):
        await asked
    took = beats() - began
    heart.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await heart
    assert took < limit
    assert longest < 1
