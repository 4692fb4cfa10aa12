"""What may be kept for others: RFC 9111, sections 3 and 3.5; and with which fields: section 3.1."""

from __future__ import annotations

import pytest

from hardline.cache.kept.heads import StoredHead
from hardline.cache.policy.storable import kept_fields, may_store

pytestmark = pytest.mark.pure

NOW = 1_790_000_000
COOKIE = ("Cookie", "a=b")
KNOWN = ("Authorization", "Basic x")


def may(*fields: tuple[str, str], status: int = 200, asked=(), max_age: float = 60) -> bool:
    return may_store(tuple(asked), StoredHead(status, "", tuple(fields), NOW, NOW), max_age)


def said(text: str) -> tuple[str, str]:
    return ("Cache-Control", text)


@pytest.mark.parametrize(
    ("fields", "asked", "expected"),
    [
        ([said("max-age=60")], [], True),
        ([], [], True),
        ([said("no-store")], [], False),
        ([said("No-Store, max-age=60")], [], False),
        ([said("max-age=60")], [said("no-store")], False),
        ([said("private, max-age=60")], [], False),
        ([said('private="x-user", max-age=60')], [], True),
        ([said("max-age=60"), ("Set-Cookie", "a=b")], [], False),
        ([said("public, s-maxage=60"), ("set-cookie", "a=b")], [], False),
        ([said("max-age=60")], [COOKIE], False),
        ([said("max-age=60, public")], [COOKIE], True),
        ([said("s-maxage=60")], [COOKIE], True),
        ([said("max-age=60, must-revalidate")], [COOKIE], False),
        ([said("max-age=60")], [KNOWN], False),
        ([said("max-age=60, public")], [KNOWN], True),
        ([said("s-maxage=60")], [KNOWN], True),
        ([said("max-age=60, must-revalidate")], [KNOWN], True),
        ([said("no-cache")], [], False),
        ([said("no-cache"), ("ETag", '"a"')], [], True),
        ([said("max-age=0, must-revalidate")], [], False),
        ([said("max-age=0, must-revalidate"), ("Last-Modified", "x")], [], True),
        ([said("max-age=0")], [], True),
        ([("Content-Type", "text/event-stream; charset=utf-8")], [], False),
        ([("Content-Type", "Multipart/X-Mixed-Replace;boundary=x")], [], False),
        ([said("no-store, must-understand, max-age=60")], [], True),
        ([said("no-store"), ("CDN-Cache-Control", "max-age=60")], [], True),
        ([said("max-age=60"), ("CDN-Cache-Control", "private")], [], False),
    ],
)
def test_what_is_stored(fields, asked, expected: bool) -> None:
    assert may(*fields, asked=asked) is expected


@pytest.mark.parametrize("status", [200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 503, 599])
def test_a_lifetime_that_was_said_is_enough_for_any_final_status(status: int) -> None:
    assert may(said("max-age=60"), status=status)
    assert may(("Expires", "Thu, 18 Aug 2050 02:01:18 GMT"), status=status)


@pytest.mark.parametrize("status", [101, 103, 206, 304])
def test_some_answers_are_no_wholes(status: int) -> None:
    assert not may(said("max-age=60"), status=status)


@pytest.mark.parametrize("condition", ["If-Match", "if-none-match", "If-Unmodified-Since", "Range"])
def test_what_a_condition_brought_about_is_for_nobody_else(condition: str) -> None:
    for status, expected in ((200, True), (404, False), (412, False), (416, False)):
        assert may(said("max-age=60"), status=status, asked=[(condition, "x")]) is expected


@pytest.mark.parametrize("status", [201, 202, 302, 403, 500, 503, 599])
def test_without_a_word_only_some_statuses_are_stored(status: int) -> None:
    assert not may(status=status)
    assert may(said("public"), status=status)


def test_an_answer_that_wants_to_be_understood_is_not_stored_when_it_is_not() -> None:
    assert not may(said("max-age=60, must-understand"), status=599)
    assert may(said("max-age=60, must-understand"), status=404)


def test_what_belongs_to_a_connection_or_to_one_visitor_is_not_kept() -> None:
    fields = (
        ("Content-Type", "text/plain"),
        ("Connection", "close, X-Hop, Cache-Control, Set-Cookie"),
        ("X-Hop", "1"),
        ("Keep-Alive", "5"),
        ("Proxy-Authenticate", "x"),
        ("Transfer-Encoding", "chunked"),
        ("Trailer", "x"),
        ("Upgrade", "x"),
        ("X-User", "alice"),
        ("X-Mood", "good"),
        ("X-One", "1"),
        ("x-one", "2"),
        ("Cache-Control", 'private="x-user", no-cache="X-Mood", max-age=60'),
    )
    assert [name for name, _ in kept_fields(fields)] == ["Content-Type", "X-One", "x-one", "Cache-Control"]
