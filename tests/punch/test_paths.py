"""Whole daemons on a path of their own: how they get there, what it costs the relay, and what happens when it dies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.punch.lab import Lab, Router
from tests.punch.test_matrix import BESIDE, Three, goes_directly, three
from tests.support import needs
from tests.support.programs import curl
from tests.support.waiting import wait_until
from tests.upnp.home import Box

pytestmark = [
    pytest.mark.netns,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "nft", "conntrack", "sysctl", "curl"),
]

OF_A_TRY = 6_000  # bytes that it may cost the relay


def forwards(router: Router, box: Box, port: int) -> None:
    """The router's owner has opened a port."""
    rules = (
        f"add table ip opened; add chain ip opened in {{ type nat hook prerouting priority dstnat - 5; }}\n"
        f"add rule ip opened in iifname wan tcp dport {port} dnat to {router.inside}{router.machines[box]}:{port}"
    )
    router.run(["nft", "-f", "-"], rules)


def sessions(all_three: Three) -> list[dict[str, Any]]:
    return [one for one in all_three.visitor.sessions("visiting") if not one["draining"]]


def test_a_visitor_with_an_open_port_is_called_by_a_host_that_nothing_else_gets_out_of(tmp_path: Path) -> None:
    with Lab() as lab:
        lab.nat(lab.ra, "symm")
        forwards(lab.rb, lab.b, 7008)
        public = f"[Node]\npublic = {lab.rb.wan}:7008\n"
        with three(lab, tmp_path, visitor_has=public) as all_three:
            goes_directly(all_three, "PUNCHED")
            [guest] = [one for one in all_three.host.sessions("hosting") if one["kind"] == "PUNCHED"]
            assert guest["endpoint"] == f"{lab.rb.wan}:7008", "it was the host that connected"


def test_a_try_costs_the_relay_little(tmp_path: Path) -> None:
    """Beside what a visit by it costs that nobody punches for."""
    with Lab() as lab, three(lab, tmp_path) as all_three:
        before = all_three.passed()
        all_three.visit()
        wait_until(lambda: [one["kind"] for one in sessions(all_three)] == ["PUNCHED"], "it has a path of its own")
        wait_until(lambda: len(all_three.visitor.sessions("visiting")) == 1, "and the other one has ended")
        passed = all_three.passed() - before
        assert passed < 2 * OF_A_TRY, "the handshake, the hellos, the page, and the try"


def test_a_path_that_dies_is_left_for_the_relay_and_comes_back(tmp_path: Path) -> None:
    with Lab() as lab, three(lab, tmp_path) as all_three:
        goes_directly(all_three, "PUNCHED")
        lab.mute(lab.ra, lab.rb)
        lab.mute(lab.rb, lab.ra)
        # A request that was sent into it fails with it; the next one is served.
        curl(all_three.visitor.url_of(all_three.label), at=lab.b, limit=30)
        all_three.visit()
        assert {one["kind"] for one in sessions(all_three)} == {"RELAYED"}
        assert all_three.downloads() > BESIDE
        lab.unmute()
        session = sessions(all_three)[0]
        assert session["next_look_s"] is not None, "status says when it is tried again"
        all_three.is_visited("PUNCHED")


@pytest.mark.full
def test_a_new_address_of_either_router_is_a_reason_to_meet_anew(tmp_path: Path) -> None:
    with Lab() as lab, three(lab, tmp_path) as all_three:
        goes_directly(all_three, "PUNCHED")
        for router in (lab.ra, lab.rb):
            lab.new_address(router)
            curl(all_three.visitor.url_of(all_three.label), at=lab.b, limit=30)
            wait_until(
                lambda: curl(all_three.visitor.url_of(all_three.label), at=lab.b, limit=30).status == 200,
                "it is reached again",
            )
            all_three.is_visited("PUNCHED")
            assert all_three.downloads() < BESIDE


@pytest.mark.full
def test_a_path_that_comes_and_goes_rests(tmp_path: Path) -> None:
    """20 s there, 20 s not: better by the relay than now here, now there."""
    with Lab() as lab, three(lab, tmp_path) as all_three:
        goes_directly(all_three, "PUNCHED")
        kinds: list[str] = []

        def watch(seconds: float) -> None:
            def over() -> bool:
                status = curl(all_three.visitor.url_of(all_three.label), at=lab.b, limit=30).status
                usable = [one["kind"] for one in sessions(all_three)]
                if status == 200 and usable and (not kinds or kinds[-1] != min(usable)):
                    kinds.append(min(usable))
                started.append(1)
                return len(started) >= seconds

            started: list[int] = []
            wait_until(over, "time passes", timeout=10 * seconds, every=1.0)

        for _ in range(8):
            lab.mute(lab.ra, lab.rb)
            lab.mute(lab.rb, lab.ra)
            watch(20)
            lab.unmute()
            watch(20)
        assert len(kinds) <= 6, kinds
        assert kinds[-1] == "RELAYED", kinds
