"""A laboratory for all tests of a file that only change its routers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.punch.lab import Lab


@pytest.fixture(scope="module")
def homes() -> Iterator[Lab]:
    """Two homes; who uses it says what kind its routers are."""
    with Lab() as lab:
        yield lab
