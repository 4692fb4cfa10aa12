"""The order and the times of attempts, on a clock that is only a number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.routes import Candidate, Endpoint, Via
from hardline.tunnel.race import MAX_CANDIDATES, MAX_OF_ONE_FINDER, Race

pytestmark = pytest.mark.pure


def candidate(number: int, via: Via = Via.REMEMBERED, finder: str = "test") -> Candidate:
    return Candidate(Endpoint(f"10.0.0.{number}", 7008), via, finder)


def test_the_first_candidate_is_tried_at_once():
    race = Race(0.25)
    race.found(candidate(1))
    assert race.start(now=0.0) == candidate(1)
    assert race.start(now=0.0) is None


def test_the_next_one_waits_for_the_stagger_and_not_longer():
    race = Race(0.25)
    race.found(candidate(1))
    race.found(candidate(2))
    race.start(now=0.0)
    assert race.start(now=0.2499) is None
    assert race.wake_at == 0.25
    assert race.start(now=0.25) == candidate(2)


def test_the_next_one_starts_at_once_when_one_failed():
    race = Race(0.25)
    race.found(candidate(1))
    race.found(candidate(2))
    first = race.start(now=0.0)
    assert first is not None
    race.ended(first)
    assert race.start(now=0.01) == candidate(2)


def test_a_better_kind_of_path_does_not_wait_for_a_worse_one():
    race = Race(0.25)
    race.found(candidate(1, Via.REMEMBERED))
    race.start(now=0.0)
    race.found(candidate(2, Via.LAN))
    assert race.start(now=0.003) == candidate(2, Via.LAN)


def test_a_worse_kind_of_path_waits_even_when_it_was_found_first():
    race = Race(0.25)
    race.found(candidate(1, Via.RELAY))
    race.found(candidate(2, Via.DIRECT))
    race.found(candidate(3, Via.LAN))
    started = [race.start(now=0.25 * turn) for turn in range(3)]
    assert [one.via for one in started if one] == [Via.LAN, Via.DIRECT, Via.RELAY]


def test_the_same_candidate_is_tried_once():
    race = Race(0.25)
    race.found(candidate(1))
    first = race.start(now=0.0)
    assert first is not None
    race.ended(first)
    race.found(candidate(1))
    assert race.start(now=1.0) is None
    assert race.idle


def test_the_same_endpoint_under_another_server_name_is_another_candidate():
    race = Race(0.25)
    plain = Candidate(Endpoint("10.0.0.1", 7008), Via.LAN, "test", plain=True)
    race.found(candidate(1, Via.LAN))
    race.found(plain)
    assert {race.start(now=0.0), race.start(now=1.0)} == {candidate(1, Via.LAN), plain}


def all_started(race: Race) -> list[Candidate]:
    started: list[Candidate] = []
    while (one := race.start(now=float(len(started)))) is not None:
        started.append(one)
    return started


def test_a_flood_of_candidates_is_cut():
    race = Race(0.0)
    for number in range(200):
        race.found(candidate(number, finder=f"finder {number % 3}"))
    assert len(all_started(race)) == MAX_CANDIDATES


def test_a_flood_from_one_finder_keeps_nobody_else_out():
    race = Race(0.0)
    for number in range(200):
        race.found(candidate(number, Via.LAN, "the LAN"))
    race.found(candidate(250, Via.REMEMBERED, "memory"))
    started = all_started(race)
    assert len(started) == MAX_OF_ONE_FINDER + 1
    assert [one.found_by for one in started[:3]] == ["the LAN", "the LAN", "memory"]


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from(Via), st.booleans()), max_size=60))
def test_every_candidate_starts_once_and_the_race_always_comes_to_its_end(events):
    race, now = Race(0.25), 0.0
    started: list[Candidate] = []
    for number, via, fails in events:
        race.found(candidate(number, via))
        if (one := race.start(now)) is not None:
            started.append(one)
        if fails and race.running:
            race.ended(race.running[0])
        now += 0.01
    for _ in range(4 * MAX_CANDIDATES):
        now = max(now, race.wake_at or now)
        if (one := race.start(now)) is not None:
            started.append(one)
        elif race.running:
            race.ended(race.running[0])
    assert race.idle
    assert len(started) == len(set(started)) <= MAX_CANDIDATES
