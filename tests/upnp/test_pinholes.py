"""IPv6 pinholes by UPnP on a real router: miniupnpd that nobody can ask by PCP, in front of an nftables firewall."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import needs
from tests.support.beats import beats
from tests.support.size import FULL
from tests.support.waiting import wait_until
from tests.upnp.home import HOST, HOST_6, LAN_6, PUBLIC, Home
from tests.upnp.running import Holder, reach
from tests.upnp.sample import at_full_size

pytestmark = [
    pytest.mark.netns,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "ss", "nft", "sysctl", "miniupnpd"),
]

REACHED = "reached 7008"
AT, AT_6 = f"{PUBLIC}:7008", f"[{HOST_6}]:7008"
SECOND = LAN_6 + "20"
SHORT, RENEWALS = (5, 4) if FULL else (3, 1)  # seconds of a lease, and for how many of them


@pytest.fixture
def home() -> Iterator[Home]:
    with Home() as built:
        built.without_port_control()
        yield built


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "holder.log"


def pinholes(home: Home) -> int:
    return home.mapped().count("@nh,192,128")


def kinds(holder: Holder) -> set[str]:
    return {router["kind"] for router in holder.status()["routers"] if router["state"] == "mapped"}


def test_without_pcp_the_ipv6_firewall_is_opened_by_upnp_and_closed_at_the_end(home: Home, log: Path):
    home.start_upnpd()
    assert reach(home.visitor, HOST_6, 7008) == ""
    with Holder(home.host, log=log) as holder:
        holder.wait_for_endpoint(AT, AT_6)
        assert kinds(holder) == {"UPnP", "UPnP for IPv6"}
        assert pinholes(home) == 1
        assert reach(home.visitor, HOST_6, 7008) == REACHED
        ended = holder.stop()
    assert (ended["failures"], ended["left"]) == ([], [])
    assert ended["stopped_s"] < 3
    assert home.mapped() == ""
    assert reach(home.visitor, HOST_6, 7008) == ""


def test_each_of_our_addresses_gets_a_pinhole_and_without_ipv4_nothing_is_missed(home: Home, log: Path):
    home.host.ip(f"addr del {HOST}/24 dev eth0", f"addr add {SECOND}/64 dev eth0")
    home.start_upnpd()
    with Holder(home.host, log=log) as holder:
        status = holder.wait_for_endpoint(AT_6, f"[{SECOND}]:7008")
        assert status["advice"] == ""
        assert pinholes(home) == 2
        assert reach(home.visitor, HOST_6, 7008) == REACHED
        assert reach(home.visitor, SECOND, 7008) == REACHED
        holder.stop()
    assert home.mapped() == ""


def test_a_pinhole_is_renewed_for_as_long_as_we_run(home: Home, log: Path):
    home.start_upnpd()
    with Holder(home.host, "--lease", f"{SHORT}", log=log) as holder:
        holder.wait_for_endpoint(AT, AT_6)
        began, seen = time.monotonic(), beats()
        while time.monotonic() < began + RENEWALS * SHORT + 1:
            seen = beats() if pinholes(home) else seen
            assert beats() - seen < 1.5  # miniupnpd renews by deleting and making anew
        assert reach(home.visitor, HOST_6, 7008) == REACHED


def test_a_crashed_node_takes_up_its_pinhole_which_still_has_an_end(home: Home, log: Path):
    home.start_upnpd()
    for _ in range(2):
        with Holder(home.host, "--lease", "3", log=log) as holder:
            holder.wait_for_endpoint(AT, AT_6)
            assert pinholes(home) == 1
            holder.kill()
    wait_until(lambda: not pinholes(home), "it ran out", 15)


@at_full_size
def test_after_a_reboot_of_the_router_the_pinhole_is_back_within_one_renewal(home: Home, log: Path):
    home.start_upnpd()
    with Holder(home.host, "--lease", "10", log=log) as holder:
        holder.wait_for_endpoint(AT, AT_6)
        home.stop_upnpd(forget=True)
        home.start_upnpd()
        wait_until(lambda: pinholes(home) == 1, "it was opened again", 8)
        assert reach(home.visitor, HOST_6, 7008) == REACHED
        holder.stop()
    assert home.mapped() == ""


@at_full_size
def test_a_router_that_speaks_pcp_only_later_is_not_asked_for_a_second_pinhole(home: Home, log: Path):
    home.start_upnpd()
    with Holder(home.host, log=log) as holder:
        holder.wait_for_endpoint(AT, AT_6)
        home.nft("flush chain inet home deaf")
        home.host.ip(f"addr add {SECOND}/64 dev eth0")  # it looks at everything anew
        wait_until(lambda: len(holder.status()["endpoints"]) == 3, "the second address was opened", 25)
        of = {router["own"]: router["kind"] for router in holder.status()["routers"] if router["own"] != HOST}
        assert of == {HOST_6: "UPnP for IPv6", SECOND: "PCP for IPv6"}
        assert pinholes(home) == 2
        holder.stop()
    wait_until(lambda: home.mapped() == "", "nothing was left")


def test_a_router_that_refuses_by_pcp_is_asked_by_upnp(home: Home, log: Path, tmp_path: Path):
    home.start_upnpd()
    home.nft("flush chain inet home deaf; add rule inet home prerouting ip6 daddr fe80::1 udp dport 5351 dnat to :5352")
    asked = tmp_path / "asked"
    with asked.open("wb") as output:
        refusing = home.router.start(
            [sys.executable, "-m", "tests.upnp.fake_router", "fe80::1%lan", "5352"], output=output
        )
    wait_until(lambda: "ready" in asked.read_text(), "the fake served")
    try:
        with Holder(home.host, log=log) as holder:
            holder.wait_for_endpoint(AT, AT_6)
            assert kinds(holder) == {"UPnP", "UPnP for IPv6"}
            assert "PCP for IPv6" not in {router["kind"] for router in holder.status()["routers"]}
            assert reach(home.visitor, HOST_6, 7008) == REACHED
            holder.stop()
        assert "\n0201" in asked.read_text()  # PCP, MAP
        assert home.mapped() == ""
    finally:
        refusing.kill()
        refusing.wait()
