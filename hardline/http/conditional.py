"""Whether a request's conditions hold for what there is: without I/O.

    If-Match ─┬─▶ If-Unmodified-Since      does not hold: 412
              └─▶ If-None-Match ─┬─▶ If-Modified-Since      does not hold: 304 for GET and HEAD, else 412
                                 └─▶ Range, If-Range        does not hold: the whole

Each arrow to the right is taken only where the field on its left is not there.
Source: RFC 9110, sections 5.6.7, 8.8 and 13.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import lru_cache
from typing import Protocol

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = 253_402_300_799  # the end of the year 9999

_TIME = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_MONTH = f"(?P<month>{'|'.join(_MONTHS)})"
_DATES = (
    re.compile(rf"(?:{'|'.join(_DAYS)}), (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT\Z"),
    re.compile(
        rf"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT\Z"
    ),
    re.compile(rf"(?:{'|'.join(_DAYS)}) {_MONTH} (?P<day>[0-9 ][0-9]) {_TIME} (?P<year>[0-9]{{4}})\Z"),
)
_TAG = re.compile(r'[ \t,]*((?:W/)?"[!\x23-\x7e\x80-\U0010ffff]*")[ \t]*(?=,|\Z)')


class Fields(Protocol):
    """A request's fields; several of one name are several values."""

    def getall(self, key: str, default: Sequence[str], /) -> Sequence[str]: ...

    def __contains__(self, key: object, /) -> bool: ...


class Verdict(Enum):
    """What the conditions make of an answer that would otherwise be 200."""

    GO_ON = 200
    NOT_MODIFIED = 304
    FAILED = 412


@dataclass(frozen=True, slots=True)
class Validators:
    """What is known of the selected representation.

    `etag` is the field's value, with its quotes; `modified` seconds since the epoch, None when not known.
    """

    etag: str | None = None
    modified: int | None = None


def judge(method: str, fields: Fields, there: Validators, now: float) -> Verdict:
    """What If-Match, If-Unmodified-Since, If-None-Match and If-Modified-Since say of something that is there.

    `now` is seconds since the epoch: a year of two digits needs it.
    """
    if "If-Match" in fields:
        if not _named(fields.getall("If-Match", ()), there.etag, weak=False):
            return Verdict.FAILED
    elif "If-Unmodified-Since" in fields and there.modified is not None:
        limit = _date_of(fields, "If-Unmodified-Since", now)
        if limit is not None and there.modified > limit:
            return Verdict.FAILED
    reading = method in ("GET", "HEAD")
    if "If-None-Match" in fields:
        if _named(fields.getall("If-None-Match", ()), there.etag, weak=True):
            return Verdict.NOT_MODIFIED if reading else Verdict.FAILED
    elif "If-Modified-Since" in fields and reading and there.modified is not None:
        limit = _date_of(fields, "If-Modified-Since", now)
        if limit is not None and there.modified <= limit:
            return Verdict.NOT_MODIFIED
    return Verdict.GO_ON


def wanted_range(method: str, fields: Fields, there: Validators, now: float) -> str | None:
    """The value of Range that counts, None when the whole is to be sent; after `judge` said to go on.

    A date in If-Range names what is there only if that did not change within the second it was made.
    """
    if "Range" not in fields or method != "GET":
        return None
    ranges = fields.getall("Range", ())
    if len(ranges) != 1:
        return None
    if "If-Range" in fields:
        conditions = fields.getall("If-Range", ())
        if len(conditions) != 1:
            return None
        condition = conditions[0].strip(" \t")
        if condition.endswith('"'):
            if condition != there.etag or condition.startswith("W/"):
                return None
        elif there.modified is None or parse_date(condition, now) != there.modified or now - there.modified < 1:
            return None
    return ranges[0]


def parse_date(text: str, now: float) -> int | None:
    """Seconds since the epoch from any of the three forms of HTTP-date, None for anything else."""
    for form in _DATES:
        if match := form.match(text):
            break
    else:
        return None
    year = int(match["year"])
    if len(match["year"]) == 2:  # the latest such year that is not more than 50 years ahead
        ahead = (_EPOCH + timedelta(seconds=now)).year + 50
        year += ahead // 100 * 100
        year -= 100 if year > ahead else 0
    second = int(match["second"])
    try:
        moment = datetime(
            year, _MONTHS.index(match["month"]) + 1, int(match["day"]), int(match["hour"]), int(match["minute"]),
            min(second, 59), tzinfo=UTC,
        )  # fmt: skip
    except ValueError:
        return None
    if second > 60:
        return None
    return (moment - _EPOCH) // timedelta(seconds=1) + (1 if second == 60 else 0)


@lru_cache(maxsize=4096)
def format_date(seconds: int) -> str | None:
    """Seconds since the epoch as HTTP-date, None before 1970 and after 9999: files have been dated so."""
    if not 0 <= seconds <= _LATEST:
        return None
    moment = _EPOCH + timedelta(seconds=seconds)
    return (
        f"{_DAYS[moment.weekday()]}, {moment.day:02} {_MONTHS[moment.month - 1]} {moment.year:04} "
        f"{moment.hour:02}:{moment.minute:02}:{moment.second:02} GMT"
    )


def _date_of(fields: Fields, name: str, now: float) -> int | None:
    values = fields.getall(name, ())
    return parse_date(values[0].strip(" \t"), now) if len(values) == 1 else None


def _named(values: Sequence[str], etag: str | None, *, weak: bool) -> bool:
    """Whether a list of entity tags names something that is there and has the tag `etag`, if any."""
    if len(values) == 1 and values[0].strip(" \t") == "*":
        return True
    if etag is None or (not weak and etag.startswith("W/")):
        return False
    opaque = etag.removeprefix("W/")
    for value in values:
        position = 0
        while match := _TAG.match(value, position):
            tag = match[1].removeprefix("W/") if weak else match[1]
            if tag == opaque:
                return True
            position = match.end()
    return False
