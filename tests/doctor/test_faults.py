"""Whatever the laboratory can break is named, with what to do, and nothing else is said to fail."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doctor.conftest import MAPPED, Street, examined, isolate
from tests.reach.world import DHT, settings
from tests.support import needs
from tests.support.disk import small_disk
from tests.support.faketime import Clock, library
from tests.support.node import Node
from tests.support.waiting import wait_until
from tests.upnp.home import PUBLIC, Home

pytestmark = [
    pytest.mark.netns,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "ss", "nft", "sysctl", "curl", "conntrack", "miniupnpd", "dhtnode", "bridge", "iptables"),
]

SECONDS = 15.0


def test_where_everything_works_everything_is_said_to_work(street: Street) -> None:
    found = examined(street.host)
    assert found.code == 0
    assert found.of("fail") == found.of("warn") == []
    assert set(found.of("not checked")) <= {"survives logout", "clock"}
    assert found.row("router")["sentence"] == "192.168.77.1 opened port 7008 by UPnP"
    assert found.row("reached")["sentence"] == f"the relay 11.22.33.30:7008 has connected to this computer at {MAPPED}"
    assert found.row("other hardline")["sentence"] == "1 node answered"
    assert "1 announced and read back" in found.row("DHT")["sentence"]
    assert found.took < SECONDS


def test_a_service_that_is_dead_and_a_file_that_is_broken_are_named(street: Street) -> None:
    street.host.share("photos", 9, title="Photos")
    broken = street.host.write("wiki", "[Service]\nservice = localhost\nport = http\n")
    try:
        wait_until(lambda: street.host.service("wiki"), "it was read")
        found = examined(street.host)
    finally:
        broken.unlink()
        (street.host.services / "photos.ini").unlink()
    assert found.code == 1
    assert set(found.of("fail")) == {"services"}
    assert found.of("warn") == []
    dead, wrong = (row["sentence"] for row in found.rows if row["check"] == "services")
    assert dead == "Photos: nothing answers at 127.0.0.1:9: connection refused"
    assert wrong.startswith(f"{broken}:3: port is 'http'")


@pytest.mark.full
def test_packets_to_all_that_do_not_come_back_are_named(street: Street) -> None:
    host = street.world.host
    street.nft(
        host,
        "table inet vpn {\n chain output {\n  type filter hook output priority filter\n"
        "  meta l4proto udp ip daddr 224.0.0.0/4 drop\n  meta l4proto udp ip6 daddr ff00::/8 drop\n }\n}\n",
    )
    try:
        found = examined(street.host)
    finally:
        host.run(["nft", "delete", "table", "inet", "vpn"])
    assert found.of("fail") == ["multicast"]
    assert "own packets are not heard back on eth0" in found.row("multicast")["sentence"]
    assert found.of("warn") == []


@pytest.mark.full
def test_an_access_point_that_keeps_devices_apart_is_named(street: Street) -> None:
    isolate(street, on=True)
    try:
        found = examined(street.host)
    finally:
        isolate(street, on=False)
    assert found.of("fail") == []
    assert found.of("warn") == ["neighbours"]
    assert found.row("neighbours")["sentence"] == "multicast works, but nobody answers"
    assert "AP isolation" in found.row("neighbours")["do"]


@pytest.mark.full
def test_a_network_that_loses_what_is_sent_to_all_is_named_by_whom_it_keeps_apart(street: Street) -> None:
    """The router's bridge passes unicast: who was visited in this network is there, and hears nothing."""
    label = street.neighbour.label("radio")
    assert street.host.hardline("ping", label).returncode == 0
    lossy = (
        "table bridge snooping {\n chain forward {\n  type filter hook forward priority 0\n"
        "  meta l4proto udp ether daddr & 01:00:00:00:00:00 == 01:00:00:00:00:00 drop\n }\n}\n"
    )
    street.world.nft(lossy)
    try:
        found = examined(street.host)
    finally:
        street.world.nft("delete table bridge snooping")
    assert found.of("fail") == ["neighbours"]
    sentence = found.row("neighbours")["sentence"]
    assert re.search(r"nobody answers, not even \S+:7008, known from this network", sentence)
    assert found.of("warn") == []


@pytest.mark.full
def test_a_firewall_of_this_computer_is_named(street: Street) -> None:
    host = street.world.host
    street.nft(
        host,
        "table inet filter {\n chain input {\n  type filter hook input priority filter; policy drop\n"
        '  ct state established,related accept\n  iif "lo" accept\n'
        "  meta l4proto { icmp, icmpv6 } accept\n  tcp dport 22 accept\n }\n}\n",
    )
    try:
        found = examined(street.host)
    finally:
        host.run(["nft", "delete", "table", "inet", "filter"])
    assert found.of("fail") == ["local firewall"]
    assert found.row("local firewall")["sentence"] == "nftables lets nothing in to 7008/tcp, 6771/udp and 5353/udp"
    assert "tcp dport 7008 accept" in found.row("local firewall")["do"]


@pytest.mark.full
def test_a_relay_that_is_down_is_named(street: Street) -> None:
    street.relay.stop()
    try:
        wait_until(lambda: street.host.status()["relays"]["used"][0]["problem"], "it was missed", every=0.2)
        found = examined(street.host)
    finally:
        street.relay.start()
    assert found.of("fail") == ["relay"]
    assert "11.22.33.30:7008 is not reached" in found.row("relay")["sentence"]
    assert found.of("warn") == []


@pytest.mark.full
def test_a_relay_that_does_not_serve_us_is_named_with_the_line_for_its_owner(street: Street) -> None:
    directory = street.directory / "stranger"
    street.host.stop()
    other = f"{PUBLIC}:7008#{street.neighbour.status()['node']['key_hash']}"
    host = Node(directory, at=street.world.host, settings=settings(dht=False, more=f"[Relay]\nuse = {other}\n"))
    host.share("site", street.origin.port)
    try:
        with host:
            wait_until(lambda: host.status()["relays"]["used"][0]["problem"], "it was not reached", every=0.2)
            found = examined(host)
    finally:
        street.host.start()
    assert found.of("fail") == ["relay"]


@contextlib.contextmanager
def instead(street: Street, name: str, text: str) -> Iterator[Node]:
    """A host that has never run before, in place of the usual one."""
    street.host.stop()
    host = Node(street.directory / name, at=street.world.host, settings=text)
    host.share("site", street.origin.port, title="The site")
    try:
        with host:
            yield host
    finally:
        street.host.start()


@pytest.mark.full
def test_where_udp_is_filtered_that_is_named(street: Street) -> None:
    rule = 'insert rule inet home forward iifname "lan" oifname "wan" meta l4proto udp drop'
    street.world.nft(rule)
    try:
        with instead(street, "filtered", street.settings()) as host:
            found = examined(host)
    finally:
        listed = street.world.router.run(["nft", "-a", "list", "chain", "inet", "home", "forward"])
        handle = next(line for line in listed.splitlines() if "l4proto udp drop" in line).rpartition(" ")[2]
        street.world.nft(f"delete rule inet home forward handle {handle}")
    assert found.of("fail") == ["DHT"]
    sentence = found.row("DHT")["sentence"]
    assert sentence.startswith("0 good nodes: UDP is filtered on the way")
    assert f"{DHT}:4222" in sentence
    assert found.of("warn") == []
    assert found.took < SECONDS


@pytest.mark.full
def test_where_the_nodes_to_begin_with_are_dead_that_is_named(street: Street) -> None:
    text = street.settings().replace(":4222", ":4")
    with instead(street, "dead", text) as host:
        found = examined(host)
    assert found.of("fail") == ["DHT"]
    assert found.row("DHT")["sentence"].startswith("0 good nodes: nothing listens at 11.22.33.20:4")
    assert found.of("warn") == []


@pytest.mark.full
@pytest.mark.skipif(library() is None, reason="needs libfaketime: see tests/support/install.sh")
def test_a_clock_of_another_that_is_26_hours_off_is_named(street: Street, tmp_path: Path) -> None:
    clock = Clock(tmp_path / "clock", library())
    clock.set("+26h")
    street.neighbour.stop()
    other = Node(tmp_path / "other", at=street.world.neighbour, settings=settings(dht=False), env=clock.env)
    other.share("radio", 9, title="Radio")
    try:
        with other:
            found = examined(street.host)
    finally:
        street.neighbour.start()
    assert found.of("fail") == []
    assert found.of("warn") == ["other hardline"]
    sentence = found.row("other hardline")["sentence"]
    assert sentence.startswith("1 node answered, 1 with a clock that differs: Radio (")
    assert sentence.endswith(" ahead")


@pytest.mark.full
def test_a_disk_that_is_full_is_named(street: Street) -> None:
    (street.directory / "full").mkdir()
    with small_disk(street.directory / "full" / "data") as disk, instead(street, "full", street.settings()) as host:
        wait_until(lambda: host.service("site"), "it is served")
        disk.fill()
        found = examined(host)
    assert found.of("fail") == ["disk"]
    assert found.row("disk")["sentence"] == "the disk of the data directory is 100 % full"
    assert found.of("warn") == []


@pytest.mark.full
@pytest.mark.parametrize(("outer", "behind"), [("192.168.66.", "another router"), ("100.64.7.", "its provider's NAT")])
def test_a_router_behind_another_one_is_named(tmp_path: Path, outer: str, behind: str) -> None:
    with Home(outer) as home:
        home.start_upnpd()
        host = Node(tmp_path / "host", at=home.host, settings=settings(dht=False, upnp=True))
        near = Node(tmp_path / "near", at=home.neighbour, settings=settings(dht=False))
        (tmp_path / "files").mkdir()
        host.write("files", f"[Service]\nservice =\n[Cache]\ndirectory = {tmp_path / 'files'}\n")
        near.share("radio", 9, title="Radio")
        with host, near:
            found = examined(host)
    assert found.of("fail") == ["double NAT"]
    assert found.row("double NAT")["sentence"] == (
        "the router 192.168.77.1 says that it has no public address; "
        f"next on the way is {outer}1: it is behind {behind}"
    )
    assert found.of("warn") == ["router"]
    assert found.row("router")["sentence"].endswith(": see double NAT")


@pytest.mark.full
@pytest.mark.parametrize("program", ["iptables", "iptables-legacy"])
def test_rules_of_iptables_are_named_and_its_command_opens_them(street: Street, program: str) -> None:
    host = street.world.host

    def rules(*lines: str) -> None:
        for line in lines:
            host.run([program, *line.split()])

    rules(
        "-P INPUT DROP",
        "-A INPUT -i lo -j ACCEPT",
        "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-A INPUT -p udp -m multiport --dports 5353,6771 -j ACCEPT",
        "-A INPUT -p icmp -j ACCEPT",
    )
    try:
        found = examined(street.host)
        rules(found.row("local firewall")["do"].removeprefix(f"sudo {program} "))
        mended = examined(street.host)
    finally:
        rules("-P INPUT ACCEPT", "-F")
    assert found.of("fail") == ["local firewall"]
    assert found.row("local firewall")["sentence"] == f"{program} lets nothing in to 7008/tcp"
    assert mended.of("fail") == []
    assert mended.row("local firewall")["state"] == "ok"
