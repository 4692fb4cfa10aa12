"""The first line of either side (docs/PROTOCOL.md, sections 3.3 and 4)."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.errors import PeerError
from hardline.session.hello import (
    MAX_LINE,
    HelloReader,
    HostHello,
    HostRefusal,
    LegacyHostLine,
    LegacyVisitorLine,
    VisitorHello,
    parse_host_hello,
)

pytestmark = pytest.mark.pure

READERS = [VisitorHello.parse, parse_host_hello, LegacyVisitorLine.parse, LegacyHostLine.parse]

texts = st.text(max_size=60)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(["v", "password", "reached", "WANHosts", "title", "instance", "error"]) | texts
almost_hellos = st.dictionaries(keys, values | st.just(2), max_size=6).map(lambda fields: json.dumps(fields).encode())


# ── finding the line ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("cut", range(len(b'{"v":2}\npayload\n') + 1))
def test_the_line_and_what_is_behind_it_are_found_however_tcp_cuts_them(cut):
    data = b'{"v":2}\npayload\n'
    reader = HelloReader()
    line = reader.feed(data[:cut])
    rest = b"" if line is None else data[cut:]
    if line is None:
        line = reader.feed(data[cut:])
    assert (line, reader.leftover + rest) == (b'{"v":2}', b"payload\n")


@given(st.binary(max_size=300).filter(lambda line: b"\n" not in line), st.lists(st.binary(max_size=40), max_size=20))
def test_the_first_line_is_what_stands_before_the_first_line_feed(line, pieces):
    reader, stream, found = HelloReader(), line + b"\n" + b"".join(pieces), None
    for start in range(0, len(stream), 7):
        found = reader.feed(stream[start : start + 7])
        if found is not None:
            break
    assert found == line
    assert stream[len(line) + 1 :].startswith(reader.leftover)


def test_a_line_of_16_kib_is_read_and_one_byte_more_is_refused_before_its_end_came():
    assert HelloReader().feed(b"x" * MAX_LINE + b"\n") == b"x" * MAX_LINE
    reader = HelloReader()
    assert reader.feed(b"x" * MAX_LINE) is None
    with pytest.raises(PeerError, match="16384"):
        reader.feed(b"x")
    with pytest.raises(PeerError):
        HelloReader().feed(b"x" * 300_000)


# ── what we write ────────────────────────────────────────────────────────────────────────────────────────────


@given(st.text(max_size=30), st.text(max_size=60))
def test_a_visitors_hello_comes_back_from_its_line(password, reached):
    hello = VisitorHello(password, reached)
    assert hello.encode().endswith(b"\n")
    assert HelloReader().feed(hello.encode()) == hello.encode()[:-1]
    assert VisitorHello.parse(hello.encode()) == hello


@given(texts, texts, texts)
def test_a_hosts_hello_comes_back_from_its_line(wan_hosts, title, instance):
    hello = HostHello(wan_hosts, title, instance)
    assert HelloReader().feed(hello.encode()) == hello.encode()[:-1]
    assert parse_host_hello(hello.encode()) == hello


@given(texts)
def test_the_lines_for_originals_come_back_too(text):
    assert LegacyVisitorLine.parse(LegacyVisitorLine(text).encode()) == LegacyVisitorLine(text)
    assert LegacyHostLine.parse(LegacyHostLine(text).encode()) == LegacyHostLine(text)


def test_lines_for_originals_have_no_spaces_and_no_version():
    assert LegacyVisitorLine().encode() == b"{}\n"
    assert LegacyVisitorLine("sesame").encode() == b'{"password":"sesame"}\n'
    assert LegacyHostLine("203.0.113.9:7008").encode() == b'{"WANHosts":"203.0.113.9:7008"}\n'


def test_a_refusal_is_told_from_a_hello():
    assert parse_host_hello(HostRefusal("password").encode()) == HostRefusal("password")
    assert parse_host_hello(b'{"v":2,"error":null}') == HostRefusal("unknown")
    assert parse_host_hello(b'{"error":"%s"}' % (b"x" * 9000)) == HostRefusal("x" * 100)


# ── what others write ────────────────────────────────────────────────────────────────────────────────────────


def test_unknown_keys_are_ignored():
    assert VisitorHello.parse(b'{"v":2,"since":[1,{"a":null}]}') == VisitorHello()
    assert parse_host_hello(b'{"v":2,"relays":{},"title":"x"}') == HostHello(title="x")


@pytest.mark.parametrize("value", ["7", "null", "[]", "{}", "true", "1e999", '["x"]'])
def test_an_optional_key_of_the_wrong_type_counts_as_absent(value):
    line = f'{{"v":2,"WANHosts":{value},"title":{value},"instance":{value},"reached":{value}}}'.encode()
    assert parse_host_hello(line) == HostHello()
    assert VisitorHello.parse(line) == VisitorHello()
    assert LegacyHostLine.parse(line) == LegacyHostLine()


@pytest.mark.parametrize("value", ["7", "null", "[]", "{}", "true"])
@pytest.mark.parametrize("read", [VisitorHello.parse, LegacyVisitorLine.parse])
def test_a_password_that_is_no_text_is_refused(read, value):
    with pytest.raises(PeerError, match="password"):
        read(f'{{"v":2,"password":{value}}}'.encode())


@pytest.mark.parametrize("version", ["", '"v":3', '"v":1', '"v":"2"', '"v":2.0', '"v":null', '"v":true', '"v":[2]'])
def test_another_version_is_refused(version):
    for read in (VisitorHello.parse, parse_host_hello):
        with pytest.raises(PeerError, match="v is not 2"):
            read(f"{{{version}}}".encode())


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"GET / HTTP/1.1\r",
        b"[]",
        b"2",
        b'"text"',
        b"null",
        b'{"v":2',
        b'{"v":2}{}',
        b"{'v':2}",
        b'{"v":2,"title":"\xff"}',
        b'\xef\xbb\xbf{"v":2}',
        b'{"v":2,"v":2}',
        b'{"v":2,"x":{"a":1,"a":1}}',
        b'{"v":2,"x":NaN}',
        b'{"v":2,"x":-Infinity}',
        b'{"v":2,"title":"\\ud800"}',
        b'{"v":2,"\\udfff":1}',
        b'{"v":2,"x":"\n"}',
        b'{"v":' + b"2" * 10_000 + b"}",
        b'{"v":2,"x":' + b"[" * 16_000,
        b'{"v":2,"x":' + b'{"x":' * 3_000,
        b'{"v":2,"x":' + b"[" * 8_000 + b"]" * 8_000 + b"}",
    ],
)
@pytest.mark.parametrize("read", READERS)
def test_hostile_lines_are_refused(read, line):
    with pytest.raises(PeerError):
        read(line)


def test_a_whole_surrogate_pair_is_one_letter():
    assert parse_host_hello(b'{"v":2,"title":"\\ud83d\\ude00"}') == HostHello(title="\U0001f600")


@pytest.mark.parametrize("read", READERS)
@given(line=st.binary(max_size=200) | almost_hellos | st.text(max_size=100).map(str.encode))
def test_any_line_is_a_result_or_a_peer_error(read, line):
    with suppress(PeerError):
        assert read(line) is not None


@given(almost_hellos, st.data())
def test_a_damaged_line_is_a_result_or_a_peer_error(line, data):
    at = data.draw(st.integers(0, len(line)))
    damaged = line[:at] + data.draw(st.binary(max_size=3)) + line[at + 1 :]
    for read in READERS:
        with suppress(PeerError):
            read(damaged)
