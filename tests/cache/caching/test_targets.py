"""What is remembered of targets: the last word about each, and of so many at most."""

from __future__ import annotations

import pytest

from hardline.cache.caching.targets import MOST, PerTarget

pytestmark = pytest.mark.pure


def test_what_was_said_last_of_a_target_is_remembered_of_that_one():
    known = PerTarget()
    known.put("/a", 1)
    known.put("/a", 2)
    known.put("/\udcff", 3)
    assert (known.get("/a", 0), known.get("/\udcff", 0), known.get("/b", 0)) == (2, 3, 0)


def test_the_target_of_which_nobody_spoke_for_the_longest_time_is_forgotten():
    known = PerTarget()
    for number in range(MOST):
        known.put(f"/{number}", number)
    known.put("/0", 0)
    known.put("/another", 7)
    assert (known.get("/0", -1), known.get("/1", -1), known.get("/2", -1)) == (0, -1, 2)
