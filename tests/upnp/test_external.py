"""What an external address is worth."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.upnp.external import External, Kind, judge

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("8.8.8.8", Kind.PUBLIC),
        ("11.22.33.101", Kind.PUBLIC),
        (" 203.0.114.9 ", Kind.PUBLIC),
        ("2a0e:b107::1", Kind.PUBLIC),
        ("::ffff:8.8.8.8", Kind.PUBLIC),
        ("", Kind.NONE),
        ("0.0.0.0", Kind.NONE),
        ("::", Kind.NONE),
        ("::ffff:0.0.0.0", Kind.NONE),
        ("10.0.0.1", Kind.PRIVATE),
        ("172.31.255.255", Kind.PRIVATE),
        ("192.168.1.1", Kind.PRIVATE),
        ("::ffff:192.168.1.1", Kind.PRIVATE),
        ("fd00::1", Kind.PRIVATE),
        ("100.64.0.1", Kind.CARRIER),
        ("100.127.255.255", Kind.CARRIER),
        ("192.0.0.2", Kind.CARRIER),
        ("127.0.0.1", Kind.LOOPBACK),
        ("::1", Kind.LOOPBACK),
        ("169.254.7.7", Kind.LINK_LOCAL),
        ("fe80::1", Kind.LINK_LOCAL),
        ("224.0.0.1", Kind.MULTICAST),
        ("ff02::1", Kind.MULTICAST),
        ("192.0.2.1", Kind.DOCUMENTATION),
        ("203.0.113.9", Kind.DOCUMENTATION),
        ("2001:db8::1", Kind.DOCUMENTATION),
        ("3fff::1", Kind.DOCUMENTATION),
        ("0.1.2.3", Kind.RESERVED),
        ("198.19.0.1", Kind.RESERVED),
        ("255.255.255.255", Kind.RESERVED),
        ("2002:a00:1::1", Kind.RESERVED),
        ("2001:0:1::1", Kind.RESERVED),
        ("200:1::1", Kind.YGGDRASIL),
        ("4000::1", Kind.RESERVED),
        ("router.lan", Kind.NONSENSE),
        ("1.2.3", Kind.NONSENSE),
        ("8.8.8.8:80", Kind.NONSENSE),
        ("fe80::1%eth0", Kind.NONSENSE),
        ("1" * 10_000, Kind.NONSENSE),
    ],
)
def test_every_kind_of_address_is_told_apart(text: str, kind: Kind):
    assert judge(text).kind is kind


@pytest.mark.parametrize("edge", ["100.63.255.255", "100.128.0.0", "172.32.0.0", "192.0.1.0", "126.255.255.255"])
def test_the_neighbours_of_special_networks_are_public(edge: str):
    assert judge(edge).public


@given(st.one_of(st.text(), st.ip_addresses().map(str)))
def test_whatever_a_router_says_is_judged_and_only_routed_addresses_are_public(text: str):
    external = judge(text)
    assert external.public == (external.kind is Kind.PUBLIC)
    if external.public:
        assert external.address is not None
        assert not (external.address.is_private)
        assert not (external.address.is_multicast)
        assert not (external.address.is_loopback)


def test_it_prints_as_the_address_or_as_nothing():
    assert str(judge("8.8.8.8")) == "8.8.8.8"
    assert str(External(None, Kind.NONSENSE)) == ""
