"""Requests and answers read as they pass, by every cut of what passed."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardline.errors import ConnectionLost, PeerError
from hardline.http.head import read_head
from hardline.inspector import ring as rings
from hardline.inspector.exchanges import MOST_OF_BODY, Exchange, Reading, changed
from hardline.inspector.ring import MOST, Ring
from hardline.inspector.secrets import target_without_secrets, without_secrets
from hardline.inspector.watched import Beside
from tests.support.costs import times_as_long

pytestmark = pytest.mark.pure

ASKED = (
    b"GET /a HTTP/1.1\r\nHost: x\r\nAuthorization: Basic c2VjcmV0\r\n\r\n"
    b"POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
    b"HEAD /c HTTP/1.1\r\nHost: x\r\n\r\n"
    b"POST /d HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
)
HEARD = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nSet-Cookie: sid=secret\r\n\r\none"
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nmade\r\n0\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"
    b"HTTP/1.1 204 No Content\r\n\r\n"
)


class Seen:
    """A reading, and what came out of it."""

    def __init__(self) -> None:
        self.ring, self.done = Ring(), list[Exchange]()
        self.reading = Reading(self.ring.number, self.ring.add, self.ring.grew, self.done.append)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted(one % (len(data) + 1) for one in at), len(data)]
    return [data[begin:end] for begin, end in itertools.pairwise(edges)]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, 10_000), max_size=8), st.lists(st.integers(0, 10_000), max_size=8))
def test_however_it_is_cut_it_is_the_same(asked, heard):
    seen = Seen()
    for piece in cut(ASKED, asked):
        seen.reading.asked(piece, 1.0)
    for piece in cut(HEARD, heard):
        seen.reading.heard(piece, 3.0)
    assert seen.reading.lost == ""
    assert [(one.method, one.target, one.status, one.took_s) for one in seen.done] == [
        ("GET", "/a", 200, 2.0),
        ("POST", "/b", 201, 2.0),
        ("HEAD", "/c", 200, 2.0),
        ("POST", "/d", 204, 2.0),
    ]
    assert [one.asked.content for one in seen.done] == [b"", b"hello", b"", b"abc"]
    assert [one.heard.content for one in seen.done] == [b"one", b"made", b"", b""]
    assert all(one.asked.whole and one.heard.whole for one in seen.done)


@given(st.binary(max_size=300), st.binary(max_size=300), st.booleans())
def test_nothing_that_passes_raises(asked, heard, first):
    seen = Seen()
    if first:
        seen.reading.asked(ASKED, 1.0)
    seen.reading.asked(asked, 1.0)
    seen.reading.heard(heard, 2.0)
    seen.reading.heard(HEARD, 2.0)
    seen.reading.ended(3.0)


def test_an_answer_to_the_end_of_its_connection_is_whole_when_that_came():
    seen = Seen()
    seen.reading.asked(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n", 1.0)
    seen.reading.heard(b"HTTP/1.0 200 OK\r\n\r\nab", 2.0)
    seen.reading.heard(b"cd", 2.0)
    assert seen.done == []
    seen.reading.ended(4.0)
    (one,) = seen.done
    assert (one.heard.content, one.heard.whole, one.note, one.took_s) == (b"abcd", True, "", 3.0)


def test_what_breaks_off_says_so():
    seen = Seen()
    seen.reading.asked(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 1.0)
    seen.reading.heard(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab", 2.0)
    seen.reading.ended(4.0, "reset")
    (one,) = seen.done
    assert (one.heard.whole, one.note, one.status) == (False, "reset", 200)


def test_another_protocol_is_not_read():
    seen = Seen()
    seen.reading.asked(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 1.0)
    seen.reading.heard(b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x05hello", 2.0)
    seen.reading.asked(b"\x81\x05hello", 3.0)
    (one,) = seen.done
    assert (one.status, one.note) == (101, "another protocol from here on")
    ssh = Seen()
    ssh.reading.heard(b"SSH-2.0-OpenSSH\r\n", 1.0)
    ssh.reading.asked(b"SSH-2.0-me\r\n", 1.0)
    assert ssh.done == []


def test_of_large_bodies_the_beginning_is_kept():
    seen = Seen()
    seen.reading.asked(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 1.0)
    seen.reading.heard(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", 1.0)
    for _ in range(100):
        seen.reading.heard(b"x" * 10_000, 1.0)
    (one,) = seen.done
    assert (one.heard.size, len(one.heard.body)) == (1_000_000, MOST_OF_BODY)


@pytest.mark.parametrize(
    "line",
    [
        b"cookie: s3cret",
        b"Set-Cookie : s3cret",
        b"Authorization:\r\n Basic\r\n\ts3cret",
        b"X-Fine: 1\nSet-Cookie: s3cret",
        b"X-Fine: 1\rProxy-Authorization: s3cret",
        b"X-API-Key: s3cret",
        b"X-Auth-Token: s3cret",
        b"Api_Key: s3cret",
        b"X-Csrf: s3cret",
        b"Set-Cookie s3cret",
        b"Location: /in?code=1&access_token=s3cret&page=2",
        b"Referer: http://x/?a=b&PASSWORD=s3cret'more#there",
    ],
)
def test_what_lets_somebody_in_is_hidden(line):
    head = b"GET / HTTP/1.1\r\nHost: x\r\n" + line + b"\r\nAccept: */*\r\n\r\n"
    shown = without_secrets(head)
    assert b"(hidden)" in shown
    assert b"s3cret" not in shown
    assert b"more" not in shown
    assert shown.startswith(b"GET / HTTP/1.1\r\nHost: x\r\n")
    assert shown.endswith(b"\r\nAccept: */*\r\n\r\n")


def test_of_a_query_only_what_lets_somebody_in_is_hidden():
    assert target_without_secrets("/token/a?page=2&id_token=s3cret&q=x") == "/token/a?page=2&id_token=(hidden)&q=x"
    assert target_without_secrets("/a?b") == "/a?b"


@pytest.mark.parametrize("one", [b"token", b"?", b"&a=", b"?a", b"\r", b": ", b"cookie", b"\n "])
def test_hiding_takes_time_by_the_length_alone(one):
    assert times_as_long(without_secrets, one * 1_000, one * 8_000) < 30


@pytest.mark.parametrize("ends", [b"\n\r\n\r\n", b"\r \r\n\r\n", b"x\n\r\n\r\n", b"\r\n\r\n"])
def test_a_length_behind_many_spaces_takes_time_by_the_length_alone(ends):
    def hear(spaces: int) -> None:
        seen = Seen()
        seen.reading.asked(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 1.0)
        seen.reading.heard(b"HTTP/1.1 200 OK\r\nContent-Length:" + b" " * spaces + ends, 2.0)

    assert times_as_long(hear, 100, 800) < 30


@pytest.mark.parametrize("between", ["", "X: y\r\n"])
@pytest.mark.parametrize(("other", "followed"), [(b"2", True), (b"3", False), (b"two", False)])
def test_of_several_lengths_all_are_the_same_or_nothing_is_followed(between, other, followed):
    seen = Seen()
    for _ in range(2):
        seen.reading.asked(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 1.0)
    lengths = b"Content-Length: 2\r\n" + between.encode() + b"content-length: " + other + b" \r\n"
    seen.reading.heard(2 * (b"HTTP/1.1 200 OK\r\n" + lengths + b"\r\nok"), 2.0)
    assert [(one.status, bytes(one.heard.body)) for one in seen.done] == ([(200, b"ok")] * 2 if followed else [])
    assert bool(seen.reading.lost) is not followed


def test_what_the_ring_lets_go_is_kept_by_nobody(monkeypatch):
    monkeypatch.setattr(rings, "MOST_HELD", 500_000)
    seen, many = Seen(), []
    for _ in range(30):
        reading = Reading(seen.ring.number, seen.ring.add, seen.ring.grew, seen.done.append)
        reading.asked(b"POST / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 30_000 + b"\r\nContent-Length: 999999\r\n\r\n", 1.0)
        many.append(reading)
    waiting = [one for reading in many for one in reading._waiting]
    for reading in many:  # none of them comes to its end
        reading.asked(b"z" * 100_000, 1.0)
        reading.heard(b"HTTP/1.1 200 OK\r\nY: " + b"y" * 30_000 + b"\r\n\r\n" + b"z" * 100_000, 1.0)
        assert seen.ring.held == sum(one.held for one in seen.ring)
    assert sum(one.held for one in waiting) < 500_000 + 30 * 600
    for reading in many:
        reading.ended(2.0)
    assert [one.asked.size for one in seen.done] == [100_000] * 30  # what a line says is known all the same
    with pytest.raises(PeerError):
        changed(seen.done[0], "", "", [], b"")


def test_asked_again_with_changes():
    seen = Seen()
    seen.reading.asked(ASKED, 1.0)
    seen.reading.heard(HEARD, 2.0)
    get, post, _, chunked = seen.done
    assert changed(get, "", "", [], None) == (
        b"GET /a HTTP/1.1\r\nHost: x\r\nAuthorization: Basic c2VjcmV0\r\nConnection: close\r\n\r\n"
    )
    # Some servers answer 411 to a POST that says no length, of nothing too (RFC 9110, section 8.6).
    assert b"\r\nContent-Length: 0\r\n" in changed(get, "POST", "", [], None)
    assert changed(post, "PUT", "/e", [b"Host: y"], b"xyz") == (
        b"PUT /e HTTP/1.1\r\nHost: y\r\nContent-Length: 3\r\nConnection: close\r\n\r\nxyz"
    )
    assert changed(chunked, "", "", [], None).endswith(b"Content-Length: 3\r\nConnection: close\r\n\r\nabc")
    post.asked.size = 10**9
    with pytest.raises(PeerError):
        changed(post, "", "", [], None)


def test_the_ring_is_bounded():
    seen = Seen()
    for number in range(MOST + 50):
        seen.reading.asked(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number, 1.0)
        seen.reading.heard(b"HTTP/1.1 204 No\r\n\r\n", 1.0)
    assert next(iter(seen.ring)).number == 51
    assert len(list(seen.ring)) == MOST


def test_a_gate_lets_every_byte_pass_and_reads_no_more_than_is_wanted():
    lookers, seen = ["one"], list[Exchange]()
    reading = Reading(lambda: 1, lambda one: None, lambda count: None, seen.append)
    gate = Beside(reading, lambda: 0.0, lookers)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    assert not gate.heard(memoryview(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"))
    assert gate.asked(answer) is answer
    assert [(one.target, one.status) for one in seen] == [("/a", 200)]
    assert not gate.opaque
    lookers.clear()
    assert gate.heard(memoryview(b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n")), "the joint asks, and hears"
    assert gate.opaque


def test_a_gate_passes_what_cannot_be_read():
    reading = Reading(lambda: 1, lambda one: None, lambda count: None, lambda one: None)
    gate = Beside(reading, lambda: 0.0, ["one"])
    assert gate.heard(memoryview(b"no request\r\n\r\n"))
    assert gate.opaque


@pytest.mark.parametrize("failure", [None, ConnectionLost("gone")])
def test_a_gate_hears_how_its_connection_ended(failure):
    seen = list[Exchange]()
    reading = Reading(lambda: 1, lambda one: None, lambda count: None, seen.append)
    gate = Beside(reading, lambda: 0.0, ["one"])
    gate.heard(memoryview(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"))
    gate.asked(b"HTTP/1.1 200 OK\r\n\r\nto the e")
    gate.ended(failure)
    assert [(one.heard.whole, one.note) for one in seen] == [
        (failure is None, "the connection was cut" if failure else "")
    ]


@pytest.mark.parametrize("size", [1, 7, 1000, 40_000])
def test_the_first_part_of_a_body_is_kept_however_it_is_cut(size):
    seen, body = Seen(), bytes(number % 251 for number in range(MOST_OF_BODY + 10_000))
    seen.reading.asked(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n", 1.0)
    seen.reading.heard(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), 1.0)
    for at in range(0, len(body), size):
        seen.reading.heard(memoryview(body)[at : at + size], 2.0)
    (one,) = seen.ring
    assert (one.heard.content, one.heard.size, one.heard.whole) == (body[:MOST_OF_BODY], len(body), True)
    assert seen.ring.held == one.held


@pytest.mark.parametrize(
    "head", [b"GET /a?b HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n", b"PUT /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n"]
)
def test_plain_requests_are_read_as_all_others(head):
    seen, strict = Seen(), read_head(head, 0, len(head))
    seen.reading.asked(head, 1.0)
    (one,) = seen.ring
    assert (one.method, one.target, one.asked.head, one.asked.whole) == (strict.method, strict.target, head, True)
