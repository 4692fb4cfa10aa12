"""Frames that serve nothing, and those that do."""

from __future__ import annotations

import pytest

from hardline.session.conduct import PINGS, SPARE, Conduct

pytestmark = pytest.mark.pure


def test_a_flood_of_frames_without_data_is_wrong_however_long_it_takes_its_time():
    conduct = Conduct(0.0)
    assert not conduct.judge(1.0, pings=0, empty=SPARE, full=0, moved=12 * SPARE)
    assert "frames without payload" in conduct.judge(10.0, pings=0, empty=2 * SPARE, full=0, moved=24 * SPARE)


def test_pings_are_judged_by_the_second():
    conduct = Conduct(0.0)
    assert not conduct.judge(1.5, pings=PINGS + 1, empty=PINGS + 1, full=0, moved=0)
    assert conduct.pings_due > PINGS + 1
    assert "pings a second" in conduct.judge(1.9, pings=3 * PINGS, empty=3 * PINGS, full=0, moved=0)


@pytest.mark.parametrize(
    ("what", "seconds", "empty", "full", "moved"),
    [
        ("a week of pings, one a second", 604_800, 604_800, 0, 604_800 * 24),
        ("a download of a terabyte, credit for every 128 KiB", 3600, 1 << 23, 10, 1 << 40),
        (
            "a million requests, each on a stream of its own: opened, credited, ended, reset",
            60,
            4_000_000,
            1_000_000,
            0,
        ),
        ("a thousand browser tabs that are closed at once", 1, 4000, 1000, 1_000_000),
    ],
)
def test_honest_use_is_not(what, seconds, empty, full, moved):
    assert not Conduct(0.0).judge(seconds, pings=0, empty=empty, full=full, moved=moved), what
