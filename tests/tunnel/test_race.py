"""The order and the times of attempts, on a clock that is only a number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.routes import Candidate, Endpoint, FoundBy, PathKind, Plain, Trust
from hardline.tunnel.race import MAX_ATTEMPTS, MAX_CANDIDATES, MAX_OF_ONE_FINDER, Race

pytestmark = pytest.mark.pure


def candidate(number: int, kind: PathKind = PathKind.DIRECT, finder: str = "test") -> Candidate:
    trust = Trust.HEARD if kind is PathKind.LAN else Trust.SIGNED
    return Candidate(Endpoint(f"10.0.0.{number}", 7008), kind, FoundBy(finder, trust))


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
    race.found(candidate(1, PathKind.DIRECT))
    race.start(now=0.0)
    race.found(candidate(2, PathKind.LAN))
    assert race.start(now=0.003) == candidate(2, PathKind.LAN)


def test_a_worse_kind_of_path_waits_even_when_it_was_found_first():
    race = Race(0.25)
    race.found(candidate(1, PathKind.RELAYED))
    race.found(candidate(2, PathKind.DIRECT))
    race.found(candidate(3, PathKind.LAN))
    started = [race.start(now=0.25 * turn) for turn in range(3)]
    assert [one.kind for one in started if one] == [PathKind.LAN, PathKind.DIRECT, PathKind.RELAYED]


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
    plain = Candidate(Endpoint("10.0.0.1", 7008), PathKind.LAN, FoundBy("test", Trust.HEARD), Plain())
    race.found(candidate(1, PathKind.LAN))
    race.found(plain)
    assert {race.start(now=0.0), race.start(now=1.0)} == {candidate(1, PathKind.LAN), plain}


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
        race.found(candidate(number, PathKind.LAN, "the LAN"))
    race.found(candidate(250, PathKind.DIRECT, "memory"))
    started = all_started(race)
    assert len(started) == MAX_OF_ONE_FINDER + 1
    assert [one.found_by.name for one in started[:3]] == ["the LAN", "the LAN", "memory"]


def lie(number: int, port: int = 7008, finder: str = "LAN") -> Candidate:
    """What somebody says in the name of another address."""
    return Candidate(Endpoint(f"10.0.{number >> 8}.{number & 255}", port), PathKind.LAN, FoundBy(finder, Trust.HEARD))


def true(number: int = 1, finder: str = "LAN") -> Candidate:
    return Candidate(Endpoint(f"192.168.1.{number}", 7008), PathKind.LAN, FoundBy(finder, Trust.ANSWERED))


@pytest.mark.parametrize("count", [1, 12, 16, 300])
def test_who_answered_is_tried_at_once_whoever_claimed_it_before_by_whichever_finder(count):
    race = Race(0.25)
    for number in range(count):
        race.found(lie(number, finder=("LAN", "DNS-SD")[number % 2]))
    for turn in range(4):
        race.start(now=0.25 * turn)
    race.found(true())
    assert race.start(now=0.76) == true()


def test_hundreds_of_lies_do_not_keep_out_a_host_that_did_not_answer():
    """Those who are not there give back their places."""
    race, now, tries = Race(0.25), 0.0, 0
    for number in range(300):
        race.found(lie(number))
    last = Candidate(Endpoint("192.168.1.1", 7008), PathKind.LAN, FoundBy("DNS-SD", Trust.HEARD))
    race.found(last)
    while (one := race.start(now)) != last:
        tries += 1
        now += 0.25
        assert one is None or one.found_by.name == "LAN"
    assert tries <= 2


def test_a_place_is_given_back_by_who_fails():
    race = Race(0.0)
    for number in range(MAX_OF_ONE_FINDER):
        race.found(lie(number))
    refused = race.start(now=0.0)
    assert refused is not None
    race.found(lie(100))
    race.ended(refused)
    race.found(lie(101))
    started = [one.endpoint for one in all_started(race)]
    assert lie(100).endpoint not in started
    assert lie(101).endpoint in started


def test_one_address_has_one_attempt_until_every_other_one_had_one():
    race = Race(0.0)
    for port in range(4):
        race.found(lie(1, 7000 + port))
    for number in (2, 3):
        race.found(lie(number))
    hosts = [one.endpoint.host for one in all_started(race)]
    assert hosts == [lie(number).endpoint.host for number in (1, 2, 3, 1, 1, 1)]


def test_an_address_with_several_places_gives_one_to_an_address_that_has_none():
    race = Race(0.0)
    for port in range(MAX_OF_ONE_FINDER):
        race.found(lie(1, 7000 + port))
    race.found(lie(2))
    assert lie(2) in all_started(race)[:2]


def test_what_is_remembered_is_preferred_among_what_the_lan_says():
    race = Race(0.25)
    for number in range(8):
        race.found(lie(number))
    race.found(Candidate(lie(7).endpoint, PathKind.DIRECT, FoundBy("memory", Trust.WORKED)))
    assert race.start(now=0.0) == lie(7)


def test_what_answers_while_it_waits_goes_to_the_head():
    race = Race(0.25)
    for number in range(8):
        race.found(lie(number))
    answered = Candidate(lie(7).endpoint, PathKind.LAN, FoundBy("LAN", Trust.ANSWERED))
    race.found(answered)
    assert race.start(now=0.0) == answered
    assert answered.endpoint not in {one.endpoint for one in all_started(race)}


def remembered(number: int, kind: PathKind) -> Candidate:
    return Candidate(Endpoint(f"10.0.0.{number}", 7008), kind, FoundBy("memory", Trust.WORKED))


def test_a_path_is_judged_by_what_it_is_and_not_by_who_knows_it():
    """A relay that worked once does not come before a direct path for ever."""
    race = Race(0.25)
    race.found(remembered(1, PathKind.RELAYED))
    race.found(candidate(2, PathKind.DIRECT))
    race.found(remembered(3, PathKind.LAN))
    started = [race.start(now=0.25 * turn) for turn in range(3)]
    assert [one.kind for one in started if one] == [PathKind.LAN, PathKind.DIRECT, PathKind.RELAYED]


def test_where_a_host_is_now_comes_before_where_it_was():
    race = Race(0.25)
    race.found(remembered(1, PathKind.LAN))
    race.start(now=0.0)
    race.found(candidate(2, PathKind.LAN))
    assert race.start(now=0.003) == candidate(2, PathKind.LAN)


@pytest.mark.parametrize("runs", [True, False])
def test_whichever_finder_is_faster_the_path_has_its_best_kind(runs):
    race = Race(0.25)
    direct, near = candidate(1, PathKind.DIRECT), candidate(1, PathKind.LAN)
    race.found(direct)
    if runs:
        assert race.start(now=0.0) == direct
    race.found(near)
    if not runs:
        assert race.start(now=0.0) == near
    assert race.best_known(direct) == near
    assert all_started(race) == []


def test_a_relay_is_tried_a_stagger_after_the_first_however_many_direct_addresses_there_are():
    """Dead addresses are black holes: with four of them the relay would wait a second."""
    race = Race(0.25)
    for number in range(4):
        race.found(candidate(number, PathKind.DIRECT))
    race.found(candidate(9, PathKind.RELAYED))
    assert race.start(now=0.0) == candidate(0)
    assert race.start(now=0.2) is None
    assert race.wake_at == 0.25
    assert {race.start(now=0.25), race.start(now=0.25)} == {candidate(1), candidate(9, PathKind.RELAYED)}
    assert race.start(now=0.5) == candidate(2)


def test_with_nothing_direct_known_a_relay_is_tried_at_once():
    race = Race(0.25)
    race.found(candidate(9, PathKind.RELAYED))
    assert race.start(now=0.0) == candidate(9, PathKind.RELAYED)
    race.found(candidate(1, PathKind.DIRECT))
    assert race.start(now=0.01) == candidate(1)


def test_when_all_that_is_direct_has_failed_a_relay_waits_no_longer():
    race = Race(0.25)
    race.found(candidate(1))
    race.found(candidate(9, PathKind.RELAYED))
    first = race.start(now=0.0)
    assert first == candidate(1)
    assert race.start(now=0.01) is None
    race.ended(first)
    assert race.start(now=0.02) == candidate(9, PathKind.RELAYED)


def test_after_the_first_that_won_the_race_goes_on_among_better_kinds():
    race = Race(0.25)
    relayed, direct, near = (candidate(kind, PathKind(kind)) for kind in (3, 1, 0))
    worse = candidate(8, PathKind.RELAYED)
    for one in (relayed, worse):
        race.found(one)
        assert race.start(now=float(one is worse)) == one
    race.found(direct)
    assert race.start(now=1.0) == direct
    assert race.won(relayed) == [worse]
    assert race.running == (direct,)
    race.found(candidate(7, PathKind.RELAYED))
    assert race.start(now=2.0) is None
    assert race.won(direct) == []
    race.found(candidate(6, PathKind.DIRECT))
    assert race.idle
    race.found(near)
    assert race.start(now=3.0) == near
    race.won(near)
    assert race.idle


def test_a_race_for_something_better_than_there_is_begins_with_that():
    race = Race(0.25, better_than=PathKind.RELAYED)
    race.found(candidate(1, PathKind.RELAYED))
    assert race.idle
    race.found(candidate(2, PathKind.DIRECT))
    assert race.start(now=0.0) == candidate(2)


@pytest.mark.parametrize("trust", [Trust.ANSWERED, Trust.HEARD])
def test_a_visit_ends_after_so_many_attempts_however_much_is_found(trust):
    race, attempts = Race(0.0), 0
    for number in range(10 * MAX_ATTEMPTS):
        race.found(Candidate(lie(number).endpoint, PathKind.LAN, FoundBy("LAN", trust)))
        if (one := race.start(now=0.0)) is not None:
            attempts += 1
            race.ended(one)
    assert attempts == MAX_ATTEMPTS
    assert race.idle
    assert race.wake_at is None


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from(PathKind), st.booleans()), max_size=60))
def test_every_candidate_starts_once_and_the_race_always_comes_to_its_end(events):
    race, now = Race(0.25), 0.0
    started: list[Candidate] = []
    for number, kind, fails in events:
        race.found(candidate(number, kind))
        if (one := race.start(now)) is not None:
            started.append(one)
        if fails and race.running:
            race.ended(race.running[0])
        now += 0.01
    for _ in range(4 * MAX_ATTEMPTS):
        now = max(now, race.wake_at or now)
        if (one := race.start(now)) is not None:
            started.append(one)
        elif race.running:
            race.ended(race.running[0])
    assert race.idle
    assert len(started) == len(set(started)) <= MAX_ATTEMPTS
