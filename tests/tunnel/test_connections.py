"""The connections that a service takes, and who has them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.tunnel.connections import Connections

pytestmark = pytest.mark.pure


def test_whoever_takes_what_he_gets_leaves_some_for_another_one():
    places: Connections[int] = Connections(20)
    greedy = sum(places.enter("greedy", number) for number in range(100))
    assert greedy == 10
    assert sum(places.enter("modest", 1000 + number) for number in range(5)) == 5


def test_one_place_is_enough_for_somebody():
    places: Connections[str] = Connections(1)
    assert places.enter("a", "first")
    assert not places.enter("b", "second")
    assert places.leave("a") == ["second"]


def test_of_those_who_wait_who_has_fewest_comes_first():
    places: Connections[str] = Connections(2)
    assert places.enter("greedy", "1")
    assert places.enter("other", "2")
    assert not places.enter("greedy", "3")
    assert not places.enter("modest", "4")
    assert places.leave("other") == ["4"]


def test_who_gave_up_is_not_called():
    places: Connections[str] = Connections(1)
    places.enter("a", "1")
    places.enter("b", "2")
    places.give_up("2")
    assert places.leave("a") == []
    assert places.enter("c", "3")


def test_more_places_are_given_out_at_once():
    places: Connections[str] = Connections(1)
    places.enter("a", "1")
    places.enter("b", "2")
    assert places.resize(2) == ["2"]


@given(st.integers(1, 8), st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=60))
def test_there_are_never_more_than_the_limit_and_nobody_waits_beside_free_places_alone(limit, events):
    places: Connections[int] = Connections(limit)
    inside: list[str] = []
    owners: dict[int, str] = {}
    for number, (comes, who) in enumerate(events):
        source = f"s{who}"
        if comes:
            owners[number] = source
            if places.enter(source, number):
                inside.append(source)
        elif source in inside:
            inside.remove(source)
            inside += [owners[ticket] for ticket in places.leave(source)]
        assert len(inside) <= limit
        waiting = set(places._waiting.values())
        assert len(inside) == limit or all(source in inside for source in waiting)
