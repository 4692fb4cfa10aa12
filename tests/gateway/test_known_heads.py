"""Heads that are known again mean what they would mean if nobody had seen them before."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.errors import PeerError
from hardline.gateway.answers import Answer, AnswerReader, Last, for_client
from hardline.gateway.heads import Heads, Known
from hardline.gateway.requests import fields_of
from hardline.http.head import BadHead

pytestmark = pytest.mark.pure

FIRST = [
    *(b"GET / HTTP/1.1", b"HEAD /a?b HTTP/1.1", b"POST /c HTTP/1.1", b"GET http://other.test/ HTTP/1.1"),
    *(b"CONNECT a:1 HTTP/1.1", b"GET / HTTP/1.0", b"OPTIONS * HTTP/1.1", b"GET a HTTP/1.1", b"GET /\x00 HTTP/1.1"),
    *(b"GET  / HTTP/1.1", b"CONNECT /a HTTP/1.1", b"G@T / HTTP/1.1", b"GET / HTTP/1.1 "),
]
REQUEST_FIELDS = [
    *(b"Host: a.test", b"host: b.test", b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Accept: text/html"),
    *(b"Upgrade: websocket", b"Connection: close, x", b"A b: c", b"Cookie: a=b"),
]
ANSWER_FIELDS = [
    *(b"Content-Length: 5", b"content-length: 5", b"Content-Length: x", b"Transfer-Encoding: chunked", b"TE: gzip"),
    *(b"Connection: keep-alive", b"Connection: Keep-Alive", b"Connection: close", b"Connection: x", b"X: 1"),
    *(b"Set-Cookie: a=b; Domain=c", b"Keep-Alive: 5", b"Upgrade: h2c", b"Location: /a", b"Content-Length-X: 5"),
    *(b"Date:", b'ETag: "Connection: close"', b"A b: 1", b"Link: </a>", b"Content-Length: 5 ", b"X: \xff"),
]


@given(st.lists(st.sampled_from(FIRST), max_size=8), st.lists(st.sampled_from(REQUEST_FIELDS), max_size=5))
def test_a_request_is_read_as_if_it_was_the_first(firsts, fields):
    heads = Heads()
    for first in firsts:
        raw = b"\r\n".join((first, *fields, b"", b""))
        assert seen(heads, raw) == seen(Heads(), raw)


def seen(heads: Heads, raw: bytes) -> object:
    try:
        found = heads.read(raw + b"more", len(raw))
    except BadHead as bad:
        return bad.status, bad.message
    head, known = found
    assert known.fields == fields_of(raw)
    return head


def test_what_was_made_of_the_same_fields_is_known_and_of_others_is_not():
    heads = Heads()

    def read(first: bytes, field: bytes) -> Known:
        raw = first + b" HTTP/1.1\r\nHost: a.test\r\n" + field + b"\r\n\r\n"
        return heads.read(raw, len(raw))[1]

    one = read(b"GET /a", b"X: 1")
    assert read(b"PUT /b", b"X: 1") is one
    assert read(b"GET /a", b"X: 2") is not one
    for number in range(9):
        read(b"GET /a", b"Y: %d" % number)
    assert read(b"GET /a", b"X: 1") is not one, "only a few are kept"
    long = b"Y: " + b"y" * 9000
    assert read(b"GET /a", long) is not read(b"GET /a", long)


@given(st.lists(st.sampled_from(ANSWER_FIELDS), max_size=6), st.sampled_from([b"200 OK", b"204 ", b"304 A  b", b"404"]))
def test_a_plain_answer_is_read_and_written_as_any_other(fields, status):
    def read(line_end: bytes) -> Answer | None:
        try:
            return AnswerReader().feed(b"HTTP/1.1 " + status + line_end + b"\r\n".join((*fields, b"", b"")))
        except PeerError:
            return None

    quick, slow = read(b"\r\n"), read(b"\n")  # a bare line feed is read leniently, and slowly
    assert (quick is None) == (slow is None)
    if quick is None or slow is None:
        return
    assert not slow.plain
    assert (quick.length, quick.chunked, quick.closes) == (slow.length, slow.chunked, slow.closes)
    for how in ({}, {"close": True}, {"prefix": "/servers/a"}, {"prefix": "/servers/a", "shared": True}):
        assert for_client(quick, **{"close": False, **how}) == for_client(slow, **{"close": False, **how})


def test_most_answers_are_plain():
    answer = AnswerReader().feed(
        b'HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 5\r\nConnection: keep-alive\r\nETag: "a"\r\n\r\n'
    )
    assert answer is not None
    assert answer.plain


def test_an_answer_that_comes_again_is_read_as_if_it_was_the_first():
    last = Last()
    for length in (5, 5, 7, 5):
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length
        for said in (head + b"12345", head[:-2]):
            reader = AnswerReader(last)
            answer = reader.feed(said)
            assert (answer and answer.length) == (length if said.endswith(b"5") else None)
            assert reader.leftover == (b"12345" if answer else said)
    reader = AnswerReader(last)
    assert reader.feed(b"HTTP/1.1 103 Early Hints\r\n\r\n").status == 103
    assert reader.feed(head).length == 5
