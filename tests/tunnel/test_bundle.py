"""When one more session to a host is of use: only a trial tells a full window from a full way."""

from __future__ import annotations

import pytest

from hardline.tunnel.bundle import ENOUGH, LONG, RESTS, SHORTLY, Bundle, Look, Step, period

pytestmark = pytest.mark.pure

WINDOW = 3_000_000  # bytes of one connection in a round trip
TRIP = 0.1


class Way:
    """A way that passes `most` bytes a second, and a WINDOW in a round trip for each session."""

    def __init__(self, bundle: Bundle, most: float = 1e9, trip: float = TRIP) -> None:
        self.bundle, self.most, self.trip = bundle, most, trip
        self.now, self.moved = 1000.0, [0] * 16

    def look(self, *busy: int) -> Step:
        """A period goes by in which so many streams of each session move."""
        at_work = sum(streams > 0 for streams in busy)
        self.now += period(self.trip)
        for session, streams in enumerate(busy):
            if streams:
                self.moved[session] += int(min(WINDOW / self.trip, self.most / at_work) * period(self.trip))
        return self.bundle.look(Look(self.now, tuple(self.moved[: len(busy)]), busy), self.trip)

    def until(self, step: Step, *busy: int, looks: int = 20) -> bool:
        return any(self.look(*busy) is step for _ in range(looks))


def test_sessions_are_opened_one_by_one_as_long_as_each_brings_more() -> None:
    way = Way(Bundle(4))
    assert way.until(Step.OPEN, 8)
    assert not way.until(Step.OPEN, 8, 0), "no stream has taken it yet"
    assert way.until(Step.OPEN, 4, 4)
    assert way.until(Step.OPEN, 3, 3, 2)
    assert not way.until(Step.OPEN, 2, 2, 2, 2)


def test_the_windows_have_to_have_grown_first() -> None:
    bundle = Bundle(4)
    moved, step = 0, Step.NOTHING
    for number in range(10):
        moved += ENOUGH * 2**number
        step = bundle.look(Look(number * 0.4, (moved,), (8,)), TRIP)
        assert step is Step.NOTHING
    assert bundle.look(Look(4.0, (moved + ENOUGH * 2**9,), (8,)), TRIP) is Step.OPEN


def test_where_the_way_is_full_the_second_one_goes_again_and_none_follows_for_a_while() -> None:
    way = Way(Bundle(4), most=WINDOW / TRIP)
    assert way.until(Step.OPEN, 8)
    assert way.until(Step.SHED, 4, 4)
    assert not way.until(Step.OPEN, 8)
    way.now += RESTS
    assert way.until(Step.OPEN, 8)


def test_what_brought_more_stays_when_the_next_does_not() -> None:
    way = Way(Bundle(4), most=2 * WINDOW / TRIP)
    assert way.until(Step.OPEN, 8)
    assert way.until(Step.OPEN, 4, 4)
    assert way.until(Step.SHED, 3, 3, 2)
    assert not way.until(Step.SHED, 4, 4)


def test_what_was_of_use_is_opened_again_at_once() -> None:
    way = Way(Bundle(4))
    assert way.until(Step.OPEN, 8)
    assert way.until(Step.OPEN, 4, 4)
    way.bundle.idle()
    assert way.look(8) is Step.NOTHING
    assert way.look(8) is Step.OPEN


def test_nothing_is_judged_while_less_is_asked_for() -> None:
    way = Way(Bundle(4), most=WINDOW / TRIP)
    assert way.until(Step.OPEN, 8)
    assert not way.until(Step.SHED, 1, 1)


@pytest.mark.parametrize(
    ("busy", "most", "trip"),
    [
        ((1,), 1e9, TRIP),
        ((1, 1), 1e9, TRIP),
        ((8,), 1e9, LONG / 2),
        ((8,), ENOUGH / TRIP / 2, TRIP),
        ((0,), 1e9, TRIP),
        ((), 1e9, TRIP),
    ],
)
def test_none_for_one_stream_a_short_way_or_a_slow_one(busy: tuple[int, ...], most: float, trip: float) -> None:
    assert not Way(Bundle(4), most, trip).until(Step.OPEN, *busy)


def test_one_that_cannot_be_opened_is_not_tried_again_soon() -> None:
    way = Way(Bundle(4))
    assert way.until(Step.OPEN, 8)
    way.bundle.failed(way.now)
    assert not way.until(Step.OPEN, 8)
    way.now += SHORTLY
    assert way.until(Step.OPEN, 8)


def test_one_that_is_lost_before_it_is_judged_costs_no_other_its_place() -> None:
    way = Way(Bundle(4))
    assert way.until(Step.OPEN, 8)
    assert not way.until(Step.SHED, 8)
    assert not way.until(Step.OPEN, 8)


def test_a_bundle_of_one_never_opens() -> None:
    assert not Way(Bundle(1)).until(Step.OPEN, 8)


def test_a_new_session_has_time_to_grow_before_it_is_judged() -> None:
    way, grown = Way(Bundle(4)), 0
    assert way.until(Step.OPEN, 4, 4)
    way.look(3, 3, 2)
    for number in range(6):
        way.now += period(TRIP)
        for session in (0, 1):
            way.moved[session] += int(WINDOW / TRIP * period(TRIP))
        grown += ENOUGH * 2**number // 16
        way.moved[2] = grown
        assert way.bundle.look(Look(way.now, tuple(way.moved[:3]), (3, 3, 2)), TRIP) is Step.NOTHING
    assert not way.until(Step.SHED, 3, 3, 2)


def test_a_session_that_ended_between_two_looks_is_no_rate() -> None:
    bundle = Bundle(4)
    bundle.look(Look(0.0, (10**9, 10**9), (4, 4)), TRIP)
    assert bundle.look(Look(1.0, (10**9,), (8,)), TRIP) is Step.NOTHING
    assert bundle.look(Look(1.0, (10**9,), (8,)), TRIP) is Step.NOTHING
