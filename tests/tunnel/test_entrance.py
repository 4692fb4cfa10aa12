"""How many streams of one session are on their way to the local service at once."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.tunnel.entrance import AT_ONCE, Entrance

pytestmark = pytest.mark.pure


@dataclass(eq=False)
class Guest:
    gone: bool = False


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
    guests[AT_ONCE].gone = guests[AT_ONCE + 1].gone = True
    entrance.dialled()
    assert started == [*guests[:AT_ONCE], guests[-1]]


def test_a_flood_of_streams_that_are_taken_back_is_not_remembered():
    entrance = Entrance(lambda _: None)
    for _ in range(100_000):
        guest = Guest()
        entrance.came(guest)
        guest.gone = True
    assert len(entrance._waiting) < 5000


@given(st.lists(st.sampled_from(["came", "left", "dialled"]), max_size=300))
def test_everybody_who_stays_has_his_turn(events):
    started: list[Guest] = []
    entrance, guests, dialled = Entrance(started.append), [], 0
    for event in events:
        if event == "came":
            guests.append(Guest())
            entrance.came(guests[-1])
        elif event == "left" and guests:
            guests[-1].gone = True
        elif event == "dialled" and len(started) > dialled:
            dialled += 1
            entrance.dialled()
        assert len(started) - dialled <= AT_ONCE
    while len(started) > dialled:
        dialled += 1
        entrance.dialled()
    assert all(guest in started for guest in guests if not guest.gone)
