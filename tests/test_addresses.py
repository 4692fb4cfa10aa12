"""What an address is: one table, and all who judge by it say the same."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hardline.addresses import Address, Kind, Way, is_public, kind_of, leads_to, parse, refused
from hardline.dht import endpoints
from hardline.discovery.interfaces import InterfaceAddress
from hardline.discovery.reached import Reached
from hardline.discovery.whereabouts import told_addresses
from hardline.routes import Endpoint
from hardline.upnp.external import judge

pytestmark = pytest.mark.pure

addresses = st.ip_addresses()


def dressed(inside: ipaddress.IPv4Address) -> list[ipaddress.IPv6Address]:
    """All forms of IPv6 that an IPv4 address has."""
    number = int(inside)
    prefixes = ("::", "::ffff:0:0", "::ffff:0:0:0", "64:ff9b::")
    return [
        *(ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | number) for prefix in prefixes),
        ipaddress.IPv6Address((0x2002 << 112) | (number << 80) | 1),
    ]


@given(st.ip_addresses(v=4))
@example(ipaddress.IPv4Address("127.0.0.1"))
@example(ipaddress.IPv4Address("192.168.1.1"))
def test_whatever_an_ipv4_address_wears_it_leads_where_the_bare_one_does(inside: ipaddress.IPv4Address) -> None:
    for form in dressed(inside):
        if kind_of(form) not in (Kind.NONE, Kind.LOOPBACK):  # ::0.0.0.0 and ::0.0.0.1 are IPv6's own
            assert leads_to(form) == inside, form
            assert leads_to(leads_to(form)) == inside


@given(addresses, st.sampled_from(list(Way)))
def test_what_is_refused_bare_is_refused_dressed(address: Address, way: Way) -> None:
    if isinstance(address, ipaddress.IPv4Address) and refused(address, way):
        for form in dressed(address):
            assert refused(form, way), form


@given(addresses)
@example(ipaddress.IPv6Address("64:ff9b::808:808"))
@example(ipaddress.IPv6Address("2002:808:808::1"))
@example(ipaddress.IPv4Address("203.0.113.9"))
def test_all_who_judge_agree_on_what_is_public(address: Address) -> None:
    text = str(address)
    public = kind_of(address) is Kind.PUBLIC
    assert is_public(text) is public
    assert judge(text).public is public
    assert (text in told_addresses([text])) is (public or kind_of(address) is Kind.YGGDRASIL)
    reached = Reached(lambda: 0.0)
    reached.said(Endpoint("8.8.8.8", 1), str(Endpoint(text, 7008)))
    assert bool(reached.heard) is public
    if public:
        assert endpoints.refused(Endpoint(text, 7008), signed=False) is None
        assert refused(address, Way.DEFAULT) is None


@given(addresses)
def test_what_nobody_signed_may_name_nothing_that_a_signed_record_may_not(address: Address) -> None:
    endpoint = Endpoint(str(address), 7008)
    if endpoints.refused(endpoint, signed=True):
        assert endpoints.refused(endpoint, signed=False)
    if endpoints.refused(endpoint, signed=False) is None:
        assert refused(address, Way.DEFAULT) is None


def test_a_scope_changes_nothing() -> None:
    scoped = parse("fe80::1%eth0")
    assert scoped is not None
    assert kind_of(scoped) is Kind.LINK_LOCAL
    assert leads_to(scoped) == scoped
    mapped = parse("::ffff:127.0.0.1%1")
    assert mapped is not None
    assert refused(mapped, Way.DEFAULT)
    assert InterfaceAddress("lo", 1, "::1", 128).ip.is_loopback
