"""One answer as it comes, however it is cut: what the client gets of it, and where it ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.errors import PeerError
from hardline.gateway.answering import Answering
from hardline.gateway.answers import Answer, for_client

pytestmark = pytest.mark.pure

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = b"3\r\nabc\r\n0\r\n\r\n"


def answering(method: str = "GET") -> Answering:
    return Answering(method, lambda answer, ends: for_client(answer, close=ends))


def behind(said: bytes) -> bytes:
    return said.partition(b"\r\n\r\n")[2]


@given(st.integers(0, 60), st.sampled_from([HEAD + b"12345", CHUNKED + CHUNKS]))
def test_a_whole_answer_is_whole_wherever_it_is_cut(cut, said):
    one = answering()
    got = one.take(said[:cut]) + one.take(said[cut:])
    assert behind(got) == behind(said)
    assert (one.whole, one.keeps, one.status, one.count) == (True, True, 200, len(behind(said)))


@pytest.mark.parametrize("said", [HEAD + b"12345", CHUNKED + CHUNKS])
def test_what_comes_behind_its_end_is_not_the_clients_and_its_stream_is_not_asked_again(said):
    one = answering()
    assert behind(one.take(said + b"HTTP/1.1 200 OK\r\n")) == behind(said)
    assert one.whole
    assert not one.keeps


def test_an_answer_that_ends_with_its_stream_is_whole_then():
    one = answering()
    assert behind(one.take(b"HTTP/1.1 200 OK\r\n\r\nab")) == b"ab"
    assert (one.whole, one.unwatched > 1 << 30) == (False, True)
    assert one.ended()
    assert not one.keeps


@pytest.mark.parametrize("said", [b"", HEAD[:9], HEAD, HEAD + b"1234", CHUNKED + CHUNKS[:-1]])
def test_one_that_ends_before_its_end_is_a_cut(said):
    one = answering()
    one.take(said)
    assert not one.ended()
    assert not one.keeps


@pytest.mark.parametrize(("method", "head"), [("HEAD", HEAD), ("GET", HEAD.replace(b"200 OK", b"304 Not Modified"))])
def test_no_body_follows_where_none_may(method, head):
    one = answering(method)
    one.take(head)
    assert (one.whole, one.keeps, one.count) == (True, True, 0)


def test_heads_before_the_last_one_pass_and_are_no_answer():
    one = answering()
    early = one.take(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 ")
    assert early == b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    assert (one.begun, one.status) == (True, 0)
    assert one.take(b"OK\r\nContent-Length: 0\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")
    assert one.whole


def test_a_client_that_is_told_nothing_of_them_has_got_nothing():
    def written(answer: Answer, ends: bool) -> bytes:
        return b"" if answer.interim else for_client(answer, close=True)

    one = Answering("GET", written)
    assert one.take(b"HTTP/1.1 100 Continue\r\n\r\n") == b""
    assert not one.begun
    assert one.heard is False


def test_all_that_follows_a_switch_passes():
    one = answering()
    said = one.take(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nfrom here on")
    assert behind(said) == b"from here on"
    assert (one.status, one.whole) == (101, False)


def test_bytes_that_nobody_looked_at_are_counted():
    one = answering()
    one.take(HEAD)
    assert one.unwatched == 4
    one.passed(4)
    assert (one.skip(b"5"), one.whole, one.count) == (1, True, 5)


def test_in_the_middle_of_a_chunk_nobody_has_to_look():
    one = answering()
    one.take(CHUNKED + b"ff\r\n" + b"a" * 5)
    assert one.unwatched == 249
    one.passed(249)
    assert one.skip(b"a\r\n0\r\n\r\n") == 8
    assert one.whole
    assert one.count == 4 + 5 + 249 + 8


def test_chunks_that_are_none_are_refused():
    one = answering()
    one.take(CHUNKED)
    with pytest.raises(PeerError):
        one.take(b"no size\r\n")
