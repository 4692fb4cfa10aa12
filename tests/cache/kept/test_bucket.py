"""Never faster than an hour's worth at once and the rate after that; never slower either."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.cache.kept.bucket import TokenBucket

pytestmark = pytest.mark.pure

STEPS = st.lists(st.tuples(st.integers(0, 10_000_000), st.floats(0, 10_000)), max_size=50)


def test_an_hours_worth_comes_at_once():
    bucket = TokenBucket(3600, now=0.0)
    assert bucket.take(3600, now=0.0) == 0
    assert bucket.take(1, now=0.0) == 1.0


def test_after_that_it_goes_on_at_the_rate():
    bucket = TokenBucket(7200, now=100.0)
    bucket.take(7200, now=100.0)
    assert bucket.take(20, now=100.0) == 10.0
    assert bucket.take(0, now=105.0) == 5.0
    assert bucket.take(20, now=110.0) == 10.0


def test_a_rest_of_a_day_gives_no_more_than_an_hours_worth():
    bucket = TokenBucket(3600, now=0.0)
    bucket.take(3600, now=0.0)
    assert bucket.take(3600, now=86_400.0) == 0
    assert bucket.take(10, now=86_400.0) == 10.0


def test_who_comes_later_waits_for_those_before():
    bucket = TokenBucket(3600, now=0.0)
    bucket.take(3600, now=0.0)
    assert [bucket.take(5, now=0.0) for _ in range(3)] == [5.0, 10.0, 15.0]


def test_a_clock_that_goes_back_gives_nothing():
    bucket = TokenBucket(3600, now=100.0)
    bucket.take(3600, now=100.0)
    assert bucket.take(0, now=50.0) == 0
    assert bucket.take(1, now=100.0) == 1.0


@pytest.mark.parametrize("rate", [0, -1])
def test_a_rate_is_more_than_nothing(rate):
    with pytest.raises(ValueError):
        TokenBucket(rate, now=0.0)


@given(st.integers(1, 10**9), STEPS)
def test_no_more_than_a_burst_and_the_rate(rate, steps):
    """Whoever waits as told has had, at any time, at most an hour's worth and what came in since."""
    bucket, now, had = TokenBucket(rate, now=0.0), 0.0, 0
    for count, pause in steps:
        now += pause
        now += bucket.take(count, now)
        had += count
        assert had <= (rate + rate / 3600 * now) * (1 + 1e-9) + 1


@given(st.integers(1, 10**9), STEPS)
def test_nobody_waits_longer_than_the_rate_asks_for(rate, steps):
    """Without pauses of the visitor's own, all that the rate allows is had."""
    bucket, now, had = TokenBucket(rate, now=0.0), 0.0, 0
    for count, _ in steps:
        now += bucket.take(count, now)
        had += count
    assert now <= max(had - rate, 0) / rate * 3600 * (1 + 1e-9) + 1e-6
