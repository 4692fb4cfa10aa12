"""A look around the LAN believes nobody and keeps little, whatever comes."""

from __future__ import annotations

from ipaddress import IPv4Address

from hardline.discovery.interfaces import InterfaceAddress
from hardline.discovery.lpd import Answer, Search
from hardline.doctor.lan import MAX_DEVICES, MAX_OTHERS, _Looking, off
from hardline.identity import KeyHash
from hardline.routes import Endpoint
from hardline.settings.node import LanSection

ETH0 = InterfaceAddress("eth0", 2, "192.168.1.20", 24)
LO = InterfaceAddress("lo", 1, "127.0.0.1", 8)
ON_LO = InterfaceAddress("lo", 1, "192.0.2.7", 32)
UNPLUGGED = InterfaceAddress("eth1", 3, "10.0.0.1", 24, rank=3)
BRIDGE = InterfaceAddress("docker0", 4, "172.17.0.1", 16, rank=2, of_note=False)
KEY = KeyHash.parse("bb89bb334524f65f872eb6c1fc21edd0f0c42ec3")


def looking(known: dict[KeyHash, Endpoint] | None = None) -> _Looking:
    return _Looking((ETH0, LO, ON_LO, UNPLUGGED, BRIDGE), known or {}, lambda: 1.7e9)


def answer(cookie: str, title: str = "Wiki", day: int = 19_675) -> bytes:
    return Answer(7008, "aa" * 20, cookie, title, version=2, day=day).encode()


def test_only_interfaces_that_lead_to_others_are_spoken_from() -> None:
    assert looking()._addresses == [ETH0]


def test_own_packets_are_known_by_their_word_and_by_where_they_come_from() -> None:
    one = looking()
    one._heard(Search("", "mine", 2).encode(), "192.168.1.7")
    assert one._came_back == set()
    one._heard(Search("", "mine", 2).encode(), "192.168.1.20")
    assert one._came_back == {"mine"}
    one._heard(answer("us"), "192.168.1.20")
    assert not one._others
    assert "192.168.1.20" not in one._devices


def test_a_node_with_many_addresses_and_services_is_one() -> None:
    one = looking()
    for source in ("192.168.1.7", "fd77::7", "fe80::7"):
        for title in ("Wiki", "Files"):
            one._heard(answer("node", title), source)
    assert [(other.source, other.title, other.day) for other in one._others.values()] == [
        ("192.168.1.7", "Wiki", 19_675)
    ]
    assert len(one._devices) == 3


def test_a_router_is_no_neighbour() -> None:
    one = looking()
    one._routers = {"192.168.1.1"}
    one._heard(b"HTTP/1.1 200 OK\r\n\r\n", "192.168.1.1")
    assert not one._devices


def test_a_flood_is_bounded() -> None:
    one = looking()
    for number in range(10_000):
        one._heard(answer(f"node{number}", "x" * 1500), str(IPv4Address(0xC0A80000 + number)))
        one._heard(b"HARDLINE-SERVICE nonsense", "192.168.1.9")
    assert (len(one._others), len(one._devices)) == (MAX_OTHERS, MAX_DEVICES)
    assert all(len(other.title) <= 120 for other in one._others.values())


def test_of_known_hosts_those_of_this_network_are_looked_for() -> None:
    there, elsewhere = Endpoint("192.168.1.7", 7008), Endpoint("192.168.9.7", 7008)
    other = KeyHash.parse("c0" * 20)
    assert looking({KEY: there, other: elsewhere})._known == {KEY: there}


def test_a_node_that_does_not_ask_the_lan_says_why() -> None:
    assert off(LanSection(), ()) == ""
    assert off(LanSection(), ("0.0.0.0",)) == ""
    assert "enabled = no" in off(LanSection(enabled=False), ())
    assert "multicast = no" in off(LanSection(multicast=False), ())
    assert "for this computer only" in off(LanSection(), ("127.0.0.1", "::1"))
