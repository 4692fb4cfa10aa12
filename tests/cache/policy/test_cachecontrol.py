"""Cache-Control in every spelling: RFC 9111, section 5.2, and CDN-Cache-Control: RFC 9213."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.cache.policy.cachecontrol import FOREVER, of_answer, of_request, parse

pytestmark = pytest.mark.pure


def lines(*values: str) -> tuple[tuple[str, str], ...]:
    return tuple(("Cache-Control", value) for value in values)


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        (["max-age=60"], 60),
        (["MAX-Age=60"], 60),
        (["  max-age=60  "], 60),
        (["public,max-age=60,x"], 60),
        ([", ,max-age=60,,"], 60),
        (["public", "max-age=60"], 60),
        (["max-age=0060"], 60),
        (['max-age="60"'], 60),
        (["max-age=60", "max-age=30"], 30),
        (["max-age=30, max-age=60"], 30),
        (["max-age=2147483647"], FOREVER - 1),
        (["max-age=2147483648"], FOREVER),
        (["max-age=" + "9" * 5000], FOREVER),
        (["max-age=" + "0" * 5000 + "1"], 1),
        (["max-age=-1"], 0),
        (["max-age=1.5"], 0),
        (["max-age=a1"], 0),
        (["max-age=1a"], 0),
        (["max-age='60'"], 0),
        (["max-age"], 0),
        (["max-age="], 0),
        (['max-age=""'], 0),
        (['max-age="60'], 0),
        (["max-age =60"], 0),
        (["max-age= 60"], 0),
        (["max-age=٣"], 0),
        (["max-age=60, max-age=x"], 0),
        (["public"], None),
        (['ext="max-age=60"'], None),
        (['ext="a\\", max-age=60"'], None),
        (["xmax-age=60"], None),
        (["max-age;60"], None),
        ([""], None),
        ([], None),
    ],
)
def test_seconds_are_read_to_the_letter(values: list[str], seconds: int | None) -> None:
    assert parse(lines(*values)).seconds("max-age") == seconds


@pytest.mark.parametrize(
    ("text", "bare", "fields"),
    [
        ("private", True, set()),
        ("PRIVATE", True, set()),
        ('private="x-user, X-Mood"', False, {"x-user", "x-mood"}),
        ("private=x-user", False, {"x-user"}),
        ('private="x-user", private', True, {"x-user"}),
        ('private=""', True, set()),
        ('private="x', True, set()),
        ("public", False, set()),
    ],
)
def test_a_directive_is_about_the_whole_or_about_fields(text: str, bare: bool, fields: set[str]) -> None:
    directives = parse(lines(text))
    assert directives.bare("private") is bare
    assert directives.fields_of("private") == fields


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no-store; no-cache", {"no-store", "no-cache"}),
        ("private; max-age=0", {"private"}),
        ("max-age=0; private", {"private"}),
        ("max-age=60 No-Store", {"no-store"}),
        ('max-age="60, private"', {"private"}),
        ("stale-while-revalidate=60;no-cache", {"no-cache"}),
        ("no-cache;", {"no-cache"}),
        ("no-store no-cache", {"no-store", "no-cache"}),
        ("PUBLIC PRIVATE", {"private"}),
        ('"no-store"', {"no-store"}),
        ('"no-store, no-cache"', {"no-store", "no-cache"}),
        ("'private'", {"private"}),
        ("'no-store', 'max-age=0'", {"no-store"}),
        ("no-store.", {"no-store"}),
        ("no-store|private", {"no-store", "private"}),
        ("no-store: 1", {"no-store"}),
        ("=private", {"private"}),
        ("Cache-Control: private", {"private"}),
        ("private=x-user; max-age=0", {"private"}),
        ('private="x-user"; max-age=0', {"private"}),
        ('private="x-user" no-store', {"private", "no-store"}),
        ('ext="a" no-store', {"no-store"}),
        ("ext=a;no-store", {"no-store"}),
        ('private="x-user"', set()),
        ("no-cache=x-user", set()),
        ('ext="no-store"', set()),
        ("ext=no-store", set()),
        ("my-private, no-stores, x_no-cache, private-ish; a", set()),
        ("public; max-age=60", set()),
    ],
)
def test_what_forbids_to_keep_or_to_share_counts_however_badly_it_is_written(text: str, words: set[str]) -> None:
    for fields in (lines(text), lines("public", f"max-age=60 , {text}")):
        directives = of_answer(fields)
        assert {word for word in ("no-store", "private", "no-cache") if directives.bare(word)} == words


def test_what_permits_counts_only_where_it_is_well_written() -> None:
    directives = of_answer(lines("public; s-maxage=60", "'max-age=60'", '"must-revalidate"'))
    assert "public" not in directives
    assert directives.seconds("s-maxage") is None
    assert directives.seconds("max-age") is None


def test_pragma_counts_only_where_there_is_no_cache_control() -> None:
    assert "no-cache" in of_request((("pragma", "foo, No-Cache"),))
    assert "no-cache" not in of_request((("pragma", "no-cache"), ("cache-control", "max-age=1")))
    assert "no-cache" not in of_answer((("pragma", "no-cache"),))


@pytest.mark.parametrize(
    ("text", "is_used"),
    [
        ("max-age=3600", True),
        ("foobar, max-age=3600", True),
        ("max-age=3600;param=1, private", True),
        ('private="a, b"', True),
        ("must-revalidate=?1", True),
        ("", False),
        ("max-age =3600", False),
        ("max-age= 3600", False),
        ("MAX-AGE=3600", False),
        ('max-age="3600"', False),
        ("max-age", False),
        ("max-age=36.5", False),
        ("max-age=-1", False),
        ("max-age=3600,", False),
        ("max-age=3600 private", False),
        ("max-age=3600, &&&", False),
        ('private="a', False),
        ("max-age=3600;private", True),
    ],
)
def test_a_targeted_field_counts_if_it_is_a_dictionary(text: str, is_used: bool) -> None:
    directives = of_answer((("CDN-Cache-Control", text), ("Cache-Control", "no-store")))
    assert directives.targeted is is_used
    assert ("no-store" in directives) is not is_used


@pytest.mark.parametrize("text", ['"no-store"', "NO-STORE", "no-store no-cache", "max-age=60; no-store", "no-store,"])
def test_a_targeted_field_forbids_however_badly_it_is_written(text: str) -> None:
    assert of_answer((("CDN-Cache-Control", text), ("Cache-Control", "public, max-age=60"))).bare("no-store")


@given(st.lists(st.text(max_size=40), max_size=4))
def test_whatever_is_sent_is_read_without_an_error(values: list[str]) -> None:
    for name in ("Cache-Control", "CDN-Cache-Control", "Pragma"):
        fields = tuple((name, value) for value in values)
        for directives in (parse(fields), of_request(fields), of_answer(fields)):
            seconds = directives.seconds("max-age")
            assert seconds is None or 0 <= seconds <= FOREVER
