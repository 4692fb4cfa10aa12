"""When the next certificate is got."""

from __future__ import annotations

import pytest

from hardline.https.renewal import LONGEST_PAUSE, pause_after, renew_at

pytestmark = pytest.mark.pure

DAY = 86_400.0


def test_it_is_renewed_at_two_thirds_of_its_life_or_when_its_authority_wants_it_earlier() -> None:
    begins, ends = 1000.0, 1000.0 + 90 * DAY
    assert renew_at(begins, ends, None) == begins + 60 * DAY
    assert renew_at(begins, ends, begins + 20 * DAY) == begins + 20 * DAY
    assert renew_at(begins, ends, begins + 80 * DAY) == begins + 60 * DAY


def test_an_authority_cannot_make_a_host_ask_again_and_again() -> None:
    assert renew_at(0.0, 90 * DAY, -1e9) == DAY
    assert renew_at(0.0, 30.0, -1e9) == 20.0


def test_who_is_refused_comes_back_ever_later() -> None:
    pauses = [pause_after(failures) for failures in range(1, 12)]
    assert pauses[:4] == [60.0, 180.0, 540.0, 1620.0]
    assert pauses == sorted(pauses)
    assert pauses[-1] == pause_after(10**9) == LONGEST_PAUSE
