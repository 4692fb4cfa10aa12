"""Waiting for a condition instead of for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


def wait_until(condition: Callable[[], Value | None], what: str, timeout: float = 10.0, every: float = 0.02) -> Value:
    """Call `condition` until it returns something true, and return that.  AssertionError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:g} s, and still not: {what}")
        time.sleep(every)
    return value
