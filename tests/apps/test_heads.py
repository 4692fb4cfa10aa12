"""What an application says of an answer, and what of it no browser ever sees."""

from __future__ import annotations

import pytest

from hardline.apps.heads import Answer, BadAnswer, acceptance, without_length

pytestmark = pytest.mark.pure


def start(*fields: tuple[object, object], status: object = 200) -> dict[str, object]:
    return {"type": "http.response.start", "status": status, "headers": list(fields)}


def fields_of(*fields: tuple[object, object], status: object = 200, version: str = "1.1") -> list[tuple[bytes, bytes]]:
    found: list[tuple[bytes, bytes]] = Answer("GET", version).start(start(*fields, status=status))["headers"]
    return found


def test_what_is_right_passes_as_it_is():
    fields = ((b"Set-Cookie", b"a=b"), (b"set-cookie", b"c=\xe9"), (b"content-length", b"12"))
    assert fields_of(*fields) == list(fields)
    assert fields_of((b"x", b" a\tb ")) == [(b"x", b"a\tb")]
    assert Answer("GET", "1.1").start({"type": "http.response.start", "status": 404})["headers"] == []


@pytest.mark.parametrize(
    "field",
    [
        *[(b"x", value) for value in (b"a\r\nSet-Cookie: b", b"a\nb", b"a\rb", b"a\0b", b"a\x7fb")],
        *[(name, b"a") for name in (b"", b"x y", b"x:", b"x: a\r\ny", b"x\n", b"\xc3\xa9")],
        *[("x", b"a"), (b"x", "a"), (b"x", 1)],
        *[(b"content-length", value) for value in (b"", b"-1", b"+1", b"1_0", b"1, 1", b"0x1", b"9" * 19)],
        *[(b"transfer-encoding", value) for value in (b"gzip", b"gzip, chunked", b"chunked, chunked", b"")],
    ],
)
def test_a_field_that_is_none_ends_it_before_it_began(field):
    with pytest.raises(BadAnswer) as raised:
        fields_of((b"a", b"b"), field)
    assert len(str(raised.value)) < 300
    if field[0] not in (b"content-length", b"transfer-encoding"):
        with pytest.raises(BadAnswer):
            acceptance({"type": "websocket.accept", "headers": [field]})


@pytest.mark.parametrize("status", [100, 101, 103, 199, 600, 999, 0, -1, "200", None, 200.0])
def test_a_status_that_ends_no_request_is_none(status):
    with pytest.raises(BadAnswer, match="expected a number of 200 to 599"):
        fields_of(status=status)


def test_two_lengths_are_none_and_chunks_have_their_own():
    length, chunked = (b"content-length", b"2"), (b"transfer-encoding", b"chunked")
    with pytest.raises(BadAnswer):
        fields_of(length, (b"Content-Length", b"3"))
    assert fields_of(length, (b"Content-Length", b"2")) == [length]
    assert fields_of(length, chunked, chunked) == [chunked]
    assert fields_of(length, chunked, version="1.0") == []
    assert without_length(start(length, (b"x", b"y"), chunked))["headers"] == [(b"x", b"y")]


@pytest.mark.parametrize(("method", "status"), [("GET", 204), ("GET", 304), ("HEAD", 200)])
def test_where_there_is_no_body_none_is_sent(method, status):
    answer = Answer(method, "1.1")
    answer.start(start((b"content-length", b"4"), status=status))
    assert not answer.has_body
    assert answer.body({"type": "http.response.body", "body": b"body", "more_body": True})["body"] == b""


def test_a_length_stays_where_it_means_something():
    length, chunked = (b"content-length", b"4"), (b"transfer-encoding", b"chunked")
    assert fields_of(length, chunked, status=204) == []
    assert fields_of(chunked, status=304) == []
    assert fields_of(length, status=304) == [length]


@pytest.mark.parametrize(
    ("version", "fields", "ends_it"),
    [("1.1", [], False), ("1.0", [], True), ("1.0", [(b"Content-Length", b"1")], False)],
)
def test_only_an_old_client_hears_the_end_by_the_end_of_the_connection(version, fields, ends_it):
    answer = Answer("GET", version)
    answer.start(start(*fields))
    assert answer.ends_it is ends_it


def test_a_body_is_bytes():
    said = Answer("GET", "1.1").body
    assert [said({"body": one})["body"] for one in (bytearray(b"ab"), memoryview(b"ab"), b"ab", None)] == [
        *3 * [b"ab"],
        b"",
    ]
    for wrong in (5, "ab", [97]):
        with pytest.raises(TypeError):
            said({"body": wrong})


@pytest.mark.parametrize("name", [b"Connection", b"upgrade", b"Sec-WebSocket-Accept", b"content-length"])
def test_a_handshake_is_not_the_applications(name):
    with pytest.raises(BadAnswer, match="of the handshake itself"):
        acceptance({"type": "websocket.accept", "headers": [(name, b"x")]})
