"""What is known of an answer survives as text; nothing else is taken for it."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hardline.cache.kept.heads import (
    BY_HAND,
    MAX_FILE,
    Answer,
    Body,
    Heads,
    StoredHead,
    decode,
    encode,
    is_marked,
    mark,
    too_large,
)

pytestmark = pytest.mark.pure

TEXT = st.text(max_size=20)  # with lone surrogates: fields are bytes that somebody else chose
NAMES = st.sampled_from(["Content-Type", "ETag", "x-a", "Vary", "!#$%&'*+-.^_`|~09aZ"])
PAIRS = st.lists(st.tuples(NAMES, TEXT), max_size=4).map(tuple)
TIMES = st.floats(0, 1e11)
HEADS = st.builds(
    StoredHead,
    st.integers(200, 599),
    TEXT,
    PAIRS,
    TIMES,
    TIMES,
    st.lists(st.tuples(TEXT, st.none() | TEXT), max_size=3).map(tuple),
)
BODIES = st.builds(Body, st.integers(0, 2**63), st.integers(0, 2**63), st.none() | st.integers(0, 2**63))
ANSWERS = st.builds(Answer, st.integers(0, 32), BODIES, HEADS)
FILES = st.builds(Heads, TEXT, st.lists(ANSWERS, max_size=4).map(tuple))


def head(received_at: float = 0.0, **selecting: str) -> StoredHead:
    return StoredHead(200, "OK", (), received_at, received_at, tuple(selecting.items()))


@given(FILES)
def test_what_is_written_is_read(file):
    assert decode(encode(file, 7), 7) == file


@given(FILES, st.data())
def test_a_part_of_it_is_nothing(file, data):
    text = encode(file, 7)
    assert decode(text[: data.draw(st.integers(0, len(text) - 2))], 7) is None


@given(FILES)
def test_in_a_copy_the_inodes_count_for_nothing(file):
    read = decode(encode(file, 7), 8)
    assert read is not None
    assert [answer.head for answer in read.answers] == [answer.head for answer in file.answers]
    for answer in read.answers:
        assert answer.body.is_that_of(answer.body.size, answer.body.mtime, 4711)
        assert not answer.body.is_that_of(answer.body.size + 1, answer.body.mtime, 4711)
        assert not answer.body.is_that_of(answer.body.size, answer.body.mtime + 1, 4711)


def test_in_its_place_the_inode_counts():
    body = Body(1, 2, 3)
    assert body.is_that_of(1, 2, 3)
    assert not body.is_that_of(1, 2, 4)


@given(st.binary())
def test_junk_is_nothing(junk):
    assert decode(junk, 7) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
)


@given(FILES, st.sampled_from(["number", "size", "mtime", "status", "fields", "selecting", "received_at"]), JSON)
def test_what_somebody_edited_is_understood_or_nothing(file, key, value):
    edited = json.loads(encode(file, 7))
    for answer in edited["answers"]:
        answer[key] = value
    read = decode(json.dumps(edited).encode(), 7)
    assert read is None or decode(encode(read, 7), 7) == read


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("status", 100),
        ("status", 99_999),
        ("fields", [["", "a"]]),
        ("fields", [["A: b\r\n\r\n", "a"]]),
        ("fields", [["Transfer-Encoding", "chunked"]]),
        ("fields", [["connection", "a"]]),
    ],
)
def test_what_could_not_be_sent_as_one_answer_is_nothing(key, value):
    file = Heads("/a", (Answer(1, Body(1, 1), StoredHead(200, "OK", (("A", "b"),), 0, 0)),))
    edited = json.loads(encode(file, 7))
    edited["answers"][0][key] = value
    assert decode(encode(file, 7), 7) == file
    assert decode(json.dumps(edited).encode(), 7) is None


@pytest.mark.parametrize("text", ["[]", "1", "null", '{"hardline": 2}', '{"hardline": 1}', "[" * 100_000])
def test_other_json_is_nothing(text):
    assert decode(text.encode(), 7) is None


def test_the_same_request_has_the_same_place_and_another_one_a_free_one():
    heads = Heads("/a")
    for number, fields in [(1, {"accept": "a", "host": "h"}), (2, {"accept": "b"})]:
        assert heads.number_for(head(**fields), 3) == number
        heads = heads.with_answer(Answer(number, Body(1, 1), head(**fields)))
    assert heads.number_for(StoredHead(404, "", (), 0, 0, (("host", "h"), ("accept", "a"))), 3) == 1
    assert heads.without(1).number_for(head(accept="c"), 3) == 1
    assert [answer.number for answer in heads.answers] == [2, 1]


def test_with_no_place_left_the_oldest_goes():
    heads = Heads("/a", (Answer(BY_HAND, Body(1, 1), head()),))
    for number in (1, 2, 3):
        heads = heads.with_answer(Answer(number, Body(1, 1), head(accept=str(number))))
    heads = heads.with_answer(Answer(1, Body(1, 1), head(accept="1")))
    assert heads.number_for(head(accept="4"), 3) == 2


@given(st.floats(-1e12, 1e12), st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000))
def test_a_body_is_marked_and_never_like_the_one_it_replaces(received_at, chance, first, second):
    old = mark(received_at, first)
    older = mark(received_at, second, old)
    new = mark(received_at, chance, old, older)
    assert len({old, older, new}) == 3
    assert is_marked(new)
    assert abs(new / 1e9 - min(max(received_at, 0), 2**33)) <= 1


@given(st.integers(0, 2**33), st.integers(0, 999_999_999))
@example(5, 471_147)
@example(5, 471_146)
@example(5, 0)
@example(5, 998_474_141)
def test_next_to_no_file_of_somebody_elses_looks_marked(second, nanoseconds):
    marks = {471_147 + step * 1_000_003 for step in range(1000)}
    assert is_marked(second * 10**9 + nanoseconds) == (nanoseconds in marks)


def test_a_long_head_is_too_long_before_its_file_is():
    fields = (("X-Long", "\0" * 10_000),)
    assert not too_large(StoredHead(200, "OK", fields, 0, 0))
    assert too_large(StoredHead(200, "OK", fields * 2, 0, 0))
    answers = tuple(Answer(number, Body(1, 1), StoredHead(200, "OK", fields, 0, 0)) for number in range(33))
    assert len(encode(Heads("/" + "ü" * 30_000, answers), 7)) < MAX_FILE
