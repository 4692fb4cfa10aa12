"""What is stored and promised, and who goes first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.cache.kept.ledger import DIRECTORY, FILE, Ledger, cost

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


def test_a_directory_counts_once_as_long_as_anything_lies_in_it():
    ledger = Ledger(1 << 30)
    assert ledger.way_to("a/b/x") == 2 * DIRECTORY
    ledger.put("a/b/x", 10)
    ledger.put("a/b/y", 10)
    assert ledger.stored == 20 + 2 * DIRECTORY
    assert (ledger.way_to("a/b/z"), ledger.way_to("a/c/z"), ledger.way_to("z")) == (0, DIRECTORY, 0)
    ledger.put("a/b/x", 0)
    assert ledger.stored == 10 + 2 * DIRECTORY
    ledger.put("a/z", 5)
    ledger.put("a/b/y", 0)
    assert ledger.stored == 5 + DIRECTORY
    ledger.seed([("a/b/x", 7)])
    assert ledger.stored == 12 + 2 * DIRECTORY


NAMES = st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map(lambda parts: "/".join(parts) + "@http")


@given(st.lists(st.tuples(NAMES, st.integers(0, 50))))
def test_directories_are_those_of_what_is_there(puts):
    ledger, there = Ledger(100), {}
    for name, size in puts:
        ledger.put(name, size)
        there[name] = size
        names = [name for name, size in there.items() if size]
        ways = {name[:at] for name in names for at, letter in enumerate(name) if letter == "/"}
        assert ledger.stored == sum(there.values()) + DIRECTORY * len(ways)


def test_names_that_take_too_much_memory_make_way_however_little_they_hold():
    ledger = Ledger(1 << 50, most_names=100_000)
    count = 0
    while ledger.lacks(0) <= 0:
        ledger.put(f"{count}/" + "x" * 1000, 1)
        count += 1
    assert 50 <= count <= 100
    for _ in range(3):
        ledger.put(ledger.oldest() or "", 0)
    assert ledger.lacks(0) < 0


@pytest.mark.parametrize(
    ("size", "blocks", "expected"), [(0, 0, 0), (1, 0, 4096), (4097, 0, 8192), (4097, 128, 65_536), (1, 1, 4096)]
)
def test_a_file_costs_its_blocks_and_its_inode(size, blocks, expected):
    assert cost(size, blocks) == expected + FILE
