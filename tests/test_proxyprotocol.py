"""The PROXY protocol: what haproxy's specification gives as examples, and what it says of the rest."""

from __future__ import annotations

import pytest

from hardline.proxyprotocol import header
from hardline.routes import Endpoint

pytestmark = pytest.mark.pure

V4 = Endpoint("192.168.0.1", 56324), Endpoint("192.168.0.11", 443)
V6 = Endpoint("2001:db8::7", 4711), Endpoint("2001:db8::1", 443)
SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")  # section 2.2


def test_a_client_of_ipv4_is_the_example_of_section_2_1():
    assert header(1, *V4) == b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"


def test_a_client_of_ipv6_is_written_shortest():
    assert header(1, *V6) == b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n"


def test_the_longest_line_is_within_what_receivers_read():
    longest = Endpoint("ffff:f:f:f:f:f:f:ffff".replace(":f:", ":ffff:").replace(":f:", ":ffff:"), 65535)
    assert len(header(1, longest, longest)) <= 107


def test_version_2_of_ipv4():
    assert header(2, *V4) == SIGNATURE + bytes.fromhex("21 11 000c c0a80001 c0a8000b dc04 01bb")


def test_version_2_of_ipv6():
    addresses = bytes.fromhex("20010db8000000000000000000000007 20010db8000000000000000000000001")
    assert header(2, *V6) == SIGNATURE + bytes.fromhex("21 21 0024") + addresses + bytes.fromhex("1267 01bb")


@pytest.mark.parametrize("client", [None, Endpoint("unix", 0), Endpoint("nas.lan", 1)])
def test_nobody_that_is_known(client):
    assert header(1, client, V4[1]) == b"PROXY UNKNOWN\r\n"
    assert header(2, client, V4[1]) == SIGNATURE + bytes.fromhex("20 00 0000")


def test_what_has_no_meaning_elsewhere_is_left_out():
    assert header(1, Endpoint("::ffff:192.0.2.7", 1), V4[1]) == b"PROXY TCP4 192.0.2.7 192.168.0.11 1 443\r\n"
    assert header(1, Endpoint("fe80::1%eth0", 1), V6[1]) == b"PROXY TCP6 fe80::1 2001:db8::1 1 443\r\n"


@pytest.mark.parametrize("reached", [None, V6[1]])
def test_an_end_of_the_other_family_is_nobody_s(reached):
    assert header(1, V4[0], reached) == b"PROXY TCP4 192.168.0.1 0.0.0.0 56324 0\r\n"
