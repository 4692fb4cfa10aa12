"""Byte ranges, against RFC 9110."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.http.ranges import MAX_PARTS, Part, content_range, multipart, select, unsatisfied

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("bytes=0-0", [(0, 1)]),
        ("bytes=100-199", [(100, 100)]),
        ("bytes=5-", [(5, 995)]),
        ("bytes=0-", [(0, 1000)]),
        ("bytes=-5", [(995, 5)]),
        ("bytes=-1000", [(0, 1000)]),
        ("bytes=-5000", [(0, 1000)]),
        ("bytes=990-5000", [(990, 10)]),
        ("bytes=999-999", [(999, 1)]),
        ("BYTES=1-2", [(1, 2)]),
        ("bytes= 1-2 ", [(1, 2)]),
        ("bytes=,1-2,,", [(1, 2)]),
        ("bytes=0-" + "9" * 400, [(0, 1000)]),
        ("bytes=" + "0" * 400 + "1-" + "0" * 400 + "2", [(1, 2)]),
        ("bytes=-" + "9" * 400, [(0, 1000)]),
        ("bytes=0-9,20-29", [(0, 10), (20, 10)]),
        ("bytes=20-29, 0-9", [(20, 10), (0, 10)]),
        ("bytes=0-9\t,\t-10", [(0, 10), (990, 10)]),
        ("bytes=0-9,2000-", [(0, 10)]),
        ("bytes=0-9,5-19", [(0, 20)]),
        ("bytes=0-9,10-19", [(0, 20)]),
        ("bytes=5-19,300-309,0-9", [(0, 20), (300, 10)]),
        ("bytes=0-9,0-9,0-9", [(0, 10)]),
    ],
)
def test_ranges_are_parts(field, expected):
    assert select(field, 1000) == tuple(Part(*part) for part in expected)


@pytest.mark.parametrize("field", ["bytes=1000-", "bytes=999999999-", "bytes=1000-2000,5000-", "bytes=-0"])
def test_what_lies_beyond_the_end_is_no_part(field):
    assert select(field, 1000) == ()


@pytest.mark.parametrize(
    "field",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=a-b",
        "bytes=1-2-3",
        "bytes=9-1",
        "bytes=0-9,9-1",
        "bytes=0-9;20-29",
        "bytes=1 -2",
        "bytes=+1-2",
        "bytes=1.5-2",
        "bytes=٣-٤",
        "lines=0-9",
        "bytes =0-9",
        "0-9",
        "bytes=0-9\n",
    ],
)
def test_what_is_not_understood_gets_the_whole(field):
    assert select(field, 1000) is None


def test_an_empty_file_has_no_parts():
    assert select("bytes=0-", 0) == ()
    assert select("bytes=-0", 0) == ()
    assert select("bytes=-5", 0) is None  # satisfiable, but there is nothing that Content-Range could say


def test_very_many_ranges_get_the_whole():
    field = ",".join(f"{2000 * n}-{2000 * n}" for n in range(MAX_PARTS))
    parts = select(f"bytes={field}", 10_000_000)
    assert parts is not None
    assert len(parts) == MAX_PARTS
    assert select(f"bytes={field},99-99", 10_000_000) is None
    assert select("bytes=" + "0-0," * 100_000, 10_000_000) is None


def test_ranges_that_make_more_than_the_whole_get_the_whole():
    assert select("bytes=0-480,500-990", 1000) is None
    assert select("bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14", 500) is None


spec = st.tuples(st.integers(0, 300) | st.none(), st.integers(0, 300) | st.none())


@given(st.lists(spec, min_size=1, max_size=5), st.integers(0, 250))
def test_the_parts_are_the_bytes_that_were_asked_for(specs, size):
    field = ",".join(f"{'' if a is None else a}-{'' if b is None else b}" for a, b in specs)
    parts = select(f"bytes={field}", size)
    valid = all(a is not None or b is not None for a, b in specs)
    valid = valid and not any(a is not None and b is not None and b < a for a, b in specs)
    if not valid:
        assert parts is None
    elif parts is not None:
        covered = [place for part in parts for place in range(part.offset, part.end)]
        assert len(covered) == len(set(covered))
        assert all(0 <= part.offset < part.end <= size for part in parts)
        assert not parts or set(covered) == {p for a, b in specs for p in _bytes_of(a, b, size)}


def _bytes_of(first: int | None, last: int | None, size: int) -> range:
    """RFC 9110, section 14.1.2, as plainly as it can be said."""
    if first is None:
        assert last is not None
        return range(max(0, size - last), size)
    return range(first, size if last is None else min(size, last + 1))


@given(st.text() | st.from_regex(r"bytes=[0-9, -]*", fullmatch=True), st.integers(0, 10_000))
def test_no_text_gives_anything_that_is_not_there(text, size):
    for part in select(text, size) or ():
        assert 0 <= part.offset < part.end <= size


def test_content_range_counts_from_the_first_to_the_last_byte():
    assert content_range(Part(100, 100), 1000) == "bytes 100-199/1000"
    assert unsatisfied(1000) == "bytes */1000"


def test_a_body_of_parts_is_what_it_says():
    whole = bytes(range(256)) * 4
    parts = (Part(0, 3), Part(500, 10))
    body = multipart(parts, len(whole), "text/plain; charset=utf-8", "b0undary")
    sent = b"".join(head + whole[part.offset : part.end] for head, part in body.parts) + body.close
    assert len(sent) == body.size
    assert body.content_type == "multipart/byteranges; boundary=b0undary"
    pieces = re.split(rb"\r\n--b0undary(?:\r\n|--\r\n)", sent)
    assert pieces[0] == pieces[-1] == b""
    for piece, part in zip(pieces[1:-1], parts, strict=True):
        head, _, content = piece.partition(b"\r\n\r\n")
        assert content == whole[part.offset : part.end]
        assert head.split(b"\r\n") == [
            b"Content-Type: text/plain; charset=utf-8",
            b"Content-Range: " + content_range(part, len(whole)).encode(),
        ]
