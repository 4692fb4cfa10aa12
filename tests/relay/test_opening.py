"""A new connection: known by its first bytes, and no sooner and no later than it can be."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.errors import PeerError
from hardline.relay.clienthello import ClientHello
from hardline.relay.lines import MAX_GO, MAX_LINE, Line, Verb, encode_line, read_line
from hardline.relay.opening import CONTROL, Request, name_in, read_opening
from tests.relay import hellos
from tests.relay.hellos import NAME

pytestmark = pytest.mark.pure

TOKEN = "00" * 16


@pytest.mark.parametrize(
    ("verb", "rest"),
    [
        (Verb.JOIN, TOKEN),
        (Verb.PARK, TOKEN),
        (Verb.PROBE, TOKEN),
        (Verb.REVERSE, "00" * 20),
        (Verb.OK, "203.0.113.7:51234"),
        (Verb.NO, "gone"),
    ],
)
def test_a_line_is_known_at_its_end_and_leaves_what_is_behind_it(verb, rest):
    said = encode_line(verb, rest)
    assert said == b"HARDLINE-" + verb.encode() + b" " + rest.encode() + b"\r\n"
    for end in range(1, len(said)):
        assert read_opening(said[:end]) is None
    assert read_opening(said) == Line(verb, rest, len(said))
    assert read_line(said + b"\x16\3\1") == Line(verb, rest, len(said))


def test_who_brings_tls_is_known_by_his_hello():
    said = hellos.of_pyopenssl(None, [CONTROL.encode()])
    assert read_opening(said[:-1]) is None
    found = read_opening(said)
    assert isinstance(found, ClientHello)
    assert found.protocols == (CONTROL,)


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\n", b"HEAD / HTTP/1.1\r\n", b"G", b"HE", b"HARDLY", b"options", b"SSH-2.0"]
)
def test_who_speaks_http_or_something_like_it_is_known_at_once(said):
    assert read_opening(said) == Request()


@pytest.mark.parametrize("said", [b"\0", b"\x80\x2e\1", b" GET", b"\r\n", b"\xff\xff", b"0"])
def test_who_speaks_nothing_of_ours_is_known_at_once(said):
    with pytest.raises(PeerError):
        read_opening(said)


@pytest.mark.parametrize(
    "said",
    [
        b"HARDLINE-JOIN\r\n",
        b"HARDLINE-JOIN \r\n",
        b"HARDLINE-STAY 7\r\n",
        b"HARDLINE-join 7\r\n",
        b"HARDLINE-JOIN \x00\r\n",
        b"HARDLINE-JOIN caf\xc3\xa9\r\n",
        b"HARDLINE-STAY 7",
        b"HARDLINE-" + b"J" * 20,
        b"HARDLINE-JOIN " + b"7" * MAX_LINE,
        b"HARDLINE-JOIN " + b"7" * MAX_LINE + b"\r\n",
        b"HARDLINE-GO " + b"7" * MAX_GO,
    ],
)
def test_a_line_that_is_none_is_known_before_it_fills_memory(said):
    with pytest.raises(PeerError):
        read_opening(said)


def test_an_invite_may_be_longer_than_other_lines():
    said = encode_line(Verb.GO, "7" * (MAX_LINE + 1))
    assert read_line(said) == Line(Verb.GO, "7" * (MAX_LINE + 1), len(said))


@given(st.binary(max_size=40) | st.binary(max_size=40).map(lambda tail: b"HARDLINE-" + tail))
def test_whatever_comes_is_something_or_a_peers_mistake(data):
    with contextlib.suppress(PeerError):
        read_opening(data)


@pytest.mark.parametrize(
    ("server_name", "name"),
    [
        (NAME, NAME),
        (f"{NAME}.relay.example", NAME),
        ("nas.example.org", "nas.example.org"),
        (f"{NAME}0", f"{NAME}0"),
        (f"www.{NAME}", f"www.{NAME}"),
        ("", ""),
    ],
)
def test_the_name_that_counts(server_name, name):
    assert name_in(server_name) == name
