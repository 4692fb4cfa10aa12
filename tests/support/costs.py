"""What something costs in processor time of this thread, so that nobody else's work counts, and in proportion.

times_as_long(function, short, long)     how many times as long it works on `long` as on `short`
slowness()                               how much slower this machine is than the one whose seconds tests speak of
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from typing import TypeVar

Given = TypeVar("Given")

_ENOUGH = 0.002  # seconds, for a figure that means something
_ROUNDS = 5
TURNS_PER_SECOND = 11_000_000  # of an empty loop of Python, on the machine whose seconds tests speak of


def spent(function: Callable[[Given], object], given: Given, times: int = 1) -> float:
    """Seconds for one call, of so many."""
    began = time.thread_time()
    for _ in range(times):
        function(given)
    return (time.thread_time() - began) / times


def times_as_long(function: Callable[[Given], object], short: Given, long: Given) -> float:
    """The quickest of some rounds each."""
    times = 1
    while spent(function, short, times) * times < _ENOUGH and times < 10_000:
        times *= 4
    quick = min(spent(function, short, times) for _ in range(_ROUNDS))
    return min(spent(function, long, max(times // 32, 1)) for _ in range(_ROUNDS)) / quick


@functools.cache
def slowness() -> float:
    """How many times longer this machine takes than one of TURNS_PER_SECOND: at least 1."""
    best = math.inf
    for _ in range(5):
        began = time.thread_time()
        for _ in range(TURNS_PER_SECOND // 50):
            pass
        best = min(best, 50 * (time.thread_time() - began))
    return max(best, 1.0)
