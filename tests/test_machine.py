"""What this machine's addresses are, asked in either way, and what is only inside the computer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from hardline import machine
from hardline.machine import addresses
from tests.support import deny, needs

ASK = """
import json
from hardline import log
log.set_up()
from hardline.machine import addresses, made, routes
from hardline.discovery.interfaces import by_importance, interface_addresses
for _ in range(3):
    held = addresses()
print(json.dumps({
    "addresses": held,
    "routes": routes(),
    "made": sorted(name for name, *_ in made()),
    "order": [one.name for one in by_importance(interface_addresses()) if ":" not in one.address],
    "note": sorted({one.name for one in interface_addresses() if one.of_note}),
}))
"""

# A machine with a cable to the world, a bridge for containers with one of them, and one that is not plugged in.
MACHINE = """
mount -t sysfs none /sys
ip link set lo up
ip link add eth0 type veth peer name world
ip link set world up; ip link set eth0 up; ip addr add 192.0.2.7/24 dev eth0; ip addr add 192.0.2.9/24 dev eth0
ip addr add 2001:db8::7/64 dev eth0 nodad
ip link add br0 type bridge; ip link add c0 type veth peer name c1
ip link set c1 master br0; ip link set c1 up; ip link set c0 up; ip link set br0 up; ip addr add 10.0.0.1/24 dev br0
ip link add br1 type bridge; ip addr add 10.0.1.1/24 dev br1
"""
ROUTE = "ip route add default via 192.0.2.1\nip -6 route add default via 2001:db8::1\n"
deny_netlink = [sys.executable, deny.__file__, "16"]


def ask(setup: str, before: Sequence[str] = ()) -> tuple[dict[str, list[object]], str]:
    """What a machine of its own says after `setup`, and what it logs."""
    command = [
        "unshare",
        "--net",
        "--mount",
        "sh",
        "-ec",
        f'{setup}\nexec "$@"',
        "sh",
        *before,
        sys.executable,
        "-c",
        ASK,
    ]
    root = Path(__file__).parents[1]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


pytestmark = [needs.linux(), needs.root(), needs.tools("unshare", "ip", "mount")]


def test_without_netlink_the_addresses_are_the_same_and_it_is_said_once():
    told, silence = ask(MACHINE + ROUTE)
    asked, said = ask(MACHINE + ROUTE, deny_netlink)
    # Link-local addresses are made up anew for each machine.
    for one in (told, asked):
        one["addresses"] = sorted(held for held in map(tuple, one["addresses"]) if not held[2].startswith("fe80:"))
    assert asked == told
    assert ("192.0.2.9", 24) in {held[2:] for held in asked["addresses"]}
    assert ("2001:db8::7", 64) in {held[2:] for held in asked["addresses"]}
    assert "network.not_told" not in silence
    assert said.count("network.not_told") == 1


def test_what_has_a_default_route_comes_first_and_what_is_not_plugged_in_last():
    told, _ = ask(MACHINE + ROUTE)
    assert list(dict.fromkeys(told["order"])) == ["eth0", "lo", "br0", "br1"]
    assert told["routes"] == [["eth0", "192.0.2.1"], ["eth0", "2001:db8::1"]]


def test_what_only_programs_of_this_computer_reach_is_of_no_note():
    told, _ = ask(MACHINE + ROUTE)
    assert told["note"] == ["eth0", "lo"]
    assert set(told["made"]) >= {"br0", "br1", "c0", "c1"}


def test_what_goes_while_it_is_looked_at_is_of_no_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "_DEVICES", tmp_path)
    for name, attribute in (("veth7f3a", "type"), ("lo", "type"), ("br9", "lower_veth7f3a")):
        (tmp_path / name).mkdir()
        (tmp_path / name / attribute).write_text("1")
    (tmp_path / "br9" / "type").write_text("1")
    (tmp_path / "lo" / "type").unlink()
    (tmp_path / "veth7f3a" / "type").unlink()
    assert machine.is_made("veth7f3a"), "it is in no table any more, and half of its files are gone"
    assert machine.is_made("br9"), "nor does what was made of it lead anywhere"
    assert machine.is_made("gone")
    assert not machine.is_made("lo"), "of what is there, and cannot be read, nothing is known"


def test_what_the_kernel_says_of_ipv6_addresses_is_told_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "_KERNEL", tmp_path)
    assert machine.flags_6() == frozenset()
    line = "fe80000000000000000000fffe000001 02 40 20 {} eth0\n"
    (tmp_path / "if_inet6").write_text(line.format("c0"))
    tentative = machine.flags_6()
    (tmp_path / "if_inet6").write_text(line.format("80"))
    assert len(tentative) == 1
    assert machine.flags_6() != tentative


def test_where_all_is_made_all_is_of_note():
    """A container, or a test: it knows nothing else."""
    told, _ = ask(MACHINE)
    assert told["note"] == ["br0", "br1", "c0", "c1", "eth0", "lo", "world"]


@pytest.mark.skipif(not Path("/dev/net/tun").exists(), reason="needs /dev/net/tun")
def test_a_tunnel_is_of_note():
    told, _ = ask(
        MACHINE + ROUTE + "ip tuntap add dev tun7 mode tun; ip link set dev tun7 up; ip addr add 10.9.0.1/24 dev tun7\n"
    )
    assert "tun7" in told["note"]


def test_this_machine_has_its_loopback_address():
    assert "127.0.0.1" in {held.address for held in addresses()}
