"""Memory that was needed for a moment goes back to the system.

Slow readers make a node hold megabytes for a while.  When they are gone the C library keeps the pages, since some small
thing lies in each of the larger stretches; asked for it, it gives back those that are empty.

Things that hold each other stay until the interpreter looks for them, which it does more rarely the more there is: so
what is there from the start is taken out of its sight, and it is made to look.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
from collections.abc import Callable
from pathlib import Path

EVERY = 5.0  # seconds
STEP = 4 << 20  # bytes of growth that are worth the milliseconds

_STATM = Path("/proc/self/statm")


async def keep_small(
    resident: Callable[[], int | None] | None = None, give_back: Callable[[], None] | None = None, every: float = EVERY
) -> None:
    """Look every so often, and give back what is free when the process has grown; until cancelled."""
    resident, give_back = resident or _resident, give_back or _give_back
    modules_loaded()
    smallest = resident()
    while smallest is not None:
        await asyncio.sleep(every)
        if (now := resident()) is not None and now > smallest + STEP:
            give_back()
            now = resident()
            smallest = now
        elif now is not None:
            smallest = min(smallest, now)


def modules_loaded() -> None:
    """What is there now is there to stay: take it out of sight (looking through aiohttp takes 10 ms each time)."""
    gc.collect()
    gc.freeze()


def _resident() -> int | None:
    """Bytes in memory; None where the system does not tell."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
    except (OSError, ValueError, IndexError):
        return None


def _give_back() -> None:
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # glibc's; others return pages by themselves or never
