"""One request through a proxy: what is changed, where its body ends, and what is told about the connection."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.door import forwarding
from hardline.door.forwarding import MAX_ANSWER_HEAD, AnswerHead, origin_request
from hardline.errors import PeerError
from hardline.http.bodies import Body
from hardline.http.head import Head, HeadReader
from tests.support.costs import times_as_long

pytestmark = pytest.mark.pure


def read(*headers: str, line: str = "POST http://a.localhost/x?y HTTP/1.1") -> tuple[Head, bytes]:
    raw = "".join(f"{text}\r\n" for text in (line, "Host: other", *headers, "")).encode("latin-1")
    head = HeadReader(4096).feed(raw)
    assert head is not None
    return head, raw


def body_of(*headers: str) -> Body:
    return forwarding.body_of(read(*headers)[0])


def test_the_service_gets_the_path_the_urls_host_and_the_end_to_end_headers():
    head, raw = read(
        "Accept: a",
        "Proxy-Connection: keep-alive",
        "Connection: keep-alive, X-Hop",
        "x-hop: 1",
        "Upgrade: websocket",
        "Proxy-Authorization: Basic eDp5",
        "X-Kept:  two  spaces",
        "Content-Length: 3",
    )
    assert origin_request(head, raw).split(b"\r\n") == [
        b"POST /x?y HTTP/1.1",
        b"Host: a.localhost",
        b"Accept: a",
        b"X-Kept:  two  spaces",
        b"Content-Length: 3",
        b"Connection: close",
        b"",
        b"",
    ]


def test_nobody_can_have_the_bodys_length_dropped():
    head, raw = read("Connection: content-length", "Content-Length: 3")
    assert b"Content-Length: 3" in origin_request(head, raw)


@pytest.mark.parametrize(
    "name",
    ["Authorization", "Cookie", "Origin", "Range", "Cache-Control", "X-Forwarded-For", "If-None-Match", "Referer"],
)
def test_no_connection_takes_away_who_asks_or_what_is_asked(name):
    head, raw = read(f"Connection: {name.lower()}, X-Hop", f"{name}: x", "X-Hop: y")
    request = origin_request(head, raw)
    assert f"{name}: x".encode() in request
    assert b"X-Hop" not in request


def test_a_request_without_a_body_is_over_with_its_head():
    body = body_of()
    assert body.done
    assert body.take(b"GET http://b.localhost/ HTTP/1.1\r\n") == b""


@pytest.mark.parametrize("cut", range(9))
def test_a_body_with_a_length_ends_there(cut):
    body, data = body_of("Content-Length: 5"), b"12345GET"
    assert body.take(data[:cut]) + body.take(data[cut:]) == b"12345"
    assert body.done


CHUNKED = b'4;a="b"\r\nWiki\r\n00A\r\n0123456789\r\n0\r\nDigest: x\r\n\r\n'


@pytest.mark.parametrize("cut", range(len(CHUNKED) + 1))
def test_a_chunked_body_ends_behind_its_trailers(cut):
    body, data = body_of("Transfer-Encoding: chunked"), CHUNKED + b"GET http://b.localhost/ HTTP/1.1\r\n\r\n"
    taken = body.take(data[:cut])
    if cut < len(CHUNKED):
        assert not body.done
    assert taken + body.take(data[cut:]) == CHUNKED
    assert body.done


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b"x\r\n",
        b"-1\r\n",
        b"0x5\r\n",
        b"5\n12345\r\n",
        b"5 5\r\n",
        b"ffffffffffffffff\r\n",
        b"5;\x00\r\n",
        b"5\r\n123456\r\n",
        b"5\r\n12345\n",
        b"0\r\nno trailer\r\n",
        b"0\r\n\n",
        b"0;" + b"x" * 5000,
        b"x" * 5000,
    ],
)
def test_chunks_that_parsers_could_read_in_two_ways_are_refused(data):
    with pytest.raises(PeerError):
        body_of("Transfer-Encoding: chunked").take(data)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=5), st.binary(max_size=20), st.data())
def test_what_h11_sends_as_chunks_ends_where_it_does(pieces, behind, data):
    sender = h11.Connection(h11.CLIENT)
    sender.send(h11.Request(method="POST", target="/", headers=[("Host", "h"), ("Transfer-Encoding", "chunked")]))
    wire = b"".join(sender.send(h11.Data(data=piece)) or b"" for piece in pieces) + sender.send(h11.EndOfMessage())
    body, sent, taken = body_of("Transfer-Encoding: chunked"), wire + behind, b""
    cut = data.draw(st.integers(0, len(sent)))
    for part in (sent[:cut], sent[cut:]):
        taken += body.take(part)
    assert taken == wire
    assert body.done


SHORT = [
    *(b"1\r\nx\r\n", b"0a\r\n0123456789\r\n", b"000000000000002\r\n\r\n\r\n", b"F ;a\r\n" + b"\n" * 15 + b"\r\n"),
    *(b"10\r\n" + bytes(16) + b"\r\n", b"1;" + b"x" * 150 + b"\r\n0\r\n", b"3 ;" + b" " * 60 + b"\r\n0\r\n\r\n"),
]
ODD = [b"", b"\r", b"\n", b" ", b"0", b"1", b";", b"0\r\n", b"0\r\n\r\n", b"\x00", b"0\r\na:b\r\nc:\r\n"]


@given(st.lists(st.sampled_from(SHORT), max_size=8), st.sampled_from(ODD), st.data())
def test_short_chunks_are_read_like_those_that_come_byte_by_byte(chunks, odd, data):
    said = b"".join(chunks) + b"0\r\nA:b\r\n" + b"c: d\r\n" * 3 + b"\r\n"
    at = data.draw(st.integers(0, len(said)))
    said = said[:at] + odd + said[at + data.draw(st.integers(0, 2)) :] + b"GET / HTTP/1.1\r\n"
    cut = data.draw(st.integers(0, len(said)))

    def end(*pieces: bytes) -> tuple[int, bool] | None:
        body, taken = body_of("Transfer-Encoding: chunked"), 0
        try:
            for piece in pieces:
                taken += body.skip(memoryview(piece))
        except PeerError:
            return None
        return taken, body.done

    bytewise = end(*(said[at : at + 1] for at in range(len(said))))
    assert end(said[:cut], said[cut:]) == end(said) == bytewise


@pytest.mark.parametrize("many", [b"1\r\nx\r\n", b"01;x\r\nx\r\n", b"10\r\n" + bytes(16) + b"\r\n", b"a:\r\n"])
def test_a_flood_of_tiny_chunks_costs_hardly_more_than_its_bytes(many):
    def passed(flood: bytes) -> None:
        body = body_of("Transfer-Encoding: chunked")
        assert body.take(flood) == flood

    size = 240_000
    start = b"0\r\n" if many.endswith(b":\r\n") else b""
    lines = [b"x" * 60 + b":\r\n"] * (size // 63)  # a line of text for each 63 bytes, as the control
    assert times_as_long(passed, b"0\r\n" + b"".join(lines), start + many * (size // len(many))) < 30


ANSWER = (
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nConnection: Keep-Alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 4\r\n\r\nbody"
)
CLOSING = ANSWER.replace(b"Connection: Keep-Alive\r\nKeep-Alive: timeout=5\r\n", b"").replace(
    b"Length: 4\r\n", b"Length: 4\r\nConnection: close\r\n"
)


@pytest.mark.parametrize("cut", range(len(ANSWER) + 1))
def test_the_client_is_told_that_the_connection_ends_with_the_answer(cut):
    answer = AnswerHead()
    assert answer.take(ANSWER[:cut]) + answer.take(ANSWER[cut:]) + answer.rest() == CLOSING


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/0.9 200\r\n\r\n",
        b"HTTP/1.1 2000 x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_ANSWER_HEAD,
        b"HTTP/1.1 200 OK\r\nbroken off",
    ],
)
def test_what_is_no_answer_passes_as_it_came(data):
    answer = AnswerHead()
    assert answer.take(data) + answer.take(b"more") + answer.rest() == data + b"more"


@given(st.lists(st.binary(max_size=30) | st.sampled_from([b"HTTP/1.1 ", b"100 C\r\n\r\n", b"200 O\r\n", b"\r\n\r\n"])))
def test_no_byte_of_a_body_is_lost(pieces):
    answer = AnswerHead()
    out = b"".join(answer.take(piece) for piece in pieces) + answer.rest()
    assert out.replace(b"Connection: close\r\n", b"") == b"".join(pieces) or b"onnection" in b"".join(pieces)


def test_an_answer_with_bare_line_feeds_is_not_held_back_and_its_body_is_left_alone():
    body = b"Connection: x\r\n\r\n"
    passed = AnswerHead().take(b"HTTP/1.1 200 OK\nA: b\nConnection: keep-alive\n\n" + body)
    assert passed == b"HTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\n\r\n" + body


def test_a_folded_header_is_dropped_or_passed_as_a_whole():
    passed = AnswerHead().take(b"HTTP/1.1 200 OK\r\nA: 1\r\n\t2\r\nConnection: a,\r\n b\r\n\r\n")
    assert passed == b"HTTP/1.1 200 OK\r\nA: 1 2\r\nConnection: close\r\n\r\n"


def test_a_flood_of_interim_answers_costs_no_more_than_its_bytes():
    def passed(flood: bytes) -> None:
        assert AnswerHead().take(flood) == flood

    interim = b"HTTP/1.1 100 x\r\n\r\n"
    assert times_as_long(passed, interim * 5000, interim * 20_000) < 10
