"""How many streams of one source are on their way to the local service at once, and in which order."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.tunnel.entrance import AT_ONCE, Entrance

pytestmark = pytest.mark.pure


@dataclass(eq=False)
class Guest:
    session: object = None


def test_no_more_than_so_many_are_dialled_at_once_and_the_others_follow_in_order():
    started: list[Guest] = []
    entrance = Entrance(started.append)
    guests = [Guest() for _ in range(3 * AT_ONCE)]
    for guest in guests:
        entrance.came(guest)
    assert started == guests[:AT_ONCE]
    for _ in guests:
        entrance.dialled()
    assert started == guests


def test_who_left_before_his_turn_is_never_dialled():
    started: list[Guest] = []
    entrance = Entrance(started.append)
    guests = [Guest() for _ in range(AT_ONCE + 3)]
    for guest in guests:
        entrance.came(guest)
    entrance.left(guests[AT_ONCE])
    entrance.left(guests[AT_ONCE + 1])
    entrance.left(guests[0])  # who is on his way says `dialled`
    entrance.dialled()
    assert started == [*guests[:AT_ONCE], guests[-1]]


def test_a_flood_of_streams_that_are_taken_back_is_not_remembered():
    entrance = Entrance(lambda _: None)
    for number in range(10_000):
        guest = Guest(session=number % 7)
        entrance.came(guest)
        entrance.left(guest)
    assert not entrance._waiting


def test_behind_a_flood_of_one_session_another_one_of_the_same_source_is_the_next():
    started: list[Guest] = []
    entrance = Entrance(started.append)
    for _ in range(900):
        entrance.came(Guest("greedy"))
    modest = [Guest("modest") for _ in range(3)]
    for guest in modest:
        entrance.came(guest)
    for _ in range(6):
        entrance.dialled()
    assert [guest.session for guest in started[AT_ONCE:]] == ["greedy", "modest"] * 3
    assert [guest for guest in started if guest.session == "modest"] == modest


@given(st.lists(st.tuples(st.sampled_from(["came", "left", "dialled"]), st.integers(0, 2)), max_size=300))
def test_everybody_who_stays_has_his_turn(events):
    started: list[Guest] = []
    entrance, guests, gone, dialled = Entrance(started.append), [], [], 0
    for event, session in events:
        if event == "came":
            guests.append(Guest(session))
            entrance.came(guests[-1])
        elif event == "left" and guests:
            entrance.left(guests[-1])
            gone.append(guests[-1])
        elif event == "dialled" and len(started) > dialled:
            dialled += 1
            entrance.dialled()
        assert len(started) - dialled <= AT_ONCE
    while len(started) > dialled:
        dialled += 1
        entrance.dialled()
    assert all(guest in started for guest in guests if guest not in gone)
