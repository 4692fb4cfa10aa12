"""Whom an address belongs to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.transport.sources import around, networks, source_of

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:203:5::9", "2001:db8:1:203::/64"),
        ("fe80::1%eth0", "fe80::/64%eth0"),
        ("unix", "unix"),
        ("relay 3f07 for anna", "relay 3f07 for anna"),
        ("", ""),
    ],
)
def test_an_ipv6_customer_is_one_source_and_an_ipv4_address_is_one(address, source):
    assert source_of(address) == source


def test_wider_networks_are_what_a_provider_gives_to_one_customer():
    assert networks("2001:db8:1:203::9") == ("2001:db8:1::/48", "2001:db8:1:200::/56", "2001:db8:1:203::/64")


@pytest.mark.parametrize(
    ("address", "networks_around"),
    [
        ("2001:db8:1:203::9", ["2001:db8:1:203::/64", "2001:db8:1:200::/56", "2001:db8:1::/48"]),
        ("fe80::1%eth0", ["fe80::/64%eth0", "fe80::/56%eth0", "fe80::/48%eth0"]),
        ("192.0.2.7", []),
        ("unix", []),
    ],
)
def test_a_neighbour_is_told_from_the_network_around_him(address, networks_around):
    assert around(address) == (address, *networks_around)
    assert around("::ffff:192.0.2.7") == around("192.0.2.7")


@given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_whatever_he_chooses_of_his_64_bits_he_stays_the_same_source(address, other):
    same_network = type(address)(int(address) >> 64 << 64 | other)
    if address.ipv4_mapped is None and same_network.ipv4_mapped is None:
        assert source_of(str(address)) == source_of(str(same_network))
