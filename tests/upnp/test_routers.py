"""A real router: miniupnpd in a namespace.  What is mapped is tried from outside; what is given back is looked for."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import needs
from tests.support.beats import beats
from tests.support.size import FULL
from tests.support.waiting import wait_until
from tests.upnp.home import HOST, HOST_6, NEIGHBOUR, OTHER_PUBLIC, PUBLIC, ROUTER, VISITOR, Box, Home
from tests.upnp.running import Holder, reach
from tests.upnp.sample import at_full_size, each

pytestmark = [
    pytest.mark.netns,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "ss", "nft", "sysctl", "miniupnpd"),
]

REACHED = "reached 7008"
AT, AT_6 = f"{PUBLIC}:7008", f"[{HOST_6}]:7008"
STOP_LIMIT = 4.0  # seconds; RELEASE_LIMIT, and the process that is asked to end
SHORT, RENEWALS = (5, 2) if FULL else (3, 1)  # seconds of a lease, and for how many of them


@pytest.fixture
def home() -> Iterator[Home]:
    with Home() as built:
        yield built


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "holder.log"


def kinds(holder: Holder) -> set[str]:
    return {router["kind"] for router in holder.status()["routers"] if router["state"] == "mapped"}


def mapped_to(home: Home, address: str) -> int:
    return home.mapped().count(f"dnat ip to {address}:")


def start(home: Home, way: str) -> None:
    """Start a router that speaks one thing only."""
    home.start_upnpd(upnp=way == "UPnP", natpmp=way != "UPnP")
    if way != "UPnP":
        home.only_version(0 if way == "NAT-PMP" else 2)


# ── mapped, reached, given back ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("way", each("UPnP", "NAT-PMP", "PCP"))
def test_the_world_reaches_us_through_the_mapping_and_nothing_is_left_of_it_at_the_end(home: Home, log: Path, way: str):
    start(home, way)
    assert reach(home.visitor, PUBLIC, 7008) == ""
    with Holder(home.host, log=log) as holder:
        wait_until(lambda: AT in holder.status()["endpoints"], "it was mapped")
        assert way in kinds(holder)
        assert reach(home.visitor, PUBLIC, 7008) == REACHED
        ended = holder.stop()
    assert (ended["failures"], ended["left"]) == ([], [])
    assert ended["stopped_s"] < STOP_LIMIT
    assert home.mapped() == ""
    assert reach(home.visitor, PUBLIC, 7008) == ""


def test_where_everything_is_spoken_one_mapping_for_ipv4_and_one_for_ipv6_is_made(home: Home, log: Path):
    home.start_upnpd()
    with Holder(home.host, log=log) as holder:
        holder.wait_for_endpoint(AT, AT_6)
        assert kinds(holder) == {"UPnP", "PCP for IPv6"}
        assert mapped_to(home, HOST) == 1
        assert holder.status()["advice"] == ""


def test_the_ipv6_firewall_is_opened_for_one_port_and_closed_at_the_end(home: Home, log: Path):
    home.start_upnpd()
    assert reach(home.visitor, HOST_6, 7008) == ""
    with Holder(home.host, log=log) as holder:
        wait_until(lambda: AT_6 in holder.status()["endpoints"], "the firewall was opened")
        assert reach(home.visitor, HOST_6, 7008) == REACHED
        holder.stop()
    wait_until(lambda: home.mapped() == "", "nothing was left")


@pytest.mark.slow
@pytest.mark.parametrize("way", each("UPnP", "NAT-PMP", "PCP"))
def test_short_leases_are_renewed_for_as_long_as_we_run_and_no_longer(home: Home, log: Path, way: str):
    start(home, way)
    with Holder(home.host, "--lease", f"{SHORT}", log=log) as holder:
        wait_until(lambda: AT in holder.status()["endpoints"], "it was mapped")
        began, seen = time.monotonic(), beats()
        while time.monotonic() < began + RENEWALS * SHORT + 1:
            seen = beats() if mapped_to(home, HOST) else seen
            assert beats() - seen < 1.5  # miniupnpd renews some by deleting and making them anew
        assert reach(home.visitor, PUBLIC, 7008) == REACHED
        assert holder.status()["changes"] <= 2
        holder.kill()
    wait_until(lambda: not mapped_to(home, HOST), "the lease of a killed node ran out", 15)


def test_a_crashed_node_takes_up_its_own_mapping(home: Home, log: Path):
    home.start_upnpd()
    with Holder(home.host, log=log) as holder:
        holder.wait_for_endpoint(AT, AT_6)
        holder.kill()
    assert mapped_to(home, HOST) == 1
    with Holder(home.host, log=log) as holder:
        holder.wait_for_endpoint(AT, AT_6)
        assert mapped_to(home, HOST) == 1
        holder.stop()
    wait_until(lambda: home.mapped() == "", "nothing was left")


def test_a_crashed_node_that_comes_back_with_another_port_leaves_no_mapping_behind(home: Home, log: Path):
    start(home, "UPnP")
    with Holder(home.host, log=log) as holder:
        wait_until(lambda: AT in holder.status()["endpoints"], "it was mapped")
        holder.kill()
    with Holder(home.host, "--port", "7100", log=log) as holder:
        wait_until(lambda: f"{PUBLIC}:7100" in holder.status()["endpoints"], "it was mapped again")
        assert mapped_to(home, HOST) == 1


def test_two_nodes_on_one_computer_leave_each_other_alone(home: Home, log: Path):
    start(home, "UPnP")
    with (
        Holder(home.host, log=log) as one,
        Holder(home.host, "--port", "7100", "--owner", "another", log=log) as other,
    ):
        wait_until(lambda: AT in one.status()["endpoints"], "the one was mapped")
        wait_until(lambda: f"{PUBLIC}:7100" in other.status()["endpoints"], "the other was mapped")
        one.stop()
        assert mapped_to(home, HOST) == 1
        assert reach(home.visitor, PUBLIC, 7100) == "reached 7100"


# ── a port of somebody else's ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("way", each("UPnP", "NAT-PMP", "PCP"))
def test_a_port_that_another_computer_has_is_left_to_it(home: Home, log: Path, tmp_path: Path, way: str):
    start(home, way)
    with Holder(home.neighbour, "--owner", "neighbour", log=tmp_path / "neighbour.log") as neighbour:
        wait_until(lambda: AT in neighbour.status()["endpoints"], "the neighbour was first")
        with Holder(home.host, log=log) as holder:
            wait_until(lambda: PUBLIC in str(holder.status()["endpoints"]), "another port was mapped")
            port = next(int(at.rpartition(":")[2]) for at in holder.status()["endpoints"] if PUBLIC in at)
            assert port != 7008
            assert reach(home.visitor, PUBLIC, port) == REACHED
            holder.stop()
        assert mapped_to(home, NEIGHBOUR) == 1
        assert reach(home.visitor, PUBLIC, 7008) == REACHED


@at_full_size
@pytest.mark.slow
def test_a_port_that_another_computer_took_while_we_were_away_is_noticed_and_another_announced(
    home: Home, log: Path, tmp_path: Path
):
    start(home, "UPnP")
    with Holder(home.host, "--lease", "8", log=log) as holder:
        wait_until(lambda: AT in holder.status()["endpoints"], "it was mapped")
        changes = holder.status()["changes"]
        holder.signal(signal.SIGSTOP)
        wait_until(lambda: not mapped_to(home, HOST), "the lease ran out", 20)
        with Holder(home.neighbour, "--owner", "neighbour", log=tmp_path / "neighbour.log") as neighbour:
            wait_until(lambda: AT in neighbour.status()["endpoints"], "the neighbour took it")
            holder.signal(signal.SIGCONT)
            wait_until(lambda: f"{PUBLIC}:7009" in holder.status()["endpoints"], "it was told", 10)
            assert holder.status()["changes"] > changes
            assert reach(home.visitor, PUBLIC, 7009) == REACHED


# ── routers that change ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.parametrize("way", each("PCP", "NAT-PMP", "UPnP"))
def test_after_a_reboot_of_the_router_the_mapping_is_back_within_one_renewal(home: Home, log: Path, way: str):
    start(home, way)
    with Holder(home.host, "--lease", "10", log=log) as holder:
        wait_until(lambda: AT in holder.status()["endpoints"], "it was mapped")
        home.stop_upnpd(forget=True)
        assert home.mapped() == ""
        home.start_upnpd(upnp=way == "UPnP", natpmp=way != "UPnP")
        wait_until(lambda: mapped_to(home, HOST) == 1, "it was mapped again", 8)
        assert reach(home.visitor, PUBLIC, 7008) == REACHED


@at_full_size
@pytest.mark.parametrize("way", ["NAT-PMP", "PCP"])
def test_a_router_that_announces_its_restart_is_asked_at_once(home: Home, log: Path, way: str):
    start(home, way)
    with Holder(home.host, "--lease", "3600", log=log) as holder:
        wait_until(lambda: AT in holder.status()["endpoints"], "it was mapped")
        home.stop_upnpd(forget=True)
        home.start_upnpd(upnp=False)
        wait_until(lambda: mapped_to(home, HOST) == 1, "it was mapped again", 8)


@at_full_size
@pytest.mark.slow
def test_a_router_whose_description_moved_is_found_again(home: Home, log: Path):
    start(home, "UPnP")
    with Holder(home.host, "--lease", "10", log=log) as holder:
        wait_until(lambda: AT in holder.status()["endpoints"], "it was mapped")
        home.stop_upnpd(forget=True)
        home.start_upnpd(natpmp=False, http_port=5666)
        wait_until(lambda: mapped_to(home, HOST) == 1, "it was mapped again", 30)
        assert reach(home.visitor, PUBLIC, 7008) == REACHED


@pytest.mark.slow
@pytest.mark.parametrize("way", each("UPnP", "NAT-PMP", "PCP"))
def test_another_public_address_is_told_within_one_renewal(home: Home, log: Path, way: str):
    start(home, way)
    with Holder(home.host, "--lease", "6", log=log) as holder:
        wait_until(lambda: AT in holder.status()["endpoints"], "it was mapped")
        changes = holder.status()["changes"]
        home.new_address()
        wait_until(lambda: f"{OTHER_PUBLIC}:7008" in holder.status()["endpoints"], "it was told", 6)
        assert AT not in holder.status()["endpoints"]
        assert holder.status()["changes"] > changes
        assert reach(home.visitor, OTHER_PUBLIC, 7008) == REACHED


@at_full_size
def test_another_address_of_our_own_gets_a_mapping_of_its_own(home: Home, log: Path):
    home.start_upnpd()
    with Holder(home.host, log=log) as holder:
        wait_until(lambda: AT in holder.status()["endpoints"], "it was mapped")
        home.host.ip(
            f"addr del {HOST}/24 dev eth0", "addr add 192.168.77.66/24 dev eth0", f"route add default via {ROUTER}"
        )
        wait_until(lambda: mapped_to(home, "192.168.77.66"), "the new address was mapped", 25)
        wait_until(lambda: PUBLIC in str(holder.status()["endpoints"]), "it was told")
        port = next(int(at.rpartition(":")[2]) for at in holder.status()["endpoints"] if PUBLIC in at)
        assert reach(home.visitor, PUBLIC, port) == REACHED


@at_full_size
@pytest.mark.slow
def test_a_router_that_comes_up_after_us_is_asked_when_it_announces_itself(home: Home, log: Path):
    with Holder(home.host, log=log) as holder:
        wait_until(lambda: holder.status()["state"] == "unreachable", "the search ended", 15)
        home.start_upnpd(upnp=False)
        wait_until(lambda: AT in holder.status()["endpoints"], "it was mapped", 12)


@at_full_size
@pytest.mark.slow
@pytest.mark.parametrize("way", ["UPnP", "NAT-PMP", "PCP"])
def test_a_line_that_is_down_for_a_while_takes_the_endpoint_away_until_it_is_back(home: Home, log: Path, way: str):
    start(home, way)
    with Holder(home.host, "--lease", "6", log=log) as holder:
        wait_until(lambda: AT in holder.status()["endpoints"], "it was mapped")
        home.router.ip("addr flush dev wan")
        wait_until(lambda: AT not in holder.status()["endpoints"], "its loss was told", 15)
        home.new_address()
        wait_until(lambda: f"{OTHER_PUBLIC}:7008" in holder.status()["endpoints"], "its return was told", 40)
        assert reach(home.visitor, OTHER_PUBLIC, 7008) == REACHED


# ── routers that do not help ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_without_a_router_that_listens_a_person_is_told_which_port_to_forward(home: Home, log: Path):
    with Holder(home.host, log=log) as holder:
        wait_until(lambda: holder.status()["state"] == "unreachable", "the search ended", 15)
        assert holder.status()["advice"] == (
            f"forward TCP port 7008 on the router {ROUTER} to {HOST} port 7008, "
            "then write [Node] public = YOUR-PUBLIC-ADDRESS:7008 into hardline.ini"
        )
        assert holder.status()["held_up_s"] < 1
        assert holder.stop()["stopped_s"] < STOP_LIMIT
    assert "upnp.unreachable" in log.read_text()


def test_a_router_that_refuses_is_reported_with_its_reason_and_its_address(home: Home, log: Path):
    home.start_upnpd(allow="")
    with Holder(home.host, log=log) as holder:
        wait_until(lambda: holder.status()["advice"], "the search ended", 15)
        routers = [router for router in holder.status()["routers"] if router["own"] == HOST]
        assert {router["state"] for router in routers} == {"failed"}
        assert any("allow" in router["problem"] for router in routers), routers
        assert f"[Node] public = {PUBLIC}:7008" in holder.status()["advice"]
        holder.stop()
    wait_until(lambda: home.mapped() == "", "nothing was left")


@pytest.mark.parametrize("outer", each("100.64.7.", "192.168.88."))
def test_behind_two_routers_nothing_is_published_and_the_reason_is_said(log: Path, outer: str):
    with Home(outer=outer) as home:
        home.start_upnpd()
        with Holder(home.host, log=log) as holder:
            wait_until(lambda: holder.status()["advice"], "the search ended", 15)
            status = holder.status()
            assert [at for at in status["endpoints"] if not at.startswith("[")] == []
            assert f"the router {ROUTER} says that it has no public address" in status["advice"]
            assert "mapped" not in {router["state"] for router in status["routers"] if router["own"] == HOST}


@at_full_size
@pytest.mark.slow
@pytest.mark.parametrize("way", ["UPnP", "NAT-PMP", "PCP"])
def test_a_router_that_hangs_delays_neither_the_loop_nor_the_end(home: Home, log: Path, way: str):
    start(home, way)
    with Holder(home.host, "--lease", "4", log=log) as holder:
        wait_until(lambda: AT in holder.status()["endpoints"], "it was mapped")
        home.suspend_upnpd(True)
        wait_until(
            lambda: any(router["problem"] and router["own"] == HOST for router in holder.status()["routers"]),
            "the silence was noticed",
            15,
        )
        ended = holder.stop()
        assert ended["stopped_s"] < STOP_LIMIT
        assert ended["held_up_s"] < 1
        assert (ended["failures"], ended["left"]) == ([], [])


@contextlib.contextmanager
def fake_router(box: Box, *arguments: str, log: Path, program: str = "fake_igd") -> Iterator[None]:
    """A program of this directory; what it is asked is in `log`."""
    with log.open("wb") as output:
        process = box.start([sys.executable, "-m", f"tests.upnp.{program}", *arguments], output=output)
    try:
        wait_until(lambda: "ready" in log.read_text(), "the fake router served")
        yield
    finally:
        process.kill()
        process.wait()


def test_every_router_that_leads_to_the_world_is_asked(home: Home, log: Path, tmp_path: Path):
    home.start_upnpd()
    home.host.ip(f"route add default via {NEIGHBOUR} metric 200")
    asked = tmp_path / "asked"
    with (
        fake_router(home.neighbour, NEIGHBOUR, "8.8.4.4", log=asked),
        Holder(home.host, log=log) as holder,
    ):
        holder.wait_for_endpoint(AT, AT_6, "8.8.4.4:7008")
        holder.stop()
        assert "DeletePortMapping" in asked.read_text()
    wait_until(lambda: home.mapped() == "", "nothing was left")


@at_full_size
def test_a_neighbour_that_says_it_is_a_router_is_asked_only_where_no_gateway_helps(
    home: Home, log: Path, tmp_path: Path
):
    asked = tmp_path / "asked"
    with fake_router(home.neighbour, NEIGHBOUR, "8.8.4.4", log=asked):
        with Holder(home.host, log=log) as holder:
            holder.wait_for_endpoint("8.8.4.4:7008")
        home.start_upnpd()
        before = asked.read_text()
        with Holder(home.host, log=log) as holder:
            holder.wait_for_endpoint(AT, AT_6)
            wait_until(lambda: holder.status()["searched_s"] is not None, "the search ended")
        assert asked.read_text() == before


@pytest.mark.parametrize(
    "location",
    each("http://127.0.0.1:5000/root.xml", f"http://{VISITOR}:5000/root.xml", f"http://{ROUTER}:5000/root.xml"),
)
def test_nobody_is_sent_to_another_place_by_an_answer_to_a_search(home: Home, log: Path, tmp_path: Path, location: str):
    asked, here = tmp_path / "visited", location.split("/")[2].partition(":")[0]
    place = {VISITOR: home.visitor, "127.0.0.1": home.host, ROUTER: home.router}[here]
    with (
        fake_router(place, here, "8.8.4.4", log=asked),
        fake_router(home.neighbour, NEIGHBOUR, "8.8.8.8", location, log=tmp_path / "asked"),
        Holder(home.host, log=log) as holder,
    ):
        said = f"answer of {NEIGHBOUR} that leads to {location.removesuffix('/root.xml')}"  # logs hold no paths
        wait_until(lambda: said in log.read_text(), "it was ignored", 15)
        wait_until(lambda: holder.status()["advice"] or holder.status()["endpoints"], "the search ended", 15)
        assert "8.8.8.8" not in str(holder.status())
    if here != ROUTER:
        assert asked.read_text() == "ready\n"


@pytest.mark.parametrize("external", each("127.0.0.1", "192.168.77.1", "0.0.0.0", "224.0.0.1", "192.0.2.7"))
def test_a_router_that_lies_about_its_address_has_nothing_published(
    home: Home, log: Path, tmp_path: Path, external: str
):
    with (
        fake_router(home.router, ROUTER, external, log=tmp_path / "asked"),
        Holder(home.host, log=log) as holder,
    ):
        wait_until(lambda: holder.status()["advice"], "the search ended", 15)
        assert holder.status()["endpoints"] == []
        assert "YOUR-PUBLIC-ADDRESS" in holder.status()["advice"]
        (router,) = [router for router in holder.status()["routers"] if router["own"] == HOST]
        assert (router["state"], router["external"]) == ("useless", external)
        holder.stop()
    assert "DeletePortMapping" in (tmp_path / "asked").read_text()


def test_a_router_that_answers_html_is_reported_and_a_person_told_what_to_do(home: Home, log: Path, tmp_path: Path):
    with (
        fake_router(home.router, ROUTER, program="spoilt", log=tmp_path / "asked"),
        Holder(home.host, log=log) as holder,
    ):
        wait_until(lambda: holder.status()["advice"], "the search ended", 15)
        status = holder.status()
        assert status["endpoints"] == []
        problems = {router["problem"] for router in status["routers"] if router["own"] == HOST}
        assert problems == {"its answers are not those of a UPnP router"}
        assert f"forward TCP port 7008 on the router {ROUTER}" in status["advice"]
        assert holder.stop()["held_up_s"] < 1


def test_without_ipv6_only_ipv4_is_mapped(home: Home, log: Path):
    home.host.ip(f"addr del {HOST_6}/64 dev eth0")
    home.start_upnpd()
    with Holder(home.host, log=log) as holder:
        holder.wait_for_endpoint(AT)
        wait_until(lambda: holder.status()["searched_s"] is not None, "the search ended")
        assert {router["own"] for router in holder.status()["routers"]} == {HOST}
        assert holder.status()["advice"] == ""


def test_addresses_of_tunnels_and_containers_are_asked_for_nowhere(home: Home, log: Path):
    home.host.ip(
        *("link add docker0 type bridge", "addr add 172.17.0.1/16 dev docker0", "link set docker0 up"),
        *("addr add 2a0e:b107:99::1/64 dev docker0", "tuntap add tun0 mode tun", "link set tun0 up"),
        *("addr add 10.8.0.2/24 dev tun0", "addr add 2a0e:b107:98::2/64 dev tun0", "addr add 200:77::1/7 dev tun0"),
        *("addr add fd77::10/64 dev eth0", "addr add 169.254.7.7/16 dev eth0"),
    )
    home.start_upnpd()
    with Holder(home.host, log=log) as holder:
        holder.wait_for_endpoint(AT, AT_6)
        wait_until(lambda: holder.status()["searched_s"] is not None, "the search ended")
        assert {router["own"] for router in holder.status()["routers"]} == {HOST, HOST_6}


def test_on_loopback_nobody_is_asked(home: Home, log: Path):
    home.start_upnpd()
    with Holder(home.host, "--bind", "127.0.0.1", log=log) as holder:
        wait_until(lambda: holder.status()["state"] == "unreachable", "there was nothing to search")
        assert holder.status()["routers"] == []
    assert HOST not in home.upnpd_log()


@at_full_size
def test_several_nodes_are_stopped_and_started_without_a_trace(home: Home, log: Path):
    home.start_upnpd()
    with contextlib.ExitStack() as stack:
        boxes = (home.host, home.neighbour)
        holders = [
            stack.enter_context(Holder(box, "--port", str(port), "--owner", f"{port}", log=log))
            for box in boxes
            for port in (7008, 7108)
        ]
        for holder in holders:
            wait_until(lambda holder=holder: len(holder.status()["endpoints"]) == 2, "all were mapped", 20)
        for holder in holders:
            holder.stop()
    wait_until(lambda: home.mapped() == "", "nothing was left")
