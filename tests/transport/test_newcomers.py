"""Connections that have not said who they are: bounded, and nobody's crowd keeps others out."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.transport.newcomers import Newcomers
from hardline.transport.sources import source_of

pytestmark = pytest.mark.pure


def test_of_one_address_only_so_many_come_in_and_one_more_does_when_one_is_known():
    here: Newcomers[int] = Newcomers(100, 3)
    assert [here.come(number, "192.0.2.1") for number in range(4)] == [[], [], [], [3]]
    here.known(1)
    assert here.come(4, "192.0.2.1") == []


def test_another_address_of_the_same_network_gets_a_place_of_the_one_that_has_most():
    here: Newcomers[int] = Newcomers(100, 3)
    for number in range(3):
        here.come(number, "2001:db8::1")
    assert here.come(3, "2001:db8::2") == [0]


def test_when_there_are_too_many_who_has_most_loses_the_one_that_waits_longest():
    here: Newcomers[int] = Newcomers(4, 3)
    for number, address in enumerate(["192.0.2.9", "192.0.2.1", "192.0.2.1", "192.0.2.1"]):
        assert here.come(number, address) == []
    assert here.come(4, "198.51.100.7") == [1]


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=80))
def test_they_are_never_more_than_may_be(events):
    here: Newcomers[int] = Newcomers(6, 3)
    inside: dict[int, str] = {}
    for number, (who, leaves) in enumerate(events):
        if leaves and inside:
            gone = next(iter(inside))
            here.known(gone)
            del inside[gone]
        inside[number] = f"192.0.2.{who}"
        for leaving in here.come(number, inside[number]):
            del inside[leaving]
        assert len(inside) <= 6
        assert max(Counter(map(source_of, inside.values())).values(), default=0) <= 3
