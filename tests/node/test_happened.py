"""What happened lately: rows that are bounded, whatever strangers do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.node import happened
from hardline.node.happened import Happened

pytestmark = pytest.mark.pure


def sentences(rows):
    return [(row.count, row.sentence) for row in rows]


def test_rows_have_growing_numbers_and_who_follows_gets_what_is_new():
    log = Happened()
    first = log.add("came", "Anna came to Photos by relay", 1000.0)
    log.add("shared", "Wiki is shared", 1001.0)
    assert sentences(log.after()) == [(1, "Anna came to Photos by relay"), (1, "Wiki is shared")]
    assert sentences(log.after(first.number)) == [(1, "Wiki is shared")]
    assert log.after(log.after()[-1].number) == ()


def test_what_repeats_itself_is_one_row_with_a_count_and_a_new_number():
    log = Happened()
    log.add("refused", happened.guessed("Photos"), 1000.0, 5)
    seen = log.add("came", "somebody came to Wiki directly", 1001.0).number
    log.add("refused", happened.guessed("Photos"), 1002.0, 9)
    assert sentences(log.after(seen)) == [(14, "password refused for Photos")]
    assert len(log.after()) == 2


def test_the_same_another_day_is_another_count():
    log = Happened()
    log.add("came", "x", 1000.0)
    log.add("came", "x", 1000.0 + happened.SAME_WITHIN)
    assert sentences(log.after()) == [(1, "x")]


def test_strangers_who_come_and_go_do_not_push_out_what_the_owner_did():
    log = Happened(most=50, of_a_kind=10)
    log.add("shared", "Photos is shared", 0.0)
    for number in range(1000):
        log.add("came", f"visitor {number}", float(number))
    assert sentences(log.after())[0] == (1, "Photos is shared")
    assert len(log.after()) == 11


def test_a_number_of_an_earlier_run_gets_all():
    log = Happened()
    log.add("shared", "Photos is shared", 0.0)
    assert sentences(log.after(4711)) == [(1, "Photos is shared")]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.text(max_size=2), st.floats(0, 1e6)), max_size=200))
def test_it_is_bounded_and_ordered_whatever_happens(events):
    log = Happened(most=20, of_a_kind=8)
    for kind, sentence, now in events:
        log.add(kind, sentence, now)
    numbers = [row.number for row in log.after()]
    assert numbers == sorted(numbers)
    assert len(numbers) <= 20
    for kind in "abcd":
        assert sum(row.kind == kind for row in log.after()) <= 8


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (34_000_000, "34 MB"), (1_200_000_000, "1.2 GB")],
)
def test_bytes_are_told_as_people_read_them(count, text):
    assert happened.size(count) == text
