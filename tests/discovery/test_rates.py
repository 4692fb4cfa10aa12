"""How many packets are read: a burst, then a steady rate, and no source more than its share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.discovery.rates import Rate, Rates

pytestmark = pytest.mark.pure


def test_a_burst_passes_and_then_as_much_as_time_brings():
    rate = Rate(10, 5)
    assert [rate.takes(0.0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert [rate.takes(0.2) for _ in range(3)] == [True, True, False]


def test_silence_saves_no_more_than_a_burst():
    rate = Rate(10, 5)
    assert rate.takes(0.0)
    assert sum(rate.takes(1e6) for _ in range(20)) == 5


def test_one_source_takes_its_share_and_leaves_the_rest_to_others():
    rates = Rates(10, 20, share=0.25)
    assert sum(rates.takes("loud", 0.0) for _ in range(100)) == 5
    assert sum(rates.takes("quiet", 0.0) for _ in range(3)) == 3


def test_many_sources_together_take_what_there_is():
    rates = Rates(10, 20, share=0.25)
    assert sum(rates.takes(f"10.0.{n // 256}.{n % 256}", 0.0) for n in range(5000)) == 20


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 2)), max_size=200))
def test_no_source_ever_has_more_than_its_share_of_any_time(asked):
    rates, now, taken = Rates(8, 16, share=0.25), 0.0, dict[int, list[float]]()
    for source, pause in asked:
        now += pause
        if rates.takes(str(source), now):
            taken.setdefault(source, []).append(now)
    for times in taken.values():
        for index, first in enumerate(times):
            assert len(times) - index <= 4 + 2 * (now - first) + 1e-6
