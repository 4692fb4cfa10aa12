"""Asking whether what is stored holds, and what an answer to that changes: RFC 9111, sections 3.2, 4.3 and 4.4."""

from __future__ import annotations

import pytest

from hardline.cache.kept.heads import StoredHead
from hardline.cache.policy import variants
from hardline.cache.policy.cachecontrol import of_request
from hardline.cache.policy.freshness import Use, may_use
from hardline.cache.policy.invalidation import outdated
from hardline.cache.policy.validation import can_ask, doubted, holds_for_all, is_about, question, same_body, updated

pytestmark = pytest.mark.pure

STORED = StoredHead(
    200,
    "OK",
    (("ETag", '"1"'), ("Content-Length", "5"), ("Content-Encoding", "br"), ("Age", "9"), ("A", "old"), ("B", "kept")),
    1.0,
    2.0,
    (("foo", "1"),),
)


def test_a_question_carries_the_validators_instead_of_the_visitors_conditions() -> None:
    asked = (("Host", "a"), ("If-None-Match", '"x"'), ("If-Range", '"x"'), ("Range", "bytes=0-1"), ("Cookie", "c"))
    assert question(asked, STORED) == (("Host", "a"), ("Cookie", "c"), ("If-None-Match", '"1"'))
    dated = StoredHead(200, "OK", (("Last-Modified", "then"),), 1, 2)
    assert question((("If-Modified-Since", "now"),), dated) == (("If-Modified-Since", "then"),)
    assert can_ask(STORED)
    assert can_ask(dated)
    assert not can_ask(StoredHead(200, "OK", (), 1, 2))


def test_a_304_replaces_fields_but_not_those_of_the_body() -> None:
    newer = StoredHead(
        304,
        "Not Modified",
        (
            ("A", "new"), ("a", "too"), ("C", "added"), ("Content-Length", "10"), ("Content-Encoding", "gzip"),
            ("Content-MD5", "x"), ("ETag", '"2"'), ("Set-Cookie", "a=b"), ("Connection", "X"), ("X", "gone"),
        ),
        11.0,
        12.0,
    )  # fmt: skip
    head = updated(STORED, newer)
    assert head.fields == (
        ("ETag", '"1"'), ("Content-Length", "5"), ("Content-Encoding", "br"), ("B", "kept"),
        ("A", "new"), ("a", "too"), ("C", "added"),
    )  # fmt: skip
    assert (head.status, head.requested_at, head.received_at, head.selecting) == (200, 11.0, 12.0, STORED.selecting)


def test_of_a_file_that_nothing_is_known_of_a_304_says_only_for_how_long_it_holds() -> None:
    newer = StoredHead(304, "Not Modified", (("Cache-Control", "max-age=9"), ("Date", "d"), ("Link", "x")), 11.0, 12.0)
    head = updated(StoredHead(200, "OK", (("Content-Type", "a/b"), ("Date", "c")), 1, 2), newer)
    assert head.fields == (("Content-Type", "a/b"), ("Cache-Control", "max-age=9"), ("Date", "d"))


@pytest.mark.parametrize(
    ("asked", "said", "holds"),
    [
        ({}, {}, True),
        ({}, {"X-New": "1", "Cache-Control": "max-age=60"}, True),
        ({}, {"Cache-Control": "no-cache"}, True),
        ({}, {"Cache-Control": "private"}, False),
        ({}, {"Cache-Control": "no-store"}, False),
        ({}, {"Cache-Control": "private; max-age=0"}, False),
        ({}, {"Set-Cookie": "a=b"}, False),
        ({}, {"Vary": "*"}, False),
        ({}, {"Vary": "Origin"}, False),
        ({}, {"Vary": "Accept-Language, Host"}, True),
        ({}, {"Access-Control-Allow-Origin": "*"}, True),
        ({"Origin": "https://evil.example"}, {}, True),
        ({"Origin": "https://evil.example"}, {"Access-Control-Allow-Origin": "https://evil.example"}, False),
        ({"Origin": "<script>"}, {}, False),
        ({"X-Forwarded-Host": "evil.example"}, {"Cache-Control": "max-age=60"}, False),
        ({"Private-Token": "x"}, {"Cache-Control": "max-age=60"}, True),
        ({"Private-Token": "x"}, {"Cache-Control": "max-age=0"}, False),
        ({"If-None-Match": '"x"', "Range": "bytes=0-1"}, {}, True),
        ({"Cookie": "a"}, {}, False),
        ({"Cookie": "a"}, {"Cache-Control": "max-age=60"}, False),
        ({"Cookie": "a"}, {"Cache-Control": "public, max-age=60"}, True),
        ({"Authorization": "a"}, {}, False),
        ({"Authorization": "a"}, {"Cache-Control": "max-age=60"}, False),
        ({"Authorization": "a"}, {"Cache-Control": "s-maxage=60"}, True),
    ],
)
def test_what_a_304_says_is_for_all_only_if_it_may_be_kept_and_depends_on_nothing_new(asked, said, holds) -> None:
    fields = (("ETag", '"1"'), ("Cache-Control", "public, max-age=60"), ("Vary", "Accept-Language"))
    head = StoredHead(200, "OK", fields, 1.0, 2.0, variants.selecting((), ("accept-language",)))
    newer = StoredHead(304, "Not Modified", tuple(said.items()), 11.0, 12.0)
    assert holds_for_all(tuple(asked.items()), head, newer, None) is holds


def test_what_is_doubted_is_asked_about_until_it_is_confirmed() -> None:
    head = StoredHead(
        200, "OK", (("ETag", '"1"'), ("Cache-Control", "max-age=60"), ("Age", "0")), 1.0, 2.0, (("host", None),)
    )
    assert may_use(head, of_request(()), 3.0, 0.0) is Use.FRESH
    assert may_use(doubted(head), of_request(()), 3.0, 0.0) is Use.ASK
    confirmed = updated(doubted(head), StoredHead(304, "Not Modified", (), 3.0, 3.0))
    assert may_use(confirmed, of_request(()), 3.0, 0.0) is Use.FRESH


@pytest.mark.parametrize(
    ("etag", "stored", "about"),
    [('"1"', '"1"', True), ('W/"1"', '"1"', True), (None, '"1"', True), ('"1"', None, True), ('"1"', 'W/"1"', False)],
)
def test_a_304_with_a_strong_tag_is_not_about_what_has_a_weak_one(etag, stored, about: bool) -> None:
    head = StoredHead(200, "OK", (("ETag", stored),) if stored else (), 1, 2)
    assert is_about(head, (("ETag", etag),) if etag else ()) is about


@pytest.mark.parametrize(
    ("fields", "same"),
    [
        ([("ETag", '"1"'), ("Content-Length", "5")], True),
        ([("Content-Length", "5")], True),
        ([], True),
        ([("ETag", '"2"')], False),
        ([("Content-Length", "6")], False),
    ],
)
def test_an_answer_to_head_tells_whether_the_body_is_the_same(fields, same: bool) -> None:
    assert same_body(STORED, 5, tuple(fields)) is same


@pytest.mark.parametrize(
    ("method", "status", "fields", "targets"),
    [
        ("POST", 200, {}, ["/a/b?c"]),
        ("DELETE", 204, {}, ["/a/b?c"]),
        ("M-SEARCH", 303, {}, ["/a/b?c"]),
        ("GET", 200, {}, []),
        ("HEAD", 200, {"Location": "/x"}, []),
        ("OPTIONS", 200, {}, []),
        ("POST", 404, {"Location": "/x"}, []),
        ("POST", 500, {}, []),
        ("POST", 201, {"Location": "/x?y"}, ["/a/b?c", "/x?y"]),
        ("POST", 201, {"Location": "x"}, ["/a/b?c", "/a/x"]),
        ("POST", 201, {"Location": "?x"}, ["/a/b?c", "/a/b?x"]),
        ("POST", 201, {"Location": "http://SITE:7009/x#f"}, ["/a/b?c", "/x"]),
        ("POST", 201, {"Location": "https://site:7009"}, ["/a/b?c", "/"]),
        ("POST", 201, {"Location": "http://other/x"}, ["/a/b?c"]),
        ("POST", 201, {"Location": "//other/x"}, ["/a/b?c"]),
        ("POST", 201, {"Location": "http://["}, ["/a/b?c"]),
        ("POST", 201, {"Location": "/x", "Content-Location": "/y"}, ["/a/b?c", "/x", "/y"]),
        ("POST", 201, {"Location": "/a/b?c"}, ["/a/b?c"]),
    ],
)
def test_a_change_makes_its_target_and_what_it_names_worthless(method, status, fields, targets) -> None:
    assert outdated(method, "/a/b?c", "site:7009", status, tuple(fields.items())) == targets
