"""The packets of NAT-PMP."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.errors import PeerError
from hardline.upnp import natpmp

pytestmark = pytest.mark.pure

# RFC 6886, sections 3.2 and 3.3.
ADDRESS = bytes.fromhex("00 80 0000 00000e10 0b163365")
MAPPED = bytes.fromhex("00 82 0000 00000e10 1b60 1b61 00000708")


def test_the_questions_are_those_of_the_rfc():
    assert bytes.fromhex("0000") == natpmp.ASK_ADDRESS
    assert natpmp.ask_mapping(7008, 7009, 1800) == bytes.fromhex("00 02 0000 1b60 1b61 00000708")


def test_ending_a_mapping_asks_for_port_0_and_no_time():
    assert natpmp.ask_mapping(7008, 7009, 0) == bytes.fromhex("00 02 0000 1b60 0000 00000000")


def test_the_answers_are_read():
    assert natpmp.parse(ADDRESS) == natpmp.ExternalAddress(0, 3600, "11.22.51.101")
    assert natpmp.parse(MAPPED) == natpmp.Mapped(0, 3600, 7008, 7009, 1800)


def test_a_refusal_may_end_after_its_result():
    assert natpmp.parse(bytes.fromhex("00 80 0003 00000001")) == natpmp.ExternalAddress(3, 1, "")
    assert natpmp.parse(bytes.fromhex("00 82 0002 00000001")) == natpmp.Mapped(2, 1, 0, 0, 0)


@pytest.mark.parametrize("packet", [ADDRESS, MAPPED])
def test_every_cut_of_an_answer_is_refused(packet: bytes):
    for end in range(len(packet)):
        with pytest.raises(PeerError):
            natpmp.parse(packet[:end])


@pytest.mark.parametrize(
    "packet", ["01 80 0000 00000e10 0b163365", "00 00 0000 00000e10 0b163365", "00 81" + "00" * 14]
)
def test_other_versions_questions_and_other_answers_are_refused(packet: str):
    with pytest.raises(PeerError):
        natpmp.parse(bytes.fromhex(packet))


@given(st.binary(max_size=40))
def test_any_bytes_are_an_answer_or_a_peer_error(packet: bytes):
    with contextlib.suppress(PeerError):
        natpmp.parse(packet)
