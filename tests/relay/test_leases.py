"""Public ports: who comes back has the same one, nobody takes another's, and there are never more names than ports."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.relay.leases import Leases

pytestmark = pytest.mark.pure

THREE = range(20_000, 20_003)


def test_the_lowest_first_and_an_end_where_there_are_no_more() -> None:
    leases = Leases(THREE)
    assert [leases.lease(name) for name in "abc"] == [20_000, 20_001, 20_002]
    assert leases.lease("d") is None
    assert [leases.holder_of(port) for port in THREE] == ["a", "b", "c"]


def test_who_comes_back_has_the_same_one() -> None:
    leases = Leases(THREE)
    leases.lease("a")
    leases.lease("b")
    leases.release("a")
    assert leases.holder_of(20_000) is None
    assert leases.lease("c") == 20_002  # one that was never used, though another is free
    assert leases.lease("a") == 20_000


def test_it_is_kept_over_a_restart() -> None:
    before = Leases(THREE)
    for name in "ab":
        before.lease(name)
    after = Leases(THREE, before.owners)
    assert after.holder_of(20_001) is None
    assert after.lease("b") == 20_001
    assert after.lease("c") == 20_002


def test_the_longest_unused_goes_to_somebody_else() -> None:
    leases = Leases(THREE)
    for name in "abc":
        leases.lease(name)
    leases.release("b")
    leases.release("a")
    assert leases.lease("d") == 20_001
    assert leases.lease("e") == 20_000
    assert leases.lease("b") is None
    assert leases.owners == {"c": 20_002, "d": 20_001, "e": 20_000}


def test_the_wanted_one_unless_it_is_another_s() -> None:
    leases = Leases(THREE)
    assert leases.lease("a", 20_001) == 20_001
    leases.release("a")
    assert leases.lease("b", 20_001) is None, "its owner may come back"
    assert leases.lease("b", 30_000) is None
    assert leases.lease("a", 20_002) == 20_002, "who wants another one leaves the one before"
    assert leases.lease("b", 20_001) == 20_001


def test_a_file_of_another_range_or_with_a_port_twice() -> None:
    leases = Leases(THREE, {"a": 7, "b": 20_000, "c": 20_000})
    assert leases.owners == {"b": 20_000}


NAMES = st.sampled_from("abcdef")
STEPS = st.one_of(st.tuples(NAMES, st.integers(19_999, 20_003) | st.just(0)), st.tuples(NAMES, st.none()))


@given(st.lists(STEPS))
def test_whatever_happens_each_has_one_of_his_own(steps: list[tuple[str, int | None]]) -> None:
    leases, here = Leases(THREE), {}
    for name, wanted in steps:
        if wanted is None:
            leases.release(name)
            here.pop(name, None)
        elif (port := leases.lease(name, wanted)) is not None:
            assert here.get(name, port) == port or wanted, "it stays while it is here"
            here[name] = port
        holders = {port: leases.holder_of(port) for port in THREE}
        assert {name: port for port, name in holders.items() if name} == here
        owners = leases.owners
        assert len(set(owners.values())) == len(owners)
        assert here.items() <= owners.items()
