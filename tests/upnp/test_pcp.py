"""The packets of PCP."""

from __future__ import annotations

import contextlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.errors import PeerError
from hardline.upnp import pcp

pytestmark = pytest.mark.pure

NONCE = bytes(range(12))
OWN = "00000000000000000000ffff c0a84d0a"
# RFC 7.1 and 11.1 of RFC 6887: version, opcode, reserved, lifetime, client, nonce, protocol, reserved, ports, address.
ASKED = bytes.fromhex(f"02 01 0000 00000708 {OWN} {NONCE.hex()} 06 000000 1b60 1b61 00000000000000000000ffff 00000000")
MAPPED = bytes.fromhex(
    f"02 81 00 00 00000708 00000e10 {'00' * 12} {NONCE.hex()} 06 000000 1b60 1b61 00000000000000000000ffff 0b163365"
)


def test_the_question_is_that_of_the_rfc():
    assert pcp.ask_mapping(ipaddress.ip_address("192.168.77.10"), NONCE, 7008, 7009, 1800) == ASKED


def test_a_renewal_suggests_the_address_that_it_had():
    packet = pcp.ask_mapping(ipaddress.ip_address("192.168.77.10"), NONCE, 7008, 7009, 1800, "11.22.51.101")
    assert packet[-4:] == bytes((11, 22, 51, 101))


def test_an_ipv6_question_suggests_no_ipv4_address():
    own = ipaddress.ip_address("2a0e:b107::10")
    packet = pcp.ask_mapping(own, NONCE, 7008, 7008, 1800)
    assert packet[8:24] == own.packed
    assert packet[-16:] == bytes(16)


def test_the_question_whether_it_is_spoken_is_a_bare_announce():
    assert pcp.ask_announce(ipaddress.ip_address("192.168.77.10")) == bytes.fromhex(f"02 00 0000 00000000 {OWN}")


def test_the_answers_are_read():
    assert pcp.parse(MAPPED) == pcp.Mapped(1, 0, 1800, 3600, NONCE, 7008, 7009, "11.22.51.101")
    announced = bytes.fromhex("02 80 00 00 00000000 00000005") + bytes(12)
    assert pcp.parse(announced) == pcp.Answer(pcp.ANNOUNCE, 0, 0, 5)


def test_every_cut_of_an_answer_is_refused():
    for end in range(len(MAPPED)):
        with pytest.raises(PeerError):
            pcp.parse(MAPPED[:end])


@pytest.mark.parametrize(
    "packet", [ASKED, b"\x01" + MAPPED[1:], MAPPED + bytes(1100), MAPPED[:36] + b"\x11" + MAPPED[37:]]
)
def test_questions_other_versions_other_protocols_and_huge_packets_are_refused(packet: bytes):
    with pytest.raises(PeerError):
        pcp.parse(packet)


@given(st.one_of(st.binary(max_size=80), st.binary(max_size=80).map(lambda rest: b"\x02\x81" + rest)))
def test_any_bytes_are_an_answer_or_a_peer_error(packet: bytes):
    with contextlib.suppress(PeerError):
        pcp.parse(packet)
