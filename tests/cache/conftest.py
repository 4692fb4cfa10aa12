"""What tests of everything below may ask for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

_ENOUGH = 0.002  # seconds of processor time, for a figure that means something
_ROUNDS = 5

ProcessorTime = Callable[[Callable[[Any], object], Any, Any], float]


@pytest.fixture
def processor_time() -> ProcessorTime:
    """processor_time(function, short, long): how many times as long `function` works on `long` as on `short`."""

    def once(function: Callable[[Any], object], given: Any, times: int) -> float:
        began = time.thread_time()
        for _ in range(times):
            function(given)
        return (time.thread_time() - began) / times

    def ratio(function: Callable[[Any], object], short: Any, long: Any) -> float:
        times = 1
        while once(function, short, times) * times < _ENOUGH and times < 10_000:
            times *= 4
        quick = min(once(function, short, times) for _ in range(_ROUNDS))
        return min(once(function, long, max(times // 32, 1)) for _ in range(_ROUNDS)) / quick

    return ratio
