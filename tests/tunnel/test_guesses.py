"""How often a password may be guessed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.tunnel import guesses
from hardline.tunnel.guesses import MAX_SOURCES, OF_A_SERVICE, OF_A_SOURCE, SOURCE_EVERY, TELL_EVERY, Guesses

pytestmark = pytest.mark.pure


def judged(table: Guesses, source: str, seconds: float, *, since: float = 0.0, service: str = "diary") -> int:
    """How many of its guesses are judged when it guesses wrong a hundred times a second for so long."""
    count = 0
    for step in range(int(seconds * 100)):
        now = since + step / 100
        if not table.wait(service, source, now):
            table.wrong(service, source, now)
            count += 1
    return count


def test_a_source_has_five_wrong_guesses_and_then_one_in_ten_seconds():
    assert judged(Guesses(), "a", 1.0) == OF_A_SOURCE
    assert judged(Guesses(), "a", 100.0) == OF_A_SOURCE + 9


def test_it_is_told_how_long_to_wait():
    table = Guesses()
    for _ in range(OF_A_SOURCE):
        table.wrong("diary", "a", 0.0)
    assert table.wait("diary", "a", 4.0) == pytest.approx(SOURCE_EVERY - 4.0)
    assert table.wait("diary", "a", SOURCE_EVERY) == 0.0


def test_many_sources_together_have_sixty_a_minute_of_one_service():
    table = Guesses()
    sources = [f"s{number}" for number in range(200)]
    for source in sources:
        table.wrong("diary", source, 0.0)
    count = 0
    for step in range(6000):
        source, now = sources[step % len(sources)], step / 100
        if not table.wait("diary", source, now):
            table.wrong("diary", source, now)
            count += 1
    assert count <= OF_A_SERVICE


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0, 5)), max_size=300))
def test_who_never_guessed_wrong_never_waits(steps):
    table, now = Guesses(), 0.0
    for source, pause in steps:
        now += pause
        table.wrong("diary", f"s{source}", now)
        assert table.wait("diary", "honest", now) == 0.0
    assert table.wait("another", "s0", now) == 0.0


def test_right_ones_cost_nothing():
    table = Guesses()
    table.wrong("diary", "a", 0.0)
    assert all(table.wait("diary", "a", second / 10) == 0.0 for second in range(1000))


def test_the_owner_is_told_once_an_hour_and_of_all_of_them():
    table = Guesses()
    seconds = range(0, 2 * int(TELL_EVERY), 10)
    told = {second: table.wrong("diary", f"s{second % 7}", float(second)) for second in seconds}
    assert [second for second, count in told.items() if count] == [40, 40 + TELL_EVERY]
    assert sum(told.values()) + table.untold("diary", 3 * TELL_EVERY) == 2 * TELL_EVERY / 10


def test_somebody_who_mistypes_is_no_news():
    table = Guesses()
    assert [table.wrong("diary", "a", second) for second in (0.0, 1.0, 2.0)] == [0, 0, 0]


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(guesses, "MAX_SERVICES", 100)
    table = Guesses()
    for number in range(MAX_SOURCES + 500):
        table.wrong(f"service {number}", f"source {number}", float(number))
    assert len(table._sources) == MAX_SOURCES
    assert len(table._services) == 100


def test_after_an_hour_a_source_is_as_new():
    table = Guesses()
    assert judged(table, "a", 1.0) == OF_A_SOURCE
    assert judged(table, "a", 1.0, since=4000.0) == OF_A_SOURCE
