"""Rates: kept by waiting, shared by sources and then by pairs, and nothing for whoever has none."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from hardline.relay.rates import RateLimits, Rates
from tests.support.clock import run

MB = 1 << 20


class Flow:
    """A direction of a pair that always has something, or `wanted` bytes."""

    def __init__(self, rates: Rates, source: str, pair: object = None, wanted: int = 1 << 40) -> None:
        self._rates, self.source, self.wanted = rates, source, wanted
        self.pair = pair or self
        self.waiting = False
        self.passed = 0

    @property
    def readable(self) -> int:
        return min(self.wanted, MB)

    def go(self) -> None:
        while self.wanted:
            granted = self._rates.grant(self, 262_144)
            if not granted:
                assert self.waiting
                return
            count = min(granted, self.wanted)
            self.passed += count
            self.wanted -= count
            self._rates.used(self, count, granted)


def passed_in(seconds: float, limits: RateLimits, *sources: str) -> list[int]:
    """What greedy flows, each a pair of its own, have passed."""

    async def story() -> list[int]:
        rates = Rates(limits)
        flows = [Flow(rates, source) for source in sources]
        for flow in flows:
            flow.go()
        await asyncio.sleep(seconds)
        rates.close()
        return [flow.passed for flow in flows]

    return run(story)


def jain(values: Sequence[float]) -> float:
    return sum(values) ** 2 / (len(values) * sum(value * value for value in values))


def test_the_total_is_kept_and_used() -> None:
    passed = passed_in(2.0, RateLimits(total=10 * MB), "a", "b", "c")
    assert 0.95 * 20 * MB <= sum(passed) <= 1.05 * 20 * MB
    assert jain(passed) >= 0.99


def test_fifty_pairs_of_one_source_have_what_one_of_another_has() -> None:
    passed = passed_in(2.0, RateLimits(total=10 * MB), *["a"] * 50, "b")
    assert jain([sum(passed[:50]), passed[50]]) >= 0.99
    assert jain(passed[:50]) >= 0.95


@pytest.mark.parametrize("limits", [RateLimits(per_source=MB), RateLimits(per_pair=MB)])
def test_the_limits_of_a_source_and_of_a_pair_are_kept(limits: RateLimits) -> None:
    one, other = passed_in(2.0, limits, "a", "a")
    expected = 2 * MB if limits.per_source else 4 * MB
    assert 0.9 * expected <= one + other <= 1.05 * expected


def test_both_directions_of_a_pair_are_one_pair() -> None:
    async def story() -> int:
        rates, pair = Rates(RateLimits(per_pair=MB)), object()
        flows = [Flow(rates, "a", pair), Flow(rates, "a", pair)]
        for flow in flows:
            flow.go()
        await asyncio.sleep(2.0)
        rates.close()
        return sum(flow.passed for flow in flows)

    assert 0.9 * 2 * MB <= run(story) <= 1.05 * 2 * MB


def test_a_small_request_at_a_saturated_relay_waits_for_a_round_only() -> None:
    async def story() -> float:
        rates, loop = Rates(RateLimits(total=10 * MB)), asyncio.get_running_loop()
        for _ in range(50):
            Flow(rates, "a").go()
        await asyncio.sleep(1.0)
        slowest = 0.0
        for _ in range(50):
            small, began = Flow(rates, "b", wanted=600), loop.time()
            small.go()
            while small.wanted:
                await asyncio.sleep(0.001)
            slowest = max(slowest, loop.time() - began)
            await asyncio.sleep(0.0173)
        rates.close()
        return slowest

    assert run(story) <= 0.05


def test_without_limits_nobody_waits_and_the_volume_is_counted() -> None:
    async def story() -> tuple[int, int]:
        rates = Rates(RateLimits())
        flow = Flow(rates, "a", wanted=10 * MB)
        flow.go()
        return flow.passed, rates.volume

    assert run(story) == (10 * MB, 10 * MB)


def test_limits_that_are_lifted_let_everybody_go_on() -> None:
    async def story() -> int:
        rates = Rates(RateLimits(total=MB))
        flow = Flow(rates, "a", wanted=10 * MB)
        flow.go()
        rates.set_limits(RateLimits())
        return flow.passed

    assert run(story) == 10 * MB


def test_who_ends_is_shared_with_no_more() -> None:
    async def story() -> tuple[int, int]:
        rates = Rates(RateLimits(total=10 * MB))
        one, other = Flow(rates, "a"), Flow(rates, "b")
        one.go()
        other.go()
        await asyncio.sleep(1.0)
        rates.forget(one)
        before, had = other.passed, one.passed
        await asyncio.sleep(1.0)
        rates.close()
        assert one.passed == had
        return before, other.passed - before

    before, after = run(story)
    assert after > 1.8 * before


@pytest.mark.parametrize("rate", [20_000, pytest.param(1_000_000, marks=pytest.mark.full)])
def test_nobody_waits_for_ever_where_there_are_more_than_a_round_has_bytes(rate: int) -> None:
    async def story() -> list[int]:
        rates = Rates(RateLimits(total=rate))
        flows = [Flow(rates, f"source {number}", wanted=517 if number % 2 else 1 << 40) for number in range(300)]
        for flow in flows:
            flow.go()
        await asyncio.sleep(40)
        rates.close()
        return [flow.passed for flow in flows]

    passed = run(story)
    assert all(passed)
    assert set(passed[1::2]) == {517}
    assert sum(passed) <= 40.5 * rate
    assert jain(passed[::2]) > 0.8


def test_what_a_round_costs_is_bounded_by_who_has_a_part_in_it() -> None:
    async def story() -> int:
        rates, asked = Rates(RateLimits(total=10 * MB)), 0

        class Counting(Flow):
            @property
            def readable(self) -> int:
                nonlocal asked
                asked += 1
                return super().readable

        for number in range(1000):
            Counting(rates, f"{number % 7}").go()
        await asyncio.sleep(1.0)
        rates.close()
        return asked

    assert run(story) <= 64 * 101


def test_a_round_that_takes_long_takes_nothing_from_those_who_are_still_to_go() -> None:
    async def story() -> list[int]:
        rates = Rates(RateLimits(total=10 * MB))

        class Slow(Flow):
            def go(self) -> None:
                super().go()
                asyncio.get_running_loop()._now += 0.012  # type: ignore[attr-defined]  # others had the processor

        flows = [Slow(rates, f"{number}", wanted=200_000) for number in range(30)]
        for flow in flows:
            flow.go()
        await asyncio.sleep(20)
        rates.close()
        return [flow.passed for flow in flows]

    assert run(story) == [200_000] * 30
