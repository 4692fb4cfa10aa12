"""Everybody's share of a download limit: never more than the bucket gives, and small answers first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.cache.kept.bucket import TokenBucket
from hardline.cache.kept.shares import SLICE, Shares, Turn

pytestmark = pytest.mark.pure

RATE = 3600 * SLICE  # a slice a second


def spent() -> Shares:
    """At 0, nothing is left."""
    bucket = TokenBucket(RATE, 0.0)
    bucket.take(RATE, 0.0)
    return Shares(bucket)


def test_what_is_there_is_had_at_once():
    shares = Shares(TokenBucket(RATE, 0.0))
    assert shares.take(RATE, 0.0)
    assert not shares.take(1, 0.0)
    assert shares.is_spent(0.5)
    assert not shares.is_spent(1.0)


def test_nobody_takes_anything_past_who_waits():
    shares = spent()
    shares.ask("a", SLICE, small=False)
    assert shares.wait(0.0) == pytest.approx(1.0)
    assert not shares.take(1, 0.9)
    assert len(shares.grant(1.0)) == 1
    assert shares.wait(1.0) is None


def test_who_asks_for_much_has_its_share_and_no_more():
    shares = spent()
    many = [shares.ask("greedy", SLICE, small=False) for _ in range(1000)]
    one = shares.ask("modest", SLICE, small=False)
    shares.grant(2.0)
    assert one.is_over
    assert sum(turn.is_over for turn in many) == 1


def test_small_answers_never_wait_behind_large_ones():
    shares = spent()
    large = [shares.ask(source, SLICE, small=False) for source in range(1000)]
    small = shares.ask(5, 1000, small=True)
    assert shares.grant(0.1) == [small]
    assert not any(turn.is_over for turn in large)


def test_small_answers_without_an_end_do_not_stop_large_ones():
    shares = spent()
    large = shares.ask("a", SLICE, small=False)
    small = [shares.ask("b", 1000, small=True) for _ in range(1000)]
    shares.grant(6.0)
    assert large.is_over
    assert sum(turn.is_over for turn in small) > 48


def test_what_was_given_up_takes_nothing():
    shares = spent()
    for turn in [shares.ask("gone", SLICE, small=False) for _ in range(1000)]:
        turn.is_over = True
    there = shares.ask("there", SLICE, small=False)
    assert shares.grant(1.0) == [there]


def test_what_several_wait_for_comes_with_the_first_of_their_turns():
    shares = spent()
    mine = [shares.ask("greedy", SLICE, small=False) for _ in range(100)]
    shares.also_for(mine[-1], "modest")
    shares.also_for(mine[-1], "modest")
    assert mine[-1] in shares.grant(2.0)
    shares.grant(50.0)
    assert sum(turn.is_over for turn in mine) == 50


ASKED = st.tuples(st.integers(0, 3), st.integers(1, SLICE), st.booleans())


@given(st.lists(st.one_of(ASKED, st.floats(0, 20))))
def test_no_more_is_granted_than_the_bucket_gives_and_all_of_it_in_the_end(steps):
    shares, now, granted = spent(), 0.0, 0
    asked: list[Turn] = []
    for step in steps:
        if isinstance(step, float):
            now += step
        else:
            source, count, small = step
            asked.append(shares.ask(source, count, small=small))
        granted += sum(turn.count for turn in shares.grant(now))
        assert granted <= now * SLICE * (1 + 1e-9) + 1
    shares.grant(now + len(asked) + 1)
    assert all(turn.is_over for turn in asked)
    assert shares.wait(now + len(asked) + 1) is None
