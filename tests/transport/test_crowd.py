"""Who leaves when the house, or the porch, is full."""

from __future__ import annotations

import ipaddress
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.transport.crowd import Crowd, Seat, gives_way, waits_beside
from hardline.transport.sources import networks

pytestmark = pytest.mark.pure

HOME, ELSEWHERE = "203.0.113.5", "198.51.100.7"
ATTACKERS = {
    "one address": lambda number: "192.0.2.1",
    "one /64": lambda number: f"2001:db8::{number:x}",
    "one /56": lambda number: f"2001:db8:0:{number % 256:x}::{number:x}",
    "one /48": lambda number: f"2001:db8:0:{number:x}::1",
    "many addresses": lambda number: str(ipaddress.IPv4Address(0x0A000000 + 65_536 * number)),
}


def seat(address: str, last_used: float, *, in_use: bool = False) -> Seat[str]:
    return Seat(address, networks(address), in_use, last_used)


@pytest.mark.parametrize("of", ATTACKERS.values(), ids=ATTACKERS)
def test_a_house_full_of_idle_sessions_has_room_for_a_newcomer(of):
    seats = [seat(of(number), 100.0 + number) for number in range(30)]
    assert gives_way(seats, networks(HOME)) == of(0), "the one idle longest"


@pytest.mark.parametrize("kind", ["one address", "one /64", "one /56", "one /48"])
@pytest.mark.parametrize("in_use", [False, True])
def test_an_honest_session_stays_when_one_network_fills_the_house(kind, in_use):
    seats = [seat(ELSEWHERE, 0.0), *(seat(ATTACKERS[kind](number), 9.0, in_use=in_use) for number in range(30))]
    assert gives_way(seats, networks(HOME)) not in (ELSEWHERE, None)


def test_whoever_has_most_gives_up_one_of_his_own_for_one_more_unless_all_are_in_use():
    mine = [seat(HOME, 5.0), seat(HOME, 3.0)]
    assert gives_way([*mine, seat(ELSEWHERE, 0.0)], networks(HOME)) == HOME
    mine = [seat(HOME, 5.0, in_use=True), seat(HOME, 3.0, in_use=True)]
    assert gives_way([*mine, seat(ELSEWHERE, 0.0)], networks(HOME)) is None


def test_who_is_busy_and_has_no_more_than_the_newcomer_is_not_cut():
    assert gives_way([seat(ELSEWHERE, 0.0, in_use=True)], networks(HOME)) is None


@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.floats(0, 99)), min_size=1, max_size=30), st.integers(0, 5)
)
def test_nobody_leaves_for_somebody_who_has_more(guests, newcomer):
    addresses = [f"192.0.2.{number}" for number in range(6)]
    seats = [seat(addresses[who], last, in_use=busy) for who, busy, last in guests]
    leaving = gives_way(seats, networks(addresses[newcomer]))
    held = [guest.guest for guest in seats]
    if leaving is not None:
        assert held.count(leaving) >= held.count(addresses[newcomer])


@pytest.mark.parametrize("kind", ["one address", "one /64", "one /56", "one /48"])
def test_of_those_who_shake_hands_the_crowd_gives_way_and_in_it_who_waits_longest(kind):
    waiting: Crowd[object] = Crowd()
    waiting.add("honest", networks(HOME))
    for number in range(20):
        waiting.add(number, networks(ATTACKERS[kind](number)))
    assert waiting.waits_longest() == 0


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2), st.booleans()), max_size=60))
def test_who_has_most_is_who_would_have_if_all_were_counted_anew(events):
    crowd: Crowd[int] = Crowd()
    here: dict[int, tuple[str, ...]] = {}
    for number, (widest, wider, source, leaves) in enumerate(events):
        here[number] = networks(f"2001:db8:{widest}:{256 * wider + source:x}::1")
        crowd.add(number, here[number])
        if leaves:
            gone = min(here)
            del here[gone]
            crowd.discard(gone)
            crowd.discard(gone)
        assert len(crowd) == len(here)
        if here:
            counts = [Counter(one[step] for one in here.values()) for step in range(3)]
            of = {
                one: [count[network] for count, network in zip(counts, his, strict=True)] for one, his in here.items()
            }
            assert crowd.waits_longest() == next(one for one in here if of[one] == max(of.values()))


def test_within_one_network_who_has_many_connections_leaves_for_who_has_few():
    waiting = dict.fromkeys(range(16), "2001:db8::1")
    assert waits_beside(waiting, "2001:db8::2") == 0
    assert waits_beside(waiting, "2001:db8::1") is None


def test_a_thousand_seats_are_judged_in_reasonable_work():
    seats = [seat(str(ipaddress.IPv6Address(random.getrandbits(128))), float(number)) for number in range(1000)]
    assert gives_way(seats, networks(HOME)) == seats[0].guest
