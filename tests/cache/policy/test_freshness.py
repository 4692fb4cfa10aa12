"""How old stored answers are, and whether they may be used: RFC 9111, section 4.2, and RFC 5861."""

from __future__ import annotations

import pytest

from hardline.cache.kept.heads import StoredHead
from hardline.cache.policy.cachecontrol import FOREVER, of_request
from hardline.cache.policy.freshness import Use, freshness, may_stand_in, may_use
from hardline.http.conditional import format_date

pytestmark = pytest.mark.pure

NOW = 1_790_000_000
WEEK = 604_800.0


def date(seconds: int) -> str:
    """The date so many seconds from NOW."""
    return format_date(NOW + seconds) or ""


def stored(*fields: tuple[str, str], status: int = 200, took: float = 0.0) -> StoredHead:
    """An answer that came at NOW."""
    return StoredHead(status, "OK", fields, NOW - took, NOW)


@pytest.mark.parametrize(
    ("fields", "lifetime"),
    [
        ([("Cache-Control", "max-age=60")], 60),
        ([("cache-control", "s-maxage=30, max-age=60")], 30),
        ([("Cache-Control", "max-age=0, s-maxage=60")], 60),
        ([("Cache-Control", "max-age=60"), ("Expires", date(-100))], 60),
        ([("Cache-Control", "max-age=0"), ("Expires", date(100)), ("Date", date(0))], 0),
        ([("Cache-Control", "max-age=x"), ("Expires", date(100)), ("Date", date(0))], 0),
        ([("Expires", date(100)), ("Date", date(0))], 100),
        ([("Expires", date(100)), ("Date", date(40))], 60),
        ([("Expires", date(100)), ("Date", "nonsense")], 100),
        ([("Expires", date(100))], 100),
        ([("Expires", date(-100)), ("Date", date(0))], 0),
        ([("Expires", "0"), ("Date", date(0))], 0),
        ([("Expires", "-1")], 0),
        ([("Expires", "")], 0),
        ([("Expires", date(100)), ("Expires", date(50)), ("Date", date(0))], 50),
        ([("Expires", date(100)), ("Expires", "0")], 0),
        ([("Expires", "Thursday, 18-Aug-50 02:01:18 GMT"), ("Date", date(0))], 754_400_878),
        ([("Expires", "Thu Aug 18 02:01:18 2050"), ("Date", date(0))], 754_400_878),
        ([("Expires", "Thu, 18 Aug 2050 02:01:18 UTC")], 0),
        ([("Expires", "Fri, 01 Jan 9999 00:00:00 GMT")], FOREVER),
        ([("CDN-Cache-Control", "max-age=5"), ("Cache-Control", "max-age=60"), ("Expires", date(100))], 5),
        ([("CDN-Cache-Control", "foo"), ("Cache-Control", "max-age=60"), ("Expires", date(100))], WEEK),
        ([], WEEK),
        ([("Cache-Control", "public")], WEEK),
        ([("Last-Modified", date(-100))], WEEK),
    ],
)
def test_a_lifetime_is_what_was_said_first_then_what_the_owner_set(fields, lifetime: float) -> None:
    assert freshness(stored(*fields), NOW, WEEK).lifetime == lifetime


@pytest.mark.parametrize("status", [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501])
def test_the_owners_lifetime_is_for_what_may_be_used_without_a_word(status: int) -> None:
    assert freshness(stored(status=status), NOW, WEEK).lifetime == WEEK


@pytest.mark.parametrize("status", [201, 202, 302, 303, 307, 400, 401, 403, 500, 502, 503, 504, 599])
def test_the_owners_lifetime_is_not_for_any_other_status_unless_it_says_public(status: int) -> None:
    assert freshness(stored(status=status), NOW, WEEK).lifetime == 0
    assert freshness(stored(("Cache-Control", "public"), status=status), NOW, WEEK).lifetime == WEEK


@pytest.mark.parametrize(
    ("fields", "took", "age"),
    [
        ([], 0, 10),
        ([("Date", date(0))], 0, 10),
        ([("Date", date(-5))], 0, 15),
        ([("Date", date(50))], 0, 10),
        ([("Date", "nonsense")], 0, 10),
        ([("Age", "7")], 0, 17),
        ([("Age", "7"), ("Date", date(-5))], 0, 17),
        ([("Age", "7"), ("Date", date(-9))], 0, 19),
        ([("Age", "7")], 3, 20),
        ([("Age", "0, 7200")], 0, 10),
        ([("Age", "7"), ("Age", "9")], 0, 17),
        ([("Age", "abc")], 0, 10),
        ([("Age", "-7")], 0, 10),
        ([("Age", "7.0")], 0, 10),
        ([("Age", "7;x=1")], 0, 10),
        ([("Age", "")], 0, 10),
        ([("Age", "9" * 100)], 0, FOREVER),
    ],
)
def test_an_age_is_what_it_was_and_the_time_since(fields, took: float, age: int) -> None:
    assert freshness(stored(*fields, took=took), NOW + 10, WEEK).age == age


def test_a_clock_that_was_set_back_makes_nothing_younger_than_it_came() -> None:
    assert freshness(stored(("Age", "7")), NOW - 1000, WEEK).age == 7


@pytest.mark.parametrize(
    ("answer", "request_", "age", "use"),
    [
        ("max-age=60", "", 59, Use.FRESH),
        ("max-age=60", "", 60, Use.ASK),
        ("max-age=60, no-cache", "", 0, Use.ASK),
        ('max-age=60, no-cache="x"', "", 0, Use.FRESH),
        ("max-age=60, must-revalidate", "", 59, Use.FRESH),
        ("max-age=60", "no-cache", 0, Use.ASK),
        ("max-age=60", "max-age=10", 10, Use.FRESH),
        ("max-age=60", "max-age=10", 11, Use.ASK),
        ("max-age=60", "max-age=0", 0, Use.ASK),
        ("max-age=60", "max-age=x", 0, Use.ASK),
        ("max-age=60", "min-fresh=20", 39, Use.FRESH),
        ("max-age=60", "min-fresh=20", 40, Use.ASK),
        ("max-age=60", "max-stale", 100_000, Use.STALE),
        ("max-age=60", "max-stale=20", 80, Use.STALE),
        ("max-age=60", "max-stale=20", 81, Use.ASK),
        ("max-age=60", "max-stale=x", 61, Use.ASK),
        ("max-age=60, must-revalidate", "max-stale", 61, Use.ASK),
        ("max-age=60, proxy-revalidate", "max-stale", 61, Use.ASK),
        ("s-maxage=60", "max-stale", 61, Use.ASK),
        ("max-age=60, stale-while-revalidate=30", "", 90, Use.MEANWHILE),
        ("max-age=60, stale-while-revalidate=30", "", 91, Use.ASK),
        ("max-age=60, stale-while-revalidate=30, must-revalidate", "", 61, Use.ASK),
        ("max-age=60, stale-while-revalidate=30", "max-age=70", 65, Use.ASK),
        ("max-age=60, stale-while-revalidate=30", "no-cache", 61, Use.ASK),
    ],
)
def test_what_may_be_done_with_what_is_stored(answer: str, request_: str, age: int, use: Use) -> None:
    request = of_request((("Cache-Control", request_),)) if request_ else of_request(())
    assert may_use(stored(("Cache-Control", answer)), request, NOW + age, WEEK) is use


@pytest.mark.parametrize(
    ("answer", "request_", "failed", "may"),
    [
        ("max-age=60", "", False, True),
        ("max-age=60", "", True, False),
        ("max-age=60, stale-if-error=200", "", True, True),
        ("max-age=60, stale-if-error=20", "", True, False),
        ("max-age=60", "stale-if-error=200", True, True),
        ("max-age=60, must-revalidate, stale-if-error=200", "", True, False),
        ("max-age=60, must-revalidate", "", False, False),
        ("max-age=60, proxy-revalidate", "", False, False),
        ("max-age=60, s-maxage=60", "", False, False),
        ("max-age=60, no-cache", "", False, False),
        ("max-age=600, must-revalidate", "no-cache", False, True),
        ("", "", False, True),
    ],
)
def test_what_may_stand_in_for_an_answer_that_cannot_be_had(
    answer: str, request_: str, failed: bool, may: bool
) -> None:
    request = of_request((("Cache-Control", request_),))
    head = stored(("Cache-Control", answer))
    assert may_stand_in(head, request, NOW + 100, 60, failed=failed) is may


def test_an_answer_that_failed_itself_stands_in_for_nothing() -> None:
    assert not may_stand_in(stored(status=503), of_request(()), NOW + 100, 60, failed=False)
