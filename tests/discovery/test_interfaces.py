"""Which addresses this machine has, and which of them are meant."""

from __future__ import annotations

import ipaddress
import json
import subprocess

import pytest

from hardline.discovery.interfaces import InterfaceAddress, interface_addresses
from tests.support import needs

LOOPBACK = ipaddress.ip_address("127.0.0.1")


def texts(*bind: str) -> set[str]:
    return {one.address for one in interface_addresses(bind)}


def test_loopback_is_there_with_its_interface_and_network():
    (one,) = interface_addresses(["127.0.0.1"])
    assert one.ip == LOOPBACK
    assert one.network == ipaddress.ip_network("127.0.0.0/8")
    assert one.index > 0
    assert one.name


def test_only_the_addresses_asked_for_are_used():
    assert texts("127.0.0.1") == {"127.0.0.1"}
    assert texts("192.0.2.123") == set()


def test_nothing_asked_for_is_everything():
    assert texts() >= {"127.0.0.1"}
    assert texts() == texts("0.0.0.0", "::")


def test_a_wildcard_stands_for_its_family_and_only_that():
    assert texts("0.0.0.0") == {text for text in texts() if ":" not in text}
    assert texts("::") == {text for text in texts() if ":" in text}
    assert texts("::", "127.0.0.1") == texts("::") | {"127.0.0.1"}


@pytest.mark.parametrize("spelling", ["::1", "0:0:0:0:0:0:0:1", "0000::0001"])
def test_an_address_may_be_spelled_in_any_way(spelling):
    if "::1" not in texts():
        needs.cannot("IPv6")
    assert texts(spelling) == {"::1"}


@needs.linux()
@needs.tools("ip")
def test_the_addresses_are_those_that_the_system_names():
    told = json.loads(subprocess.run(["ip", "-json", "addr"], capture_output=True, check=True).stdout)
    expected = {
        (link["ifname"], link["ifindex"], address["local"], address["prefixlen"])
        for link in told
        for address in link["addr_info"]
    }
    assert {(one.name, one.index, one.address, one.prefix) for one in interface_addresses()} == expected


def test_an_ipv6_address_knows_its_network_and_no_scope():
    one = InterfaceAddress("eth0", 2, "fe80::1234", 64)
    assert one.ip.is_link_local
    assert one.network == ipaddress.ip_network("fe80::/64")
