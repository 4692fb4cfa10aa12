"""What a host tells of where it is."""

from __future__ import annotations

import pytest

from hardline.discovery.interfaces import InterfaceAddress
from hardline.discovery.whereabouts import MAX_TOLD, Whereabouts, told_addresses
from hardline.routes import Endpoint


@pytest.mark.parametrize(
    ("address", "told"),
    [
        *(("2a01:4f8::1", True), ("2600::1", True), ("200:1234::5", True), ("3ff:1::1", True)),
        *(("fd77::1", False), ("fe80::1%eth0", False), ("::1", False), ("2001:db8::1", False), ("ff02::1", False)),
        *(
            ("192.168.1.5", False),
            ("11.22.33.44", True),
            ("224.0.0.1", False),
            ("127.0.0.1", False),
            ("100.64.1.1", False),
            ("172.17.0.1", False),
            ("203.0.113.9", False),
        ),
    ],
)
def test_only_what_leads_here_from_anywhere_is_told(address, told):
    assert bool(told_addresses([address])) is told


def test_yggdrasil_comes_after_what_everybody_has():
    told = told_addresses(["200::1", "2a01:4f8::2", "11.22.33.44", "2a01:4f8::1"])
    assert told == ("11.22.33.44", "2a01:4f8::1", "2a01:4f8::2", "200::1")


def whereabouts(sources, addresses):
    def look():
        return [InterfaceAddress("eth0", 1, address, 64) for address in addresses]

    return Whereabouts(sources, lambda: 7008, look)


ROUTER, AGREED = Endpoint("11.22.33.1", 40_000), Endpoint("11.22.33.2", 7008)


def test_what_the_owner_says_comes_first_and_nothing_twice():
    public = Endpoint("home.example.org", 443), Endpoint("2a01:4f8::1", 7008)
    found = whereabouts({"public": lambda: public}, ["2a01:4f8::1", "2a01:4f8::2"]).current()
    assert found == (*public, Endpoint("2a01:4f8::2", 7008))


def test_the_first_source_that_knows_something_decides():
    known = {"public": [], "router": [ROUTER], "visitors": [AGREED]}
    told = whereabouts({name: lambda name=name: known[name] for name in known}, ["2a01:4f8::1"])
    assert told.explained() == {ROUTER: "router", Endpoint("2a01:4f8::1", 7008): "its own address"}
    known["router"].clear()
    assert told.explained() == {AGREED: "visitors", Endpoint("2a01:4f8::1", 7008): "its own address"}


def test_a_new_address_is_told_at_once():
    addresses = ["2a01:4f8::1"]
    told = whereabouts({}, addresses)
    assert told.current() == (Endpoint("2a01:4f8::1", 7008),)
    addresses[:] = ["2a01:4f8::9"]
    assert told.current() == (Endpoint("2a01:4f8::9", 7008),)


def test_a_machine_with_hundreds_of_addresses_tells_a_few():
    addresses = [f"2a01:4f8::{number:x}" for number in range(1, 300)]
    assert len(whereabouts({}, addresses).current()) == MAX_TOLD
