"""When another try begins: three at once, then ever later, and never too many in an hour."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.tunnel.rounds import MOST_AN_HOUR, TRIES, Rounds

pytestmark = pytest.mark.pure


def test_three_at_once_then_after_1_5_and_15_minutes_then_every_hour() -> None:
    rounds, now, begins = Rounds(0.0), 0.0, []
    for _ in range(6):
        begins.append(rounds.at)
        for _ in range(TRIES):
            now = max(now, rounds.at) + 4
            rounds.lost(now)
    pauses = [round(later - sooner) for sooner, later in itertools.pairwise(begins)]
    assert pauses == [60 + 12, 300 + 12, 900 + 12, 3600 + 12, 3600 + 12]


def test_a_change_of_network_begins_a_round_and_the_pauses_anew() -> None:
    rounds = Rounds(0.0)
    for _ in range(2 * TRIES):
        rounds.lost(100.0)
    rounds.network_changed(200.0)
    assert rounds.at == 200.0
    for _ in range(TRIES):
        rounds.lost(210.0)
    assert rounds.at == 270.0


@given(st.lists(st.tuples(st.floats(0, 600), st.booleans()), max_size=60))
def test_never_more_rounds_in_an_hour_than_said(steps: list[tuple[float, bool]]) -> None:
    rounds, now, begun = Rounds(0.0), 0.0, [0.0]
    for wait, moved in steps:
        now += wait
        if moved:
            rounds.network_changed(now)
        elif now >= rounds.at:
            for _ in range(TRIES):
                rounds.lost(now)
        if rounds.at != begun[-1]:
            if begun[-1] > now:
                begun.pop()  # it had not begun
            begun.append(rounds.at)
    for at in begun:
        assert sum(at <= other < at + 3600 for other in begun) <= MOST_AN_HOUR
