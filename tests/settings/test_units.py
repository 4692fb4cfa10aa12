"""Durations, sizes and the like, as people write them (docs/SETTINGS.md)."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.settings import units
from hardline.settings.units import GB, KB, MB, Unreadable

pytestmark = pytest.mark.pure

READERS = [units.parse_duration, units.parse_size, units.parse_number, units.parse_yes_no]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("0.25", 0.25),
        ("10m", 600),
        ("2h", 7200),
        ("7d", 604_800),
        ("1.5h", 5400),
        ("15 s", 15),
        ("2H", 7200),
    ],
)
def test_a_duration_is_seconds_or_has_a_unit(text, seconds):
    assert units.parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("4096", 4096), ("64KB", 64 * KB), ("256mb", 256 * MB), ("1GB", GB), ("1.5 MB", 3 * MB // 2), ("7B", 7)],
)
def test_a_size_is_bytes_or_has_a_unit_that_is_a_power_of_1024(text, size):
    assert units.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "-1", "m", "1x", "1e3", "nan", "inf", "1..5", "٣", "1m2", "9" * 400])
@pytest.mark.parametrize("read", [units.parse_duration, units.parse_size])
def test_what_is_no_amount_is_refused_with_examples(read, text):
    with pytest.raises(Unreadable, match="such as"):
        read(text)


@given(st.integers(0, 10**12))
def test_a_duration_comes_back_from_its_text_to_the_millisecond(milliseconds):
    assert units.parse_duration(units.format_duration(milliseconds / 1000)) == milliseconds / 1000


@given(st.integers(0, 10**14) | st.integers(0, 10**6).map(lambda n: n * MB))
def test_a_size_comes_back_from_its_text_exactly(size):
    assert units.parse_size(units.format_size(size)) == size


def test_amounts_are_printed_in_the_biggest_unit_that_loses_nothing():
    assert [units.format_duration(s) for s in (0, 0.25, 90, 600, 5400, 604_800)] == [
        *("0", "0.25", "90", "10m", "90m", "7d")
    ]
    assert [units.format_size(n) for n in (0, 1000, KB, 1536, 256 * MB, GB)] == [
        *("0", "1000", "1KB", "1536", "256MB", "1GB")
    ]


@given(st.text())
@pytest.mark.parametrize("read", READERS)
def test_any_text_gives_a_value_or_unreadable(read, text):
    with suppress(Unreadable):
        assert read(text) >= 0


@pytest.mark.parametrize("text", ["yes", "TRUE", "On", "1"])
def test_yes_has_four_spellings(text):
    assert units.parse_yes_no(text) is True


@pytest.mark.parametrize("text", ["no", "False", "off", "0"])
def test_no_has_four_spellings(text):
    assert units.parse_yes_no(text) is False


def test_readers_say_the_range_that_they_want():
    with pytest.raises(Unreadable, match="a number from 1 to 9"):
        units.number(1, 9)("10")
    with pytest.raises(Unreadable, match="a duration from 1 to 10m"):
        units.duration(1, 600)("11m")
    with pytest.raises(Unreadable, match="a size from 1KB to 1MB"):
        units.size(KB, MB)("2MB")
    with pytest.raises(Unreadable, match="or none"):
        units.or_none(units.duration(1, 600))("never")
    with pytest.raises(Unreadable, match="one of text, json"):
        units.choice("text", "json")("xml")


def test_a_list_has_commas_or_new_lines_and_a_limit():
    read = units.list_of(units.number(0, 9))
    assert read("1, 2\n3,\n") == (1, 2, 3)
    assert read("") == ()
    with pytest.raises(Unreadable, match="at most 100 entries"):
        read("1," * 101)
