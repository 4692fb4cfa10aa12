"""Two computers on one LAN: found, served, cut, back again.  Each test asserts the path that the bytes took."""

from __future__ import annotations

import ipaddress
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.conftest import Lan
from tests.netns.lab import Lab, Machine
from tests.support import needs
from tests.support.beats import beats
from tests.support.node import Node
from tests.support.programs import CUT, Answer, curl, running_origin
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.netns,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "sysctl", "curl"),
]

BACK_LIMIT = 5.0
NOTICED_LIMIT = 25.0  # an idle session pings every 15 s and waits 3 s for the answer (docs/PROTOCOL.md 5.3)


def test_a_cold_visit_is_served_over_the_lan_and_waits_for_nothing(lan: Lan) -> None:
    answer = lan.curl()
    assert (answer.status, answer.text) == (200, "hello from the origin\n")
    assert lan.last_visit()["via"] == "LAN"
    assert lan.last_visit()["protocol"] == "hardline/2"
    lan.waited_for_nothing(answer)


def test_an_address_that_works_on_other_networks_too_is_preferred_to_a_link_local_one(lan: Lan) -> None:
    assert lan.curl().status == 200
    assert not str(lan.last_visit()["endpoint"]).startswith("[fe80")


@pytest.mark.parametrize("version", [4, pytest.param(6, marks=pytest.mark.full)])
def test_a_visit_works_where_there_is_one_ip_version_only(lan: Lan, version: int) -> None:
    for machine in (lan.host_machine, lan.visitor_machine):
        if version == 4:
            machine.run(["sysctl", "-q", "-w", "net.ipv6.conf.eth0.disable_ipv6=1"])
        else:
            machine.run(["ip", "-4", "addr", "flush", "dev", "eth0"])
    for node in (lan.host, lan.visitor):
        node.stop()
        node.start()
    assert lan.curl().status == 200
    assert lan.last_visit()["via"] == "LAN"
    address = str(lan.last_visit()["endpoint"]).rpartition(":")[0].strip("[]").partition("%")[0]
    assert ipaddress.ip_address(address).version == version


@pytest.mark.slow
@needs.tools("nft")
@pytest.mark.full
def test_where_packets_of_full_size_vanish_the_first_visit_says_so_and_the_next_ones_are_served(lan: Lan) -> None:
    for machine in (lan.host_machine, lan.visitor_machine):
        machine.run(["sysctl", "-q", "-w", "net.ipv6.conf.eth0.disable_ipv6=1"])
        machine.run(["sysctl", "-q", "-w", "net.ipv4.tcp_mtu_probing=0"])
        machine.swallow(1300)
    lan.visitor.stop()
    lan.visitor.start()
    assert lan.curl(limit=30).status == 503
    assert "packets of full size may be lost on the way (MTU)" in lan.visitor.log
    wait_until(lambda: lan.curl(limit=30).status == 200, "it was served in small packets", 30)
    whole = lan.curl("bytes/3000000", limit=30)
    assert (whole.status, len(whole.body)) == (200, 3_000_000)


def test_an_interface_that_comes_up_later_is_used(lan: Lan) -> None:
    for machine in (lan.host_machine, lan.visitor_machine):
        machine.run(["ip", "link", "set", "dev", "eth0", "down"])
    for node in (lan.host, lan.visitor):
        node.stop()
        node.start()
    assert lan.curl().status == 503
    for machine in (lan.host_machine, lan.visitor_machine):
        machine.move(1)
    wait_until(lambda: lan.curl().status == 200, "the LAN was used", 20)
    assert lan.last_visit()["via"] == "LAN"


def test_a_host_killed_and_restarted_serves_again_at_once_with_the_visitor_untouched(lan: Lan) -> None:
    assert lan.curl().status == 200
    lan.host.kill()
    lan.host.start()
    ready = beats()
    wait_until(lambda: lan.curl(limit=20).status == 200, "it served again", every=0.1)
    assert beats() - ready < BACK_LIMIT


def test_a_host_that_was_away_while_people_tried_serves_again_at_once(lan: Lan) -> None:
    assert lan.curl().status == 200
    lan.host.kill()
    assert lan.curl().status == 503
    lan.host.start()
    wait_until(lambda: lan.curl(limit=20).status == 200, "it served again", BACK_LIMIT, every=0.1)


@pytest.mark.parametrize("victim", ["host", "origin", "visitor"])
def test_a_download_is_cut_and_not_complete_when_somebody_dies(lan: Lan, tmp_path: Path, victim: str) -> None:
    with lan.download("stall/3000000", tmp_path / "part") as download:
        download.has_received(3_000_000)
        assert lan.last_visit()["via"] == "LAN"
        node_or_origin = getattr(lan, victim)
        node_or_origin.kill()
        assert download.exit_code() in CUT
    if victim != "origin":
        node_or_origin.start()


@pytest.mark.full
def test_a_cable_that_is_pulled_cuts_the_download(lan: Lan, tmp_path: Path) -> None:
    with lan.download("bytes/2000000000", tmp_path / "part", "--limit-rate", "20M") as download:
        download.has_received(1_000_000)
        lan.host_machine.cut()
        began = beats()
        assert download.exit_code() in CUT
        assert beats() - began < NOTICED_LIMIT
    lan.host_machine.heal()
    wait_until(lambda: lan.curl(limit=20).status == 200, "it served again", 10, every=0.1)


def test_two_nodes_on_the_host_machine_do_not_disturb_each_other(lan: Lan, tmp_path: Path) -> None:
    second = Node(tmp_path / "second", at=lan.host_machine)
    second.localport, second.p2pport = 7019, 7018
    with running_origin(lan.host_machine, name="the second") as origin:
        second.share("other", origin.port)
        with second:
            other = second.label("other")
            assert lan.curl().text == "hello from the origin\n"
            seen = curl(lan.visitor.url_of(other), at=lan.visitor_machine)
            assert seen.text == "hello from the second\n"
            assert str(lan.visitor.last_visit(other)["endpoint"]).endswith(":7018")
            assert curl(second.url_of(lan.label), at=lan.host_machine).text == "hello from the origin\n"


def test_an_unlisted_service_is_found_by_its_rolling_code_and_shown_to_nobody(lan: Lan) -> None:
    lan.host.share("quiet", lan.origin.port, listed=False)
    label = lan.host.label("quiet")
    assert label not in lan.visitor.hardline("lan", "--json").stdout
    assert curl(lan.visitor.url_of(label), at=lan.visitor_machine).status == 200
    assert lan.visitor.last_visit(label)["via"] == "LAN"


def test_a_host_tells_where_its_router_forwards_and_is_found_there(lab: Lab, tmp_path: Path) -> None:
    """Its own addresses change, and the one that its owner wrote down stays."""
    at, visiting = lab.machine("b"), lab.machine("a")
    settings = f"[Node]\npublic = nowhere.invalid:1, {at.public}:7008\n"
    with running_origin(at) as origin, Node(tmp_path / "host", at=at, settings=settings) as host:
        host.share("site", origin.port)
        label = host.label("site")
        with Node(tmp_path / "visitor", at=visiting) as visitor:
            assert curl(visitor.url_of(label), at=visiting).status == 200
            assert visitor.last_visit(label)["via"] == "LAN"
            wait_until(lambda: visitor.status()["peers"], "the host is remembered")
            at.move(2)
            answer = wait_until(lambda: _answered(visitor, label, visiting), "it is found again", NOTICED_LIMIT + 10)
            assert answer.text == "hello from the origin\n"
            visit = visitor.last_visit(label)
            assert (visit["via"], visit["endpoint"]) == ("REMEMBERED", f"{at.public}:7008")


def _answered(visitor: Node, label: str, at: Machine) -> Answer | None:
    answer = curl(visitor.url_of(label), at=at)
    return answer if answer.status == 200 else None


def test_a_remembered_host_is_visited_again_after_it_left_the_lan(lan: Lan) -> None:
    assert lan.curl().status == 200
    lan.visitor_machine.move(2)
    lan.visitor.stop()
    lan.visitor.start()
    assert lan.curl().status == 200
    assert lan.last_visit()["via"] == "REMEMBERED"
    assert str(lan.last_visit()["endpoint"]).partition(":")[0].strip("[") in (lan.host_machine.ip4, "fd77")


@pytest.fixture
def liar(lan: Lan, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A third machine whose lies arrive first; yields the file of what it did."""
    machine, said = lan.lab.machine("liar"), tmp_path / "said"
    lie: list[str | Path] = ["closed"]
    if request.param == "another certificate":
        lie = [tmp_path / "cert", tmp_path / "key"]
        machine.run(
            ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=liar"]  # noqa: RUF005
            + ["-out", lie[0], "-keyout", lie[1]]
        )
    program = Path(__file__).with_name("spoofer.py")
    with said.open("wb") as output:
        process = machine.start([sys.executable, program, machine.ip4, lan.label, *lie], output=output)
    try:
        wait_until(lambda: "listening" in said.read_text(), "the liar listens")
        yield said
    finally:
        process.kill()
        process.wait()


@needs.tools("openssl")
@pytest.mark.parametrize(
    ("liar", "tried"), [("closed port", "answered"), ("another certificate", "dialled")], indirect=["liar"]
)
def test_a_lie_on_the_lan_that_comes_before_the_truth_does_not_spoil_the_visit(
    lan: Lan, liar: Path, tried: str, tmp_path: Path
) -> None:
    lan.host_machine.cut()
    page = tmp_path / "page"
    with lan.download("", page) as visit:
        wait_until(lambda: tried in liar.read_text(), "the lie was believed", every=0.001)
        lan.host_machine.heal()
        assert visit.exit_code() == 0
    assert page.read_text() == "hello from the origin\n"
    assert (lan.last_visit()["via"], lan.last_visit()["status"]) == ("LAN", "ok")


@needs.tools("faketime")
def test_a_machine_whose_clock_is_weeks_off_still_works_on_its_lan(lab: Lab, tmp_path: Path) -> None:
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    assert libraries, "faketime is installed without its library"
    clock = {"LD_PRELOAD": str(libraries[0]), "FAKETIME": "-40d", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    right, wrong = lab.machine("right"), lab.machine("wrong")
    host, visitor = Node(tmp_path / "host", at=right), Node(tmp_path / "visitor", at=wrong, env=clock)
    with running_origin(right) as origin:
        host.share("site", origin.port)
        with host, visitor:
            label = host.label("site")
            wait_until(lambda: curl(visitor.url_of(label), at=wrong).status == 200, "it is found")
            visit = visitor.last_visit(label)
            assert (visit["via"], visit["protocol"]) == ("LAN", "hardline/2")


def test_nothing_of_the_laboratory_is_left_behind() -> None:
    with Lab() as lab:
        machine = lab.machine("a")
        sleeper = machine.start(["tail", "-f", "/dev/null"])
    assert sleeper.wait(100) != 0
    names = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert machine.namespace not in names
