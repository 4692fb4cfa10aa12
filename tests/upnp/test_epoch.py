"""A router's clock that falls behind: it was restarted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.upnp.epoch import Epoch

pytestmark = pytest.mark.pure


def seen(*answers: tuple[int, float]) -> list[bool]:
    epoch = Epoch()
    return [epoch.restarted(*answer) for answer in answers]


def test_the_first_answer_says_nothing():
    assert seen((5_000, 100.0)) == [False]


def test_a_clock_that_goes_on_is_no_restart():
    assert seen((0, 0.0), (60, 60.0), (119, 120.0), (86_400, 86_400.0)) == [False] * 4


def test_a_clock_that_goes_back_is_a_restart_once():
    assert seen((500, 0.0), (3, 10.0), (13, 20.0)) == [False, True, False]


def test_a_restart_is_seen_though_the_clock_is_greater_than_before():
    assert seen((10, 0.0), (40, 100.0)) == [False, True]


def test_a_clock_that_jumps_ahead_belongs_to_another_router():
    assert seen((10, 0.0), (9_000, 10.0)) == [False, True]


@given(start=st.integers(0, 2**31), gaps=st.lists(st.floats(0.1, 1000), max_size=20), drift=st.floats(0.95, 1.05))
def test_a_clock_that_drifts_a_little_is_never_a_restart(start: int, gaps: list[float], drift: float):
    epoch, now = Epoch(), 0.0
    for gap in gaps:
        now += gap
        assert not epoch.restarted(int(start + now * drift), now)
