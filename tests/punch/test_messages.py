"""What is said on a control stream is understood, and what is nonsense is refused as such."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.errors import PeerError
from hardline.punch.messages import MOST, Again, Go, Message, Punch, Stop, Why, encode, parse
from hardline.routes import Endpoint
from hardline.session.messages import MAX_LINE

pytestmark = pytest.mark.pure

numbers = st.integers(0, 2**32 - 1)
addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6).filter(lambda one: one.ipv4_mapped is None))
endpoints = st.builds(Endpoint, addresses.map(str), st.integers(1, 65_535))
lists = st.lists(endpoints, max_size=MOST, unique=True).map(tuple)
names = st.one_of(st.just(""), st.binary(min_size=20, max_size=20).map(bytes.hex))
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Punch, numbers, lists, lists, lists, names, st.one_of(st.none(), endpoints)),
    st.builds(Go, numbers),
    st.builds(Stop, numbers, st.sampled_from(Why)),
    st.just(Again()),
)


@given(messages)
def test_what_is_said_is_understood_and_fits_a_line(message: Message) -> None:
    line = encode(message)
    assert line.endswith(b"\n")
    assert len(line) <= MAX_LINE
    assert parse(line[:-1]) == message


@given(
    st.one_of(
        st.binary(), st.recursive(st.none() | st.text() | numbers, st.lists).map(lambda x: json.dumps(x).encode())
    )
)
def test_nonsense_is_refused_as_such(line: bytes) -> None:
    with contextlib.suppress(PeerError):
        parse(line)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"id": "1"},
        {"id": 2**32},
        {"id": 1, "name": 7},
        {"id": 1, "name": "0F" * 20},
        {"id": 1, "you": 7},
        {"id": 1, "at": [7]},
        {"id": 1, "at": ["1.2.3.4:5000"] * 33},
        {"id": 1, "lan": {"1.2.3.4": 5000}},
        {"id": 1, "open": ["x" * 65]},
    ],
)
def test_a_try_of_the_wrong_kind_is_refused(value: object) -> None:
    with pytest.raises(PeerError):
        parse(json.dumps({"punch": value}).encode())


def test_names_and_scopes_are_no_endpoints_and_the_ninth_is_not_read() -> None:
    told = ["nas.example:7008", "[fe80::1%eth0]:7008", "1.2.3.4:0", "127.1:7008", "::1"]
    told += [f"11.22.33.{number}:7008" for number in range(1, 12)]
    message = parse(json.dumps({"punch": {"id": 1, "at": told}}).encode())
    assert isinstance(message, Punch)
    assert message.at == tuple(Endpoint(f"11.22.33.{number}", 7008) for number in range(1, MOST + 1))


def test_what_a_later_version_says_is_ignored() -> None:
    assert parse(b'{"weather":"fine"}') is None
    assert parse(b'{"stop":{"id":1,"why":"rain","until":"Sunday"}}') == Stop(1, Why.TIMEOUT)
