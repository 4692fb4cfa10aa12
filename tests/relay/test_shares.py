"""Rounds of a relay: everybody's share, whoever has how many pairs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.relay.shares import share, share_by_source

pytestmark = pytest.mark.pure

WANTS = st.dictionaries(st.integers(0, 20), st.integers(0, 100_000), max_size=12)


@given(st.integers(0, 300_000), WANTS)
def test_nobody_gets_more_than_it_wants_and_nothing_is_left_that_somebody_wants(budget, wants):
    granted = share(budget, wants)
    assert granted.keys() == wants.keys()
    assert all(0 <= granted[one] <= wants[one] for one in wants)
    assert sum(granted.values()) == min(budget, sum(wants.values()))


@given(st.integers(0, 300_000), WANTS)
def test_who_wants_more_than_it_gets_gets_as_much_as_anybody(budget, wants):
    granted = share(budget, wants)
    for one, want in wants.items():
        if granted[one] < want:
            assert granted[one] >= max(granted.values()) - 1


@given(
    st.integers(0, 300_000),
    st.dictionaries(st.integers(0, 5), WANTS, max_size=5),
    st.integers(0, 100_000),
    st.integers(0, 100_000),
)
def test_limits_of_sources_and_pairs_hold(budget, wants, per_source, per_pair):
    granted = share_by_source(budget, wants, per_source=per_source, per_pair=per_pair)
    assert sum(sum(pairs.values()) for pairs in granted.values()) <= budget
    for source, pairs in granted.items():
        assert sum(pairs.values()) <= per_source
        assert all(count <= min(per_pair, wants[source][pair]) for pair, count in pairs.items())


def test_fifty_pairs_of_one_source_have_what_one_pair_of_another_has():
    granted = share_by_source(
        1_000_000, {"many": dict.fromkeys(range(50), 10**6), "one": {0: 10**6}}, per_source=10**9, per_pair=10**9
    )
    assert sum(granted["many"].values()) == granted["one"][0] == 500_000
    assert set(granted["many"].values()) == {10_000}


def test_what_one_leaves_is_the_others():
    assert share(100, {"little": 10, "much": 200, "more": 300}) == {"little": 10, "much": 45, "more": 45}
    assert share(0, {"one": 5}) == {"one": 0}
    assert share(5, {}) == {}
