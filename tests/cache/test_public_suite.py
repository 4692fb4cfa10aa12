"""The public suite "cache-tests", through the proxy: every case that a cache is required to pass, and most others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cache import suite
from tests.support import needs
from tests.support.size import FULL

pytestmark = [needs.tools("node", "npm"), pytest.mark.interop, pytest.mark.slow]


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


# Where nothing is fresh that does not say so, as the suite wants caches to be set; and what is set by default.
TOLD, WEEK = 0.0, 7 * 86_400.0
ALL = [("tunnel", TOLD, 77), ("tunnel", WEEK, 78), ("proxy", TOLD, 77)]


@pytest.mark.parametrize(("way", "max_age", "optimal"), ALL if FULL else ALL[:1])
def test_the_suite_passes(package: Path, tmp_path: Path, way: str, max_age: float, optimal: int) -> None:
    if way == "tunnel":
        judge(suite.through_a_tunnel(package, tmp_path, max_age), optimal)
    else:
        judge(suite.through_a_plain_proxy(package, max_age), optimal)
