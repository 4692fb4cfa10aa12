"""Lines of a control connection: what is understood, what is ignored, and what ends it."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.errors import PeerError
from hardline.proof import Proof
from hardline.relay.messages import (
    MOST,
    Bye,
    Dialback,
    Dialled,
    Drain,
    Hello,
    Invite,
    Kind,
    Leave,
    Ping,
    Pong,
    Refused,
    Register,
    Registered,
    Tokens,
    Unregister,
    Welcome,
    Why,
    encode,
    parse,
)
from hardline.session.messages import MAX_LINE

pytestmark = pytest.mark.pure

NUMBER = st.integers(0, MOST)
TEXT = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=50)
TOKEN = st.binary(min_size=16, max_size=16).map(bytes.hex)
NAME = st.binary(min_size=20, max_size=20).map(bytes.hex)
PROOF = st.builds(Proof, st.binary(min_size=1, max_size=300), st.binary(min_size=1, max_size=300))
MESSAGE = st.one_of(
    st.builds(Hello, st.none() | PROOF),
    st.builds(Welcome, TEXT, st.lists(TEXT, max_size=3).map(tuple), NUMBER, NUMBER, TEXT),
    st.builds(Register, NUMBER, st.sampled_from([kind for kind in Kind if kind is not Kind.DOMAIN]), PROOF),
    st.builds(Register, NUMBER, st.just(Kind.DOMAIN), PROOF, st.just("nas.example.org")),
    st.builds(Register, NUMBER, st.just(Kind.PORT), PROOF, port=st.integers(1, 65_535)),
    st.builds(Registered, NUMBER, st.just("") | NAME, TEXT),
    st.builds(Refused, NUMBER, st.sampled_from(Why), NUMBER),
    st.builds(Unregister, NUMBER),
    st.builds(Ping, NUMBER),
    st.builds(Pong, NUMBER),
    st.builds(Invite, NUMBER, TOKEN, TEXT),
    st.builds(Tokens, st.lists(TOKEN, max_size=3).map(tuple)),
    st.builds(Dialback, st.integers(1024, 65_535) | st.just(443), TOKEN),
    st.builds(Dialled, TOKEN),
    st.builds(Drain, NUMBER),
    st.builds(Bye, st.sampled_from(Leave)),
)


@given(MESSAGE)
def test_what_is_said_is_understood_and_fits_a_line(message):
    line = encode(message)
    assert line.count(b"\n") == 1
    assert len(line) <= MAX_LINE
    assert parse(line[:-1]) == message


@given(MESSAGE, st.integers(0, 5000), st.binary(max_size=4))
def test_whatever_comes_is_a_message_or_a_peers_mistake(message, at, new):
    line = encode(message)[:-1]
    with contextlib.suppress(PeerError):
        parse(line[:at] + new + line[at + len(new) :])


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_peers_mistake(data):
    with contextlib.suppress(PeerError):
        parse(data)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"{}",
        b"7",
        b'{"ping":1,"pong":1}',
        b'{"ping":1,"ping":1}',
        b'{"ping":true}',
        b'{"ping":-1}',
        b'{"ping":4294967296}',
        b'{"ping":1.0}',
        b'{"ping":NaN}',
        b'{"hello":[]}',
        b'{"hello":{}}',
        b'{"hello":{"v":true}}',
        b'{"hello":{"v":2}}',
        b'{"hello":{"v":1,"node":null}}',
        b'{"hello":{"v":1,"node":{"cert":"%%","sig":"YQ=="}}}',
        b'{"register":{"n":1,"as":"service","cert":"YQ==","sig":"YQ=="}}',
        b'{"register":{"n":1,"as":"handle","cert":"YQ=="}}',
        b'{"register":{"n":1,"as":"handle","cert":"","sig":"YQ=="}}',
        b'{"register":{"n":1,"as":"handle","cert":"YQ==","sig":"YQ==","name":"nas.example.org"}}',
        b'{"register":{"n":1,"as":"domain","cert":"YQ==","sig":"YQ=="}}',
        b'{"registered":{"n":1,"name":"abc"}}',
        b'{"invite":{"n":1,"token":"abc"}}',
        b'{"invite":{"token":"000102030405060708090a0b0c0d0e0f"}}',
        b'{"tokens":"000102030405060708090a0b0c0d0e0f"}',
        b'{"tokens":["000102030405060708090A0B0C0D0E0F"]}',
        b'{"welcome":{"v":1,"saw":7}}',
        b'{"welcome":{"v":1,"at":"relay.example:443"}}',
        b'{"ping":1}' + b" " * MAX_LINE,
    ],
)
def test_what_is_refused_ends_the_connection(line):
    with pytest.raises(PeerError):
        parse(line)


def test_what_is_not_known_is_ignored():
    assert parse(b'{"weather":"fine"}') is None
    assert parse(b'{"weather":7}') is None
    assert parse(b'{"drain":{"seconds":300,"because":"sunday"}}') == Drain(300)
    assert parse(b'{"refused":{"n":1,"why":"weather"}}') == Refused(1, Why.FULL)
    assert parse(b'{"bye":{"why":"weather"}}') == Bye(Leave.IDLE)
