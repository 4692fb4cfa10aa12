"""Waiting for a condition instead of for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from tests.support.beats import beats

Value = TypeVar("Value")


PATIENCE = 3.0  # times as long as it takes where nobody else is


def wait_until(condition: Callable[[], Value | None], what: str, timeout: float = 20.0, every: float = 0.02) -> Value:
    """Call `condition` until it returns something true, and return that.

    `timeout` is how long it takes at most on a quiet machine, in seconds.  AssertionError after PATIENCE times as long
    by a clock that goes slower where everybody waits (beats.py).
    """
    deadline = beats() + PATIENCE * timeout
    while not (value := condition()):
        if beats() > deadline:
            raise AssertionError(f"waited {PATIENCE * timeout:g} s, and still not: {what}")
        time.sleep(every)
    return value
