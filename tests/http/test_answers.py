"""Where answers end: as h11 and llhttp find it, or nobody is said to know."""

from __future__ import annotations

import time

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.http.answers import HEAD, PLAIN, UPGRADE, Answers, Asked

pytestmark = pytest.mark.pure

LENGTH = b"HTTP/1.1 200 OK\r\ncontent-length:\t5 \r\n\r\n12345"
EMPTY = b"HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n4;x\r\nWiki\r\n0\r\nDigest: x\r\n\r\n"
NOTHING = b"HTTP/1.0 204 No Content\r\nContent-Length: 5\r\n\r\n"
SAME = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"


def following(*kinds: Asked) -> Answers:
    answers = Answers()
    for kind in kinds:
        answers.asked(kind)
    return answers


ALL = HINTS + LENGTH + EMPTY + CHUNKS + NOTHING + SAME


@pytest.mark.parametrize("cut", range(len(ALL) + 1))
def test_answers_are_counted_however_they_are_cut(cut):
    answers = following(*[PLAIN] * 5)
    answers.heard(ALL[:cut])
    assert answers.whole == (cut == len(ALL))
    answers.heard(memoryview(ALL)[cut:])
    assert answers.whole
    assert not answers.begun


def test_an_answer_to_head_has_no_body():
    answers = following(HEAD, PLAIN)
    answers.heard(LENGTH[:-5] + LENGTH[:-1])
    assert answers.waiting == 1
    assert answers.begun
    answers.heard(b"5")
    assert answers.whole


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: +0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\n",
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"<html>\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"x" * 70_000,
    ],
)
def test_an_answer_without_an_end_that_all_agree_on_is_lost_and_what_follows_is_none(answer):
    answers = following(PLAIN, UPGRADE)
    answers.heard(answer)
    answers.heard(EMPTY + b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
    assert answers.lost
    assert not answers.whole
    assert not answers.switched


def test_an_answer_to_nothing_is_lost():
    answers = following(PLAIN)
    answers.heard(EMPTY + b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
    assert answers.lost


@pytest.mark.parametrize("head", [b"HTTP/1.1 101\r\n", b"HTTP/1.0 101 \n", b"HTTP/1.1 101 Go on\r\n folded\r\n\r\n"])
def test_a_switch_is_known_by_its_first_line(head):
    answers = following(PLAIN, UPGRADE)
    answers.heard(EMPTY + HINTS + head)
    assert answers.switched


@pytest.mark.parametrize("piece", [HINTS, b"1\r\nx\r\n", EMPTY])
def test_thousands_of_tiny_pieces_in_one_delivery_cost_no_more_than_a_few(piece):
    answers = following(*[PLAIN] * 64)
    answers.heard(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" if piece[:1] == b"1" else b"")
    began = time.process_time()
    answers.heard(piece * (262_144 // len(piece)))
    assert answers.lost
    assert time.process_time() - began < 0.02


@given(st.lists(st.sampled_from([LENGTH, EMPTY, CHUNKS, NOTHING, SAME, HINTS]), max_size=6), st.data())
def test_what_llhttp_finds_whole_is_found_whole(parts, data):
    said = b"".join(parts)
    at = data.draw(st.integers(0, len(said)))
    damaged = said[:at] + data.draw(st.sampled_from([b"", b"\r", b"\n", b" ", b"1", b"a:b\r\n"])) + said[at:]
    kinds = [PLAIN] * sum(part is not HINTS for part in parts)
    answers, whole = following(*kinds), []

    class Events:
        def on_message_complete(self) -> None:
            if parser.get_status_code() >= 200:
                whole.append(parser.get_status_code())

    parser = httptools.HttpResponseParser(Events())
    try:
        parser.feed_data(damaged)
    except httptools.HttpParserError:
        return
    answers.heard(damaged)
    if not answers.lost:
        assert len(kinds) - answers.waiting == len(whole)
