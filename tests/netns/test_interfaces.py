"""Machines with many interfaces, with interfaces that come and go, and with a sandbox around the daemon."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.netns.conftest import Lan
from tests.netns.lab import Lab, Machine
from tests.netns.test_dnssd import LPD, MDNS, block
from tests.netns.test_neighbours import SSDP, packets, program
from tests.support import deny, needs
from tests.support.node import Node
from tests.support.programs import curl, running_origin
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.netns,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "sysctl", "curl", "nft"),
]

BRIDGES = 30
NETLINK, IPV6 = "16", "10"


def add_bridges(machine: Machine, first: int, count: int) -> None:
    """Bridges as containers have them, each with a container on it; their addresses are smaller than the LAN's."""
    lines = []
    for number in range(first, first + count):
        lines += [
            f"ip link add br{number} type bridge",
            f"ip addr add 10.1.{number}.1/24 dev br{number}",
            f"ip link add c{number} type veth peer name d{number}",
            f"ip link set d{number} master br{number}",
            *(f"ip link set {name}{number} up" for name in ("br", "c", "d")),
        ]
    machine.run(["sh", "-ec", "\n".join(lines)])


def remove_bridges(machine: Machine, first: int, count: int) -> None:
    numbers = range(first, first + count)
    machine.run(["sh", "-ec", "\n".join(f"ip link del br{number}; ip link del c{number}" for number in numbers)])


@pytest.mark.parametrize("way", [pytest.param("LAN", marks=pytest.mark.full), "DNS-SD"])
def test_a_host_with_thirty_bridges_is_found_on_its_lan(lab: Lab, tmp_path: Path, way: str) -> None:
    at, visiting = lab.machine("host"), lab.machine("visitor")
    add_bridges(at, 1, BRIDGES)
    for machine in (at, visiting):
        block(machine, MDNS if way == "LAN" else LPD)
        machine.run(["sysctl", "-q", "-w", "net.ipv6.conf.eth0.disable_ipv6=1"])
    with (
        running_origin(at) as origin,
        Node(tmp_path / "host", at=at) as host,
        Node(tmp_path / "a", at=visiting) as visitor,
    ):
        host.share("site", origin.port)
        label = host.label("site")
        if way == "DNS-SD":
            wait_until(lambda: "mdns.announced" in host.log, "it was announced", 30)
        assert curl(visitor.url_of(label), at=visiting).status == 200
        assert visitor.last_visit(label)["found_by"] == way
        joined = at.run(["cat", "/proc/net/igmp"]).upper()
        group = {"LAN": "8F98C0EF", "DNS-SD": "FB0000E0"}[way]
        assert joined.count(group) >= BRIDGES + 1, "the group is heard on every bridge, too"
        assert "WARNING" not in host.log


def test_bridges_that_come_and_go_do_not_use_up_the_groups(lan: Lan) -> None:
    for turn in range(3):
        add_bridges(lan.host_machine, 1, 12)
        wait_until(lambda: lan.host_machine.run(["cat", "/proc/net/igmp"]).count("8F98C0EF") >= 13, "all joined", 30)
        remove_bridges(lan.host_machine, 1, 12)
        assert lan.curl().status == 200, turn
    assert "not_joined" not in lan.host.log


@pytest.mark.full
def test_containers_that_come_and_go_are_no_news_on_the_lan(lab: Lab, tmp_path: Path) -> None:
    at, neighbour = lab.machine("host"), lab.machine("neighbour")
    settings = "[UPnP]\nenabled = yes\n[LAN]\nenabled = yes\n"
    with running_origin(at) as origin, Node(tmp_path / "host", at=at, settings=settings) as host:
        host.share("site", origin.port)
        wait_until(lambda: "mdns.announced" in host.log, "it was announced", 30)
        with program(at, tmp_path / "tapped", "tap.py", "eth0") as tapped:

            def said() -> list[object]:
                return [(one["port"], one["to"]) for one in packets(tapped, LPD, MDNS, SSDP)]

            quiet(said)
            before, changes = len(said()), host.log.count("network.changed")
            for turn in range(7):
                add_bridges(at, 2 * turn, 2)
                remove_bridges(at, 2 * turn, 2)
            quiet(said)
            assert said()[before:] == []
            assert host.log.count("network.changed") == changes
            at.move(2)
            wait_until(lambda: host.log.count("network.changed") > changes, "another network is news", 20)
            wait_until(lambda: MDNS in {one["port"] for one in packets(tapped, MDNS)[before:]}, "it is told", 20)
            wait_until(lambda: SSDP in {one["port"] for one in packets(tapped, SSDP)}, "routers are looked for", 20)
        assert neighbour.ip4 not in host.log


def quiet(said: Callable[[], list[object]]) -> None:
    """Until nothing was said for as long as it takes to look at the interfaces again."""
    last, since = len(said()), time.monotonic()

    def is_quiet() -> bool:
        nonlocal last, since
        if (now := len(said())) != last:
            last, since = now, time.monotonic()
        return time.monotonic() - since > 7.0

    wait_until(is_quiet, "nothing is said any more", 90, every=0.2)


def test_in_another_network_a_node_has_other_names(lan: Lan, tmp_path: Path) -> None:
    with program(lan.host_machine, tmp_path / "tapped", "tap.py", "eth0") as tapped:

        def said(pattern: str, port: int) -> list[str]:
            return re.findall(pattern, "\n".join(str(one["data"]) for one in packets(tapped, port)))

        def speaks(title: str) -> tuple[str, str]:
            """The cookie and the server name that it uses now."""
            before = len(said(r"cookie: (\S+)", LPD))
            lan.host.hardline("lan")
            cookies = wait_until(lambda: said(r"cookie: (\S+)", LPD)[before:], "it asked who is there")
            lan.host.share(title, 80, title=title)
            wait_until(lambda: f"name={title} " in lan.host.log, "it was announced", 30)
            wait_until(lambda: said(title, MDNS), "it was said")
            return cookies[-1], said(r"hardline-[0-9a-f]{12}", MDNS)[-1]

        before = speaks("One")
        assert speaks("Two") == before
        lan.host_machine.move(2)
        wait_until(lambda: "network.changed" in lan.host.log, "it noticed", 20)
        wait_until(lambda: lan.host.log.count("name=One ") > 1, "it announced all anew", 20)
        after = speaks("Three")
        assert not set(before) & set(after)


class Sandbox:
    """A machine on which some address families are forbidden."""

    def __init__(self, machine: Machine, denied: str) -> None:
        self._machine, self._denied = machine, denied

    def wrap(self, command: Sequence[str | Path]) -> list[str]:
        return self._machine.wrap([sys.executable, deny.__file__, self._denied, *command])


@pytest.mark.parametrize("denied", [NETLINK, pytest.param(f"{NETLINK},{IPV6}", marks=pytest.mark.full)])
def test_a_daemon_that_may_not_ask_netlink_works_and_says_so_once(lab: Lab, tmp_path: Path, denied: str) -> None:
    at, visiting = lab.machine("host"), lab.machine("visitor")
    settings = "[UPnP]\nenabled = yes\n"
    with (
        running_origin(at) as origin,
        Node(tmp_path / "host", at=Sandbox(at, denied), settings=settings) as host,
        Node(tmp_path / "visitor", at=Sandbox(visiting, denied)) as visitor,
    ):
        host.share("site", origin.port)
        label = host.label("site")
        wait_until(lambda: "mdns.announced" in host.log, "it is announced", 30)
        assert curl(visitor.url_of(label), at=visiting).status == 200
        assert visitor.last_visit(label)["via"] == "LAN"
        for node in (host, visitor):
            assert node.log.count("WARNING network.not_told") == 1
            assert "Traceback" not in node.log
        at.move(2)
        wait_until(lambda: "network.changed" in host.log, "another network is noticed", 30)
