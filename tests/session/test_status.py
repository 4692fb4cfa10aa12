"""The status line of a stream (docs/PROTOCOL.md, section 5.4)."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.errors import PeerError, ServiceFailed
from hardline.session.status import KINDS, MAX_DETAIL, MAX_LINE, StatusReader, StreamStatus
from hardline.showable import is_plain

pytestmark = pytest.mark.pure

REFUSED = StreamStatus("refused", "nothing listens there")


def test_a_service_that_was_reached_costs_three_bytes():
    assert StreamStatus().encode() == b"{}\n"


@pytest.mark.parametrize("status", [StreamStatus(), REFUSED, StreamStatus("timeout")])
def test_status_and_payload_are_told_apart_however_tcp_cuts_them(status):
    data = status.encode() + b"HTTP/1.1 200 OK\r\n\n"
    for cut in range(len(data) + 1):
        reader = StatusReader()
        found, rest = reader.feed(data[:cut]), data[cut:]
        if found is None:
            found, rest = reader.feed(rest), b""
        assert (found, reader.leftover + rest) == (status, b"HTTP/1.1 200 OK\r\n\n")


def test_a_service_that_was_reached_is_known_without_a_copy_only_at_the_very_beginning():
    assert StatusReader().behind_reached(memoryview(b"{}\nHTTP/1.1 200 OK")) == b"HTTP/1.1 200 OK"
    assert StatusReader().behind_reached(memoryview(b"{}\n")) == b""
    for other in (b"", b"{", b"{}", b'{"took":7}\nx', b" {}\n", b"HTTP/1.1 200 OK"):
        assert StatusReader().behind_reached(memoryview(other)) is None
    begun = StatusReader()
    assert begun.feed(b'{"error":"limit","detail":"') is None
    assert begun.behind_reached(memoryview(b"{}\n")) is None


def test_a_failure_is_raised_with_its_kind_and_detail():
    StreamStatus().raise_for_failure()
    with pytest.raises(ServiceFailed) as caught:
        REFUSED.raise_for_failure()
    assert (caught.value.kind, caught.value.detail) == ("refused", "nothing listens there")


@given(st.sampled_from(KINDS), st.text(max_size=400))
def test_whatever_the_detail_is_the_line_fits_and_comes_back_clean(kind, detail):
    line = StreamStatus(kind, detail).encode()
    assert line.count(b"\n") == 1
    assert len(line) <= MAX_LINE
    read = StatusReader().feed(line)
    assert read.kind == kind
    assert is_plain(read.detail)
    assert len(read.detail) <= MAX_DETAIL


@pytest.mark.parametrize("detail", ['"' * 400, "\\" * 400, "\U0001f600" * 400, "\x00" * 400, "\ud800" * 400])
def test_the_longest_details_fit_the_line(detail):
    assert len(StreamStatus("unavailable", detail).encode()) <= MAX_LINE


def test_what_could_steer_a_terminal_or_forge_a_line_is_taken_out_of_a_detail():
    line = json.dumps({"error": "limit", "detail": "a\x1b[31mb\nc\u202ed" + "x" * 900}).encode()
    assert StreamStatus.parse(line).detail.startswith("a [31mb c dxxx")


@pytest.mark.parametrize("error", ['"asleep"', '""', "7", "null", "[]", "{}", "true"])
def test_an_unknown_kind_of_failure_is_a_failure(error):
    assert StreamStatus.parse(f'{{"error":{error}}}'.encode()) == StreamStatus("unavailable")


@pytest.mark.parametrize("detail", ["7", "null", "[]", "true"])
def test_a_detail_that_is_no_text_counts_as_absent(detail):
    assert StreamStatus.parse(f'{{"error":"limit","detail":{detail}}}'.encode()) == StreamStatus("limit")


def test_unknown_keys_are_ignored():
    assert StreamStatus.parse(b'{"took":7}') == StreamStatus()


@pytest.mark.parametrize(
    "line", [b"", b"[]", b"HTTP/1.1 200 OK\r", b'{"a":1,"a":2}', b'{"error":"\xff"}', b"[" * 1000, b"{} {}"]
)
def test_a_stream_that_begins_with_anything_else_is_refused(line):
    with pytest.raises(PeerError):
        StatusReader().feed(line + b"\n")


def test_a_line_that_does_not_end_is_refused_after_1_kib():
    reader = StatusReader()
    assert reader.feed(b" " * MAX_LINE) is None
    with pytest.raises(PeerError, match="1024"):
        reader.feed(b" ")


@given(st.binary(max_size=100), st.integers(1, 9))
def test_any_bytes_are_a_status_or_a_peer_error(data, step):
    reader = StatusReader()
    with suppress(PeerError):
        for start in range(0, len(data), step):
            if reader.feed(data[start : start + step]) is not None:
                break
