"""When another try begins: three at once, then ever later, and never too many in an hour."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.tunnel.rounds import BUSY, MOST_AN_HOUR, TRIES, Rounds

pytestmark = pytest.mark.pure


def lose(rounds: Rounds, now: float) -> float:
    """A whole round that comes to nothing, four seconds each try; returns when it has ended."""
    for _ in range(TRIES):
        assert rounds.takes(now)
        now += 4
        rounds.lost(now)
    return now


def test_three_at_once_then_after_1_5_and_15_minutes_then_every_hour() -> None:
    rounds, now, begins = Rounds(), 0.0, []
    for _ in range(6):
        now = max(now, rounds.at)
        begins.append(now)
        now = lose(rounds, now)
    pauses = [round(later - sooner) for sooner, later in itertools.pairwise(begins)]
    assert pauses == [60 + 12, 300 + 12, 900 + 12, 3600 + 12, 3600 + 12]


def test_a_change_of_network_begins_a_round_and_the_pauses_anew() -> None:
    rounds = Rounds()
    now = lose(rounds, lose(rounds, 0.0))
    rounds.network_changed(now + 100)
    assert rounds.at == now + 100
    now = lose(rounds, now + 100)
    assert rounds.at == now + 60


def test_where_there_was_no_room_nothing_is_lost() -> None:
    rounds = Rounds()
    rounds.busy(10.0)
    assert rounds.at == 10.0 + BUSY
    assert lose(rounds, 10.0 + BUSY) + 60 == rounds.at


def test_a_path_that_came_about_is_looked_for_anew_when_it_is_gone() -> None:
    rounds = Rounds()
    rounds.takes(0.0)
    rounds.lost(4.0)
    assert rounds.takes(4.0)
    rounds.won()
    assert lose(rounds, 100.0) + 60 == rounds.at


@given(st.lists(st.tuples(st.floats(0, 600), st.sampled_from(["new", "moved", "won", "lost", "busy"])), max_size=200))
def test_never_more_rounds_in_an_hour_than_said(steps: list[tuple[float, str]]) -> None:
    """Of which nothing came, however often sessions are new and networks change."""
    rounds, now, begun, fresh = Rounds(), 0.0, [], True
    for wait, what in steps:
        now += wait
        match what:
            case "new":
                if rounds.takes(now) and fresh:
                    begun.append(now)
                    fresh = False
            case "moved":
                rounds.network_changed(now)
                fresh = True
            case "won":
                rounds.won()
                if begun:
                    begun.pop()
                fresh = True
            case "lost":
                before = rounds.at
                rounds.lost(now)
                fresh = fresh or (rounds.at != now and rounds.at != before)
            case "busy":
                rounds.busy(now)
    for at in begun:
        assert sum(at <= other < at + 3600 for other in begun) <= MOST_AN_HOUR
