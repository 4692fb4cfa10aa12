"""What tests of everything below may ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.costs import times_as_long


@pytest.fixture
def processor_time() -> Callable[[Callable[[Any], object], Any, Any], float]:
    """processor_time(function, short, long): how many times as long `function` works on `long` as on `short`."""
    return times_as_long
