"""A world for each test, and which of the tests run by default.

Worlds are slow: without HARDLINE_TEST_FULL=1 (`make test-all`) those marked `slow` are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reach.world import World
from tests.support.size import FULL

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [item for item in items if item.path.parent == _HERE and item.get_closest_marker("slow")]
    if not FULL and left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        yield made
