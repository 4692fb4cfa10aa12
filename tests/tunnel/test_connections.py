"""The connections that a service takes, and who has them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.tunnel.connections import Connections

pytestmark = pytest.mark.pure


def test_whoever_takes_what_he_gets_leaves_some_for_another_one():
    places: Connections[int] = Connections(20)
    greedy = sum(places.enter(number, "greedy", number) for number in range(100))
    assert greedy == 10
    assert sum(places.enter(number, "modest", number) for number in range(1000, 1005)) == 5


def test_a_visitor_who_takes_what_he_gets_leaves_one_for_another_of_the_same_source():
    places: Connections[int] = Connections(20)
    assert sum(places.enter(number, "one address", "greedy") for number in range(900)) == 9
    assert places.enter(1000, "one address", "modest")


def test_a_visitor_who_is_alone_has_what_his_source_may_have_where_that_is_little():
    places: Connections[int] = Connections(4)
    assert sum(places.enter(number, "his", "he") for number in range(9)) == 2


def test_one_place_is_enough_for_somebody():
    places: Connections[str] = Connections(1)
    assert places.enter("first", "a", "he")
    assert not places.enter("second", "b", "she")
    assert places.leave("first") == ["second"]


def test_of_those_who_wait_who_has_fewest_comes_first():
    places: Connections[str] = Connections(2)
    assert places.enter("1", "greedy", "he")
    assert places.enter("2", "other", "she")
    assert not places.enter("3", "greedy", "he")
    assert not places.enter("4", "modest", "it")
    assert places.leave("2") == ["4"]


def test_sources_that_wait_take_turns_and_so_do_the_visitors_of_one():
    places: Connections[str] = Connections(1)
    places.enter("first", "elsewhere", "somebody")
    for number in range(3):
        places.enter(f"greedy {number}", "one address", "greedy")
    for number in range(2):
        places.enter(f"modest {number}", "one address", "modest")
        places.enter(f"other {number}", "another", "other")
    served = ["first"]
    while came := places.leave(served[-1]):
        served += came
    assert served[1:] == ["greedy 0", "other 0", "modest 0", "other 1", "greedy 1", "modest 1", "greedy 2"]


def test_who_gave_up_is_not_called():
    places: Connections[str] = Connections(1)
    places.enter("1", "a", "he")
    places.enter("2", "b", "she")
    assert places.leave("2") == []
    assert places.leave("1") == []
    assert places.enter("3", "c", "it")


def test_who_gives_up_what_he_has_just_got_makes_room_for_the_next():
    places: Connections[str] = Connections(1)
    for ticket in ("1", "2", "3"):
        places.enter(ticket, ticket, "he")
    assert places.leave("1") == ["2"]
    assert places.leave("2") == ["3"]
    assert places.leave("2") == [], "a second time is none"
    assert places.leave("3") == []
    assert places.enter("4", "4", "he")


def test_more_places_are_given_out_at_once():
    places: Connections[str] = Connections(1)
    places.enter("1", "a", "he")
    places.enter("2", "b", "she")
    assert places.resize(2) == ["2"]


@given(
    st.integers(1, 8), st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 2)), max_size=60), st.data()
)
def test_there_are_never_more_than_the_limit_and_nobody_waits_beside_free_places_alone(limit, events, data):
    places: Connections[int] = Connections(limit)
    inside: list[int] = []
    outside: list[int] = []
    sources: dict[int, str] = {}
    for number, (comes, source, visitor) in enumerate(events):
        if comes:
            sources[number] = f"s{source}"
            (inside if places.enter(number, f"s{source}", visitor) else outside).append(number)
        elif inside or outside:
            leaving = data.draw(st.sampled_from(inside + outside))
            came = places.leave(leaving)
            assert not came or leaving in inside
            inside = [one for one in inside + came if one != leaving]
            outside = [one for one in outside if one != leaving and one not in came]
        assert len(inside) <= limit
        holding = {sources[one] for one in inside}
        assert len(inside) == limit or all(sources[one] in holding for one in outside)
    for one in outside + inside:
        places.leave(one)
    assert places.enter(-1, "s", "he"), "nothing is left over"
    assert not places._waiting
    assert len(places._held) == 2
