"""Routers that forget, clocks that are days off: what goes on, what comes back by itself, and what is said of it."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.punch.lab import Lab
from tests.punch.test_matrix import SIZE, three
from tests.support import needs
from tests.support.beats import beats
from tests.support.faketime import Clock, library
from tests.support.node import Node
from tests.support.programs import curl
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.netns,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "nft", "conntrack", "sysctl", "curl", "faketime"),
]

FORGETS = 30  # seconds after which the worst routers forget a connection that is silent
NO_PUNCH = "punch = no\n"
_IDLE = "net.netfilter.nf_conntrack_tcp_timeout_established"


def used(host: Node) -> dict[str, object]:
    """What status says of its only relay."""
    [one] = host.status()["relays"]["used"]
    return dict(one)


def forget_after(lab: Lab, seconds: int) -> None:
    for router in (lab.ra, lab.rb):
        router.run(["sysctl", "-q", "-w", f"{_IDLE}={seconds}"])


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.timeout(1000)
@pytest.mark.parametrize("seconds", [75, 610])
def test_what_waits_for_visitors_outlives_routers_that_forget_after_half_a_minute(tmp_path: Path, seconds: int) -> None:
    with Lab() as lab:
        forget_after(lab, FORGETS)
        with three(lab, tmp_path, NO_PUNCH) as all_three:
            all_three.visit()
            time.sleep(seconds)
            served = all_three.relay.status()["relays"]["served"]
            assert (served["nodes"], served["parked"]) == (1, 2)
            kept = re.findall(r"tcp +6 (\d+) ESTABLISHED", lab.ra.run(["conntrack", "-L"]))
            assert len(kept) >= 3, "the control connection and both that are parked"
            assert max(map(int, kept)) <= FORGETS
            assert used(all_three.host)["state"] == "registered"
            assert "relay.lost" not in all_three.host.log
            before = all_three.host.log.count("relay.join_failed")
            began = beats()
            all_three.visit()
            assert beats() - began < 5
            assert all_three.host.log.count("relay.join_failed") == before
            assert all_three.session()["kind"] == "RELAYED"
            assert all_three.downloads() > SIZE


@pytest.mark.full
@pytest.mark.slow
def test_a_router_that_forgets_everything_is_got_through_again(tmp_path: Path) -> None:
    """Nothing tells the relay: its host finds out by its next ping, and is there 26 s later at the latest."""
    with Lab() as lab:
        lab.nat(lab.ra, "symm")
        with three(lab, tmp_path, NO_PUNCH) as all_three:
            all_three.visit()
            lab.nat(lab.ra, "remap")  # other ports, and none of the old ones
            lab.nat(lab.rb, "remap")
            page = all_three.visitor.url_of(all_three.label)
            began = beats()
            wait_until(lambda: curl(page, at=lab.b, limit=30).status == 200, all_three.logs, 30)
            assert beats() - began < 26 + 10
            assert all_three.session()["kind"] == "RELAYED"
            assert all_three.downloads() > SIZE


def clock(file: Path) -> Clock:
    made = Clock(file, library())
    made.set("+0")
    return made


def is_days_off(clock: Clock) -> None:
    """Set it; a running daemon looks once a second."""
    clock.set("+2d")
    time.sleep(2)


@pytest.mark.full
def test_a_visitor_whose_clock_is_days_off_comes_by_the_names_that_he_has_been_told(tmp_path: Path) -> None:
    """Those of days mean nothing to the relay then; those that the host has told him are good."""
    his = clock(tmp_path / "clock")
    with Lab() as lab, three(lab, tmp_path, NO_PUNCH, visitors_env=his.env) as all_three:
        all_three.visit()
        is_days_off(his)
        all_three.visit()
        all_three.visitor.stop()
        all_three.visitor.start()
        all_three.visit()
        visit = all_three.visitor.last_visit(all_three.label)
        assert (visit["via"], visit["kind"]) == ("REMEMBERED", "RELAYED")
        assert all_three.downloads() > SIZE


@pytest.mark.full
def test_a_host_whose_clock_is_days_off_stays_registered_and_else_says_why_it_is_not(tmp_path: Path) -> None:
    its = clock(tmp_path / "clock")
    with Lab() as lab, three(lab, tmp_path, NO_PUNCH, hosts_env=its.env) as all_three:
        host = all_three.host
        all_three.visit()
        is_days_off(its)
        assert used(host)["state"] == "registered"
        all_three.visit()
        assert all_three.downloads() > SIZE
        host.stop()
        host.start()
        wait_until(lambda: "clocks is days off" in str(used(host)["problem"]), "status says why", 5)
        assert "clocks is days off" in host.hardline("relay").stdout
        its.set("+0")
        wait_until(lambda: used(host)["tested"] == 3, "it is registered by itself", 12)
        all_three.visit()
        assert all_three.session()["kind"] == "RELAYED"
