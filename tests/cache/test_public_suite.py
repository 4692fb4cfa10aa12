"""The public suite "cache-tests", through the proxy: every case that a cache is required to pass, and most others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cache import suite
from tests.support import needs

pytestmark = [needs.tools("node", "npm"), pytest.mark.interop, pytest.mark.slow]

FULL = os.environ.get("HARDLINE_TEST_FULL") == "1"

# The suite wants an answer that sets a cookie to be given to others with that cookie.
REFUSED = {"headers-store-Set-Cookie"}


@pytest.fixture(scope="module")
def package() -> Path:
    found = suite.installed()
    if found is None:
        needs.cannot("the suite: npm does not get it")
    return found


def judge(cases: list[suite.Case], optimal: int) -> None:
    assert suite.failed(cases, "required").keys() == REFUSED
    counts = suite.counts(cases)
    assert (counts.required, counts.required_of, counts.optimal_of) == (149, 150, 98)
    assert counts.optimal >= optimal, suite.failed(cases, "optimal")


# Where nothing is fresh that does not say so, as the suite wants caches to be set; then with what is set by default.
DEFAULT, WEEK = 0.0, 7 * 86_400.0


@pytest.mark.parametrize(("max_age", "optimal"), [(DEFAULT, 77), (WEEK, 86)] if FULL else [(DEFAULT, 77)])
def test_the_suite_passes_through_a_tunnel(package: Path, tmp_path: Path, max_age: float, optimal: int) -> None:
    judge(suite.through_a_tunnel(package, tmp_path, max_age), optimal)


@pytest.mark.parametrize("max_age", [DEFAULT] if FULL else [])
def test_the_suite_passes_without_a_tunnel(package: Path, max_age: float) -> None:
    judge(suite.through_a_plain_proxy(package, max_age), 77)
