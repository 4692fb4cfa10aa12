"""What is stored and promised, and who goes first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.cache.kept.ledger import Ledger

pytestmark = pytest.mark.pure


def order(ledger: Ledger) -> list[str]:
    gone = []
    while (oldest := ledger.oldest()) is not None:
        gone.append(oldest)
        ledger.put(oldest, 0)
    return gone


def test_who_was_not_used_for_longest_goes_first():
    ledger = Ledger(100)
    for name in "abc":
        ledger.put(name, 10)
    ledger.used("a")
    ledger.used("nobody")
    assert order(ledger) == ["b", "c", "a"]
    assert ledger.taken == 0


def test_what_is_put_again_has_its_new_size_and_is_the_last_to_go():
    ledger = Ledger(100)
    ledger.put("a", 10)
    ledger.put("b", 20)
    ledger.put("a", 5)
    assert ledger.taken == 25
    assert order(ledger) == ["b", "a"]


def test_what_is_promised_is_taken():
    ledger = Ledger(100)
    ledger.put("a", 60)
    ledger.promise(30)
    assert (ledger.taken, ledger.stored) == (90, 60)
    assert ledger.lacks(10) == 0
    assert ledger.lacks(11) == 1
    ledger.promise(-30)
    assert ledger.lacks(11) < 0


def test_what_was_used_while_it_was_counted_is_newer_than_all_that_was_found():
    ledger = Ledger(100)
    ledger.put("b", 7)
    ledger.seed([("a", 1), ("b", 2), ("c", 3)])
    assert ledger.taken == 11
    assert order(ledger) == ["a", "c", "b"]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 50))))
def test_the_sum_is_that_of_what_is_there(puts):
    ledger, there = Ledger(100), {}
    for name, size in puts:
        ledger.put(name, size)
        there[name] = size
    assert ledger.taken == sum(there.values())
    assert len(ledger) == sum(1 for size in there.values() if size)
