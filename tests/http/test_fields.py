"""Lists in fields, as RFC 9110, 5.6.1 has them, and as hostile services write them."""

from __future__ import annotations

import pytest

from hardline.http.fields import end_to_end, items
from tests.support.costs import times_as_long

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("text", "members"),
    [
        *(("a, b", ["a", "b"]), (" , a,,b ,", ["a", "b"]), ("", [])),
        *(('a="x, y", b', ['a="x, y"', "b"]), (r'"a\"b", c', [r'"a\"b"', "c"])),
        *(('a, "b, c', ["a", "b", "c"]), ('"a", "b\\', ['"a"', "b\\"])),
    ],
)
def test_members_are_what_stands_between_commas_outside_quotes(text, members):
    assert list(items(text)) == members


def test_a_field_full_of_quotes_that_never_end_takes_no_time():
    def read(text: str) -> None:
        assert len(list(items(text))) == len(text) // 3

    assert times_as_long(read, '"a\\' * 2500, '"a\\' * 10_000) < 10  # 16 where each quote is followed to the end


NEVER_DROPPED = [
    "authorization",
    "cookie",
    "host",
    "content-length",
    "origin",
    "range",
    "cache-control",
    "x-forwarded-for",
]


@pytest.mark.parametrize(
    "name", [*NEVER_DROPPED, "if-none-match", "referer", "forwarded", "set-cookie", "vary", "expires"]
)
def test_no_connection_takes_away_who_asks_or_what_is_asked(name):
    fields = (("Connection", f"close, {name.title()}, X-Hop"), (name.upper(), "x"), ("X-Hop", "y"))
    assert end_to_end(fields) == ((name.upper(), "x"),)
