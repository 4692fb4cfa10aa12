"""Which nodes a relay serves, and how often anybody may do something."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.allowance import MOST, Allowance
from hardline.identity import KeyHash
from hardline.relay.access import Access

pytestmark = pytest.mark.pure

ONE, TWO = KeyHash(bytes(20)), KeyHash(bytes([1] * 20))


@pytest.mark.parametrize(
    ("access", "served"),
    [
        (Access(), []),
        (Access(frozenset({ONE})), [ONE]),
        (Access(everybody=True), [None, ONE, TWO]),
        (Access(everybody=True, deny=frozenset({ONE})), [TWO]),  # who does not say who it is could be the one
        (Access(frozenset({ONE, TWO}), deny=frozenset({ONE})), [TWO]),
    ],
)
def test_who_is_served(access: Access, served: list[KeyHash | None]) -> None:
    assert [one for one in (None, ONE, TWO) if access.serves(one)] == served


def test_so_many_at_once_and_one_more_now_and_then() -> None:
    allowance = Allowance(3, 0.5)
    assert [allowance.take("a", 10.0) for _ in range(5)] == [True, True, True, False, False]
    assert allowance.take("b", 10.0)
    assert not allowance.take("a", 11.9)
    assert allowance.take("a", 12.0)
    assert [allowance.take("a", 1000.0) for _ in range(4)] == [True, True, True, False]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 5)), max_size=60))
def test_nobody_gets_more_than_his_allowance(steps: list[tuple[str, float]]) -> None:
    allowance, now, got = Allowance(2, 1.0), 0.0, {"a": 0, "b": 0}
    for who, pause in steps:
        now += pause
        got[who] += allowance.take(who, now)
    assert all(count <= 2 + now for count in got.values())


def test_what_is_remembered_is_bounded_and_the_newest_stay() -> None:
    allowance = Allowance(1, 0.0)
    for number in range(MOST + 10):
        assert allowance.take(str(number), 1.0)
    assert not allowance.take(str(MOST + 9), 2.0)
    assert allowance.take("0", 2.0), "forgotten"
