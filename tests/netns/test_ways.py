"""How the kernel would send to an address, asked on a machine with a LAN, a VPN and a site behind a router."""

from __future__ import annotations

import json
import sys

import pytest

from hardline.addresses import Way
from tests.netns.lab import Lab
from tests.support import needs

pytestmark = [pytest.mark.netns, needs.linux(), needs.root(), needs.tools("ip", "sysctl")]

ASK = """
import ipaddress, json, sys
from hardline.transport import ways
ask = getattr(ways, sys.argv[1])
print(json.dumps([ask(ipaddress.ip_address(text)).name for text in sys.argv[2:]]))
"""
VPN = [
    "tuntap add dev tun0 mode tun",
    "addr add 10.8.0.2/24 dev tun0",
    "addr add fd08::2/64 dev tun0 nodad",
    "link set tun0 up",
    "route add 10.9.0.0/16 via 10.77.1.1",
    "route add fd09::/64 via fd77:0:0:1::1",
]
# The last column: without netlink a router of the own LAN looks like the default route.
TABLE = [
    ("127.0.0.1", Way.HERE, Way.HERE),
    ("::1", Way.HERE, Way.HERE),
    ("10.77.1.10", Way.HERE, Way.HERE),
    ("fd77:0:0:1::10", Way.HERE, Way.HERE),
    ("10.77.1.99", Way.ATTACHED, Way.ATTACHED),
    ("fd77:0:0:1::99", Way.ATTACHED, Way.ATTACHED),
    ("10.8.0.9", Way.ROUTED, Way.ATTACHED),
    ("fd08::9", Way.ROUTED, Way.ATTACHED),
    ("10.9.0.9", Way.ROUTED, Way.DEFAULT),
    ("fd09::9", Way.ROUTED, Way.DEFAULT),
    ("192.168.1.1", Way.DEFAULT, Way.DEFAULT),
    ("fd55::1", Way.DEFAULT, Way.DEFAULT),
    ("11.22.33.200", Way.DEFAULT, Way.DEFAULT),
    ("10.77.1.255", Way.NOWHERE, Way.NOWHERE),
]


@pytest.mark.parametrize(("function", "column"), [("way_to", 1), ("by_source", 2)])
def test_the_way_to_every_kind_of_network(lab: Lab, function: str, column: int) -> None:
    machine = lab.machine("visitor")
    assert machine.ip4 == TABLE[2][0]
    for command in VPN:
        machine.run(["ip", *command.split()])
    said = machine.run([sys.executable, "-c", ASK, function, *(row[0] for row in TABLE)])
    assert dict(zip((row[0] for row in TABLE), json.loads(said), strict=True)) == {
        row[0]: row[column].name
        for row in TABLE  # type: ignore[union-attr]
    }


def test_halves_of_the_world_are_the_default_route(lab: Lab) -> None:
    machine = lab.machine("visitor")
    for half in ("0.0.0.0/1", "128.0.0.0/1"):
        machine.run(["ip", "route", "add", half, "via", "10.77.1.1"])
    said = machine.run([sys.executable, "-c", ASK, "way_to", "192.168.1.1", "10.9.0.9"])
    assert json.loads(said) == ["DEFAULT", "DEFAULT"]


def test_where_netlink_is_forbidden_the_way_is_told_all_the_same(lab: Lab) -> None:
    """As systemd's RestrictAddressFamilies does it."""
    machine = lab.machine("visitor")
    # What the library that knows of interfaces asks, is asked by netlink, too.
    forbidden = """
import errno, ifaddr, socket
socket.AF_NETLINK = 255
def refused():
    raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
ifaddr.get_adapters = refused
"""
    forbidden += ASK
    said = machine.run([sys.executable, "-c", forbidden, "way_to", "10.77.1.99", "192.168.1.1", "127.0.0.1"])
    assert json.loads(said) == ["ATTACHED", "DEFAULT", "HERE"]
