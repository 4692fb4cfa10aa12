"""Conditional requests, against RFC 9110, section 13."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from hardline.http.conditional import Validators, Verdict, format_date, judge, parse_date, wanted_range

pytestmark = pytest.mark.pure

CHANGED = 1_700_000_000  # Tue, 14 Nov 2023 22:13:20 GMT
NOW = CHANGED + 3600.0
AT, BEFORE, AFTER = (format_date(CHANGED + offset) for offset in (0, -1, 1))
THERE = Validators('"abc"', CHANGED)
WEAK = Validators('W/"abc"', CHANGED)
UNKNOWN = Validators()

GO_ON, NOT_MODIFIED, FAILED = Verdict.GO_ON, Verdict.NOT_MODIFIED, Verdict.FAILED


def fields(**values: str | list[str]) -> CIMultiDict[str]:
    found: CIMultiDict[str] = CIMultiDict()
    for name, value in values.items():
        for each in [value] if isinstance(value, str) else value:
            found.add(name.replace("_", "-"), each)
    return found


@pytest.mark.parametrize(
    ("asked", "there", "verdict"),
    [
        (fields(), THERE, GO_ON),
        (fields(if_match='"abc"'), THERE, GO_ON),
        (fields(if_match='"x", "abc"'), THERE, GO_ON),
        (fields(if_match=['"x"', '"abc"']), THERE, GO_ON),
        (fields(if_match="*"), THERE, GO_ON),
        (fields(if_match="*"), UNKNOWN, GO_ON),
        (fields(if_match='"x"'), THERE, FAILED),
        (fields(if_match='W/"abc"'), THERE, FAILED),  # If-Match compares strongly
        (fields(if_match='"abc"'), WEAK, FAILED),
        (fields(if_match='W/"abc"'), WEAK, FAILED),
        (fields(if_match="abc"), THERE, FAILED),
        (fields(if_match=""), THERE, FAILED),
        (fields(if_match='"abc"'), UNKNOWN, FAILED),
        (fields(if_unmodified_since=AT), THERE, GO_ON),
        (fields(if_unmodified_since=AFTER), THERE, GO_ON),
        (fields(if_unmodified_since=BEFORE), THERE, FAILED),
        (fields(if_unmodified_since="yesterday"), THERE, GO_ON),
        (fields(if_unmodified_since=[BEFORE, BEFORE]), THERE, GO_ON),
        (fields(if_unmodified_since=BEFORE), UNKNOWN, GO_ON),
        (fields(if_match='"abc"', if_unmodified_since=BEFORE), THERE, GO_ON),  # the tag counts
        (fields(if_match='"x"', if_unmodified_since=AFTER), THERE, FAILED),
        (fields(if_none_match='"abc"'), THERE, NOT_MODIFIED),
        (fields(if_none_match='W/"abc"'), THERE, NOT_MODIFIED),  # If-None-Match compares weakly
        (fields(if_none_match='"abc"'), WEAK, NOT_MODIFIED),
        (fields(if_none_match='"x",\t"y" , "abc"'), THERE, NOT_MODIFIED),
        (fields(if_none_match=['"x"', '"abc"']), THERE, NOT_MODIFIED),
        (fields(if_none_match=',,"abc"'), THERE, NOT_MODIFIED),
        (fields(if_none_match="*"), THERE, NOT_MODIFIED),
        (fields(if_none_match='"x"'), THERE, GO_ON),
        (fields(if_none_match='"ABC"'), THERE, GO_ON),
        (fields(if_none_match="abc"), THERE, GO_ON),
        (fields(if_none_match='"abc'), THERE, GO_ON),
        (fields(if_none_match='w/"abc"'), THERE, GO_ON),
        (fields(if_none_match='"x,y", "a b"'), THERE, GO_ON),
        (fields(if_modified_since=AT), THERE, NOT_MODIFIED),
        (fields(if_modified_since=AFTER), THERE, NOT_MODIFIED),
        (fields(if_modified_since=BEFORE), THERE, GO_ON),
        (fields(if_modified_since="yesterday"), THERE, GO_ON),
        (fields(if_modified_since=[AT, AT]), THERE, GO_ON),
        (fields(if_modified_since=AT), UNKNOWN, GO_ON),
        (fields(if_none_match='"x"', if_modified_since=AFTER), THERE, GO_ON),  # the tag counts
        (fields(if_none_match='"abc"', if_modified_since=BEFORE), THERE, NOT_MODIFIED),
        (fields(if_match='"abc"', if_none_match='"abc"'), THERE, NOT_MODIFIED),
        (fields(if_match='"x"', if_none_match='"abc"'), THERE, FAILED),
        (fields(if_unmodified_since=BEFORE, if_modified_since=AT), THERE, FAILED),
    ],
)
def test_conditions_are_judged_in_their_order(asked, there, verdict):
    assert judge("GET", asked, there, NOW) == verdict
    assert judge("HEAD", asked, there, NOW) == verdict


@pytest.mark.parametrize("tag", ['"a,b"', '""', '"a b"', '"\\"', '"é"', '"W/"'])
def test_a_tag_may_have_anything_but_a_quote(tag):
    there = Validators(tag, CHANGED)
    expected = GO_ON if " " in tag else NOT_MODIFIED  # a space is none of its letters
    assert judge("GET", fields(if_none_match=f'"x", {tag}'), there, NOW) == expected


def test_what_changes_things_gets_412_instead_of_304():
    assert judge("PUT", fields(if_none_match="*"), THERE, NOW) == FAILED
    assert judge("PUT", fields(if_modified_since=AFTER), THERE, NOW) == GO_ON


def test_a_very_long_list_of_tags_takes_no_time():
    assert judge("GET", fields(if_none_match='"x",' * 50_000), THERE, NOW) == GO_ON
    assert judge("GET", fields(if_none_match=", " * 100_000 + "x"), THERE, NOW) == GO_ON


@pytest.mark.parametrize(
    ("asked", "there", "counts"),
    [
        (fields(range="bytes=0-1"), THERE, True),
        (fields(range="bytes=0-1", if_range='"abc"'), THERE, True),
        (fields(range="bytes=0-1", if_range=' "abc" '), THERE, True),
        (fields(range="bytes=0-1", if_range='"x"'), THERE, False),
        (fields(range="bytes=0-1", if_range='W/"abc"'), WEAK, False),
        (fields(range="bytes=0-1", if_range='"abc"'), WEAK, False),
        (fields(range="bytes=0-1", if_range="*"), THERE, False),
        (fields(range="bytes=0-1", if_range='"abc", "x"'), THERE, False),
        (fields(range="bytes=0-1", if_range=AT), THERE, True),
        (fields(range="bytes=0-1", if_range=AFTER), THERE, False),  # an exact match, not a comparison
        (fields(range="bytes=0-1", if_range=BEFORE), THERE, False),
        (fields(range="bytes=0-1", if_range=AT), UNKNOWN, False),
        (fields(range="bytes=0-1", if_range="yesterday"), THERE, False),
        (fields(range="bytes=0-1", if_range=['"abc"', '"abc"']), THERE, False),
        (fields(range=["bytes=0-1", "bytes=2-3"]), THERE, False),
        (fields(if_range='"abc"'), THERE, False),
    ],
)
def test_a_range_counts_if_it_is_of_what_is_there(asked, there, counts):
    assert wanted_range("GET", asked, there, NOW) == ("bytes=0-1" if counts else None)
    assert wanted_range("HEAD", asked, there, NOW) is None


def test_a_date_is_not_trusted_within_the_second_of_the_change():
    asked = fields(range="bytes=0-1", if_range=AT)
    assert wanted_range("GET", asked, THERE, CHANGED + 0.5) is None
    assert wanted_range("GET", asked, THERE, CHANGED + 1) == "bytes=0-1"
    assert wanted_range("GET", asked, THERE, CHANGED - 100.0) is None


# ── dates ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_date_has_three_forms():
    # RFC 9110, section 5.6.7
    for text in ("Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"):
        assert parse_date(text, NOW) == 784_111_777
    assert format_date(784_111_777) == "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Wed, 30 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT\n",
        "x Sun, 06 Nov 1994 08:49:37 GMT",
        "1994-11-06T08:49:37Z",
    ],
)
def test_anything_else_is_no_date(text):
    assert parse_date(text, NOW) is None


@pytest.mark.parametrize(("year", "full"), [("23", 2023), ("73", 2073), ("74", 1974), ("99", 1999), ("00", 2000)])
def test_a_year_of_two_digits_is_never_more_than_fifty_years_ahead(year, full):
    expected = int(datetime(full, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp())
    assert parse_date(f"Monday, 02-Jan-{year} 03:04:05 GMT", NOW) == expected


def test_a_leap_second_is_a_second():
    assert parse_date("Sat, 31 Dec 2016 23:59:60 GMT", NOW) == parse_date("Sun, 01 Jan 2017 00:00:00 GMT", NOW)


@given(st.integers(0, 253_402_300_799))
def test_a_date_is_what_everybody_else_reads_and_writes(seconds):
    text = format_date(seconds)
    assert text is not None
    assert parse_date(text, NOW) == seconds
    assert parsedate_to_datetime(text).timestamp() == seconds
    assert format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True) == text


@given(st.integers())
def test_what_no_calendar_has_is_no_date(seconds):
    assert (format_date(seconds) is None) == (not 0 <= seconds <= 253_402_300_799)


@given(st.text())
def test_no_text_breaks_the_reading_of_dates(text):
    assert parse_date(text, NOW) is None or text
