"""What the DHT's child process says is looked at like a stranger's words."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.dht.lines import (
    MAX_GOOD,
    MAX_VALUE,
    decode,
    decode_value,
    encode,
    encode_value,
    good_nodes,
    read_endpoints,
)
from hardline.errors import PeerError

pytestmark = pytest.mark.pure

# As OpenDHT 4.4.2 writes it.
TABLE = """\
0000000000000000000000000000000000000000 count: 4 updated: 1.18 s ago
    Node b2ddfefa417c59ffb11681363efd1661548c9b54 127.0.0.1:45373       updated: 1.18 s ago [good]
    Node 02d5911b01d71003d97050bd625ac0d8f92b228b [::1]:37191           updated: 110 ms ago, replied: 1.11 s ago [good]
    Node 12d5911b01d71003d97050bd625ac0d8f92b228b 127.0.0.1:37192       updated: 9 s ago [expired]
    Node 22d5911b01d71003d97050bd625ac0d8f92b228b 127.0.0.1:37193       updated: 9 s ago

"""


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.booleans() | st.lists(st.text())))
def test_what_was_written_is_what_is_read(fields):
    line = encode(fields)
    assert line.count(b"\n") == 1
    assert decode(line) == fields


@given(st.binary())
def test_whatever_a_line_is_it_is_an_object_or_a_peer_error(line):
    with contextlib.suppress(PeerError):
        assert isinstance(decode(line), dict)


@given(st.binary(max_size=1000))
def test_values_go_through_lines_unchanged(value):
    assert decode_value(encode_value(value)) == value


@pytest.mark.parametrize("text", [None, 7, [], "%", "YQ", "é", encode_value(bytes(MAX_VALUE + 1)), "x" * 200_000])
def test_what_is_no_value_is_a_peer_error(text):
    with pytest.raises(PeerError):
        decode_value(text)


def test_good_nodes_are_read_out_of_the_librarys_table():
    assert good_nodes(TABLE) == {
        "b2ddfefa417c59ffb11681363efd1661548c9b54": "127.0.0.1:45373",
        "02d5911b01d71003d97050bd625ac0d8f92b228b": "[::1]:37191",
    }
    assert good_nodes("") == {}


def test_nodes_are_remembered_by_address_only_and_not_too_many():
    texts = [*(f"192.0.2.{n % 250}:{n + 1}" for n in range(200)), "a.example:1", "nonsense", "0.0.0.0:1", "[ff02::1]:1"]
    assert len(read_endpoints(texts)) == MAX_GOOD
    assert read_endpoints(["a.example:1", "nonsense", 7, None, "0.0.0.0:1", "[ff02::1]:1", "[::1]:5"])[0].port == 5
    assert read_endpoints("192.0.2.1:1") == read_endpoints({}) == read_endpoints(None) == []
