"""The public suite "cache-tests", through the proxy: every case that a cache is required to pass, and most others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cache import suite
from tests.support import needs

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
    assert suite.passed(cases, "required") >= 148
    assert suite.passed(cases, "optimal") >= optimal, suite.failed(cases, "optimal")


def test_the_suite_passes_where_nothing_is_fresh_that_does_not_say_so(package: Path) -> None:
    judge(suite.through_a_plain_proxy(package, 0.0), 75)


def test_the_suite_passes_through_a_tunnel_with_the_lifetime_that_is_set_by_default(
    package: Path, tmp_path: Path
) -> None:
    judge(suite.through_a_tunnel(package, tmp_path, 7 * 86_400.0), 84)
