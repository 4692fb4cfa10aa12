"""Somebody moves: the router gets another address, the host or the visitor another network.  Nothing is restarted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.reach.world import World, is_published, path, settings
from tests.support import needs
from tests.support.beats import beats
from tests.support.node import Node
from tests.support.programs import Download, curl, running_origin
from tests.support.waiting import wait_until
from tests.upnp.home import HOST, HOST_6, OTHER_PUBLIC, PUBLIC

pytestmark = [
    pytest.mark.netns,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "ss", "nft", "sysctl", "curl", "miniupnpd", "dhtnode"),
]

FOUND_LIMIT = 10.0  # seconds from a change to the first byte by the new path
ROAMING_LIMIT = 5.0
MARGIN = 5.0  # for a machine that others use too


@dataclass(frozen=True, slots=True)
class Visited:
    """A host at home behind its router, a visitor in another home, and a session between them."""

    world: World
    host: Node
    visitor: Node
    label: str
    directory: Path

    def works_after(self, limit: float) -> float:
        """Ask until a page comes; returns the seconds that took."""
        began = beats()
        wait_until(lambda: curl(self.visitor.url_of(self.label), at=self.visitor.at).status == 200, "visited")
        took = beats() - began
        assert took < limit
        return took

    @property
    def path(self) -> tuple[str, str, str]:
        return path(self.visitor, self.label)


@pytest.fixture
def visited(world: World, tmp_path: Path) -> Iterator[Visited]:
    world.start_upnpd()
    host = Node(tmp_path / "host", at=world.host, settings=settings(upnp=True))
    visitor = Node(tmp_path / "visitor", at=world.guest, settings=settings())
    with running_origin(world.host) as origin:
        host.share("site", origin.port)
        with host, visitor:
            is_published(host, "site", at=f"{PUBLIC}:7008")
            made = Visited(world, host, visitor, host.label("site"), tmp_path)
            made.works_after(10)
            assert made.path == ("DIRECT", "DHT", f"{PUBLIC}:7008")
            yield made


def test_a_host_whose_router_gets_another_address_is_found_there(visited: Visited) -> None:
    visited.world.new_address()
    took = visited.works_after(FOUND_LIMIT + MARGIN)
    print(f"the router's new address: visited again after {took:.2f} s")
    # What the host says still gets through, so he may know it by the session that dies.
    assert visited.path in [(*by, f"{OTHER_PUBLIC}:7008") for by in (("DIRECT", "DHT"), ("REMEMBERED", "remembered"))]


@pytest.mark.slow
def test_a_host_that_moves_to_another_network_is_found_there(visited: Visited) -> None:
    """It takes its download with it into the grave, and the next visit finds it."""
    world = visited.world
    url = visited.visitor.url_of(visited.label, "stall/1000000")
    with Download(url, visited.directory / "part", at=world.guest) as download:
        download.has_received(1_000_000)
        world.plug(world.host, world.internet, 30, six=False)
        began = beats()
        took = visited.works_after(FOUND_LIMIT + MARGIN)
        assert visited.path == ("DIRECT", "DHT", "11.22.33.30:7008")
        download.exit_code()
        ended = beats() - began
        assert ended < FOUND_LIMIT + ROAMING_LIMIT + 2 * MARGIN
        print(f"the host moved: visited again after {took:.2f} s, the download ended after {ended:.2f} s")


@pytest.mark.slow
def test_a_session_whose_host_is_gone_ends_within_5_s_of_the_next_request(visited: Visited) -> None:
    world, page = visited.world, visited.directory / "page"
    url = visited.visitor.url_of(visited.label, "stall/1000000")
    with Download(url, visited.directory / "part", at=world.guest) as old:
        old.has_received(1_000_000)
        world.host.ip("link del eth0")
        began = beats()
        with Download(visited.visitor.url_of(visited.label), page, at=world.guest):
            old.exit_code()
            took = beats() - began
    assert took < ROAMING_LIMIT + MARGIN
    print(f"the host left: its session ended after {took:.2f} s")


@pytest.mark.slow
def test_a_visitor_that_roams_is_served_in_its_new_network_within_5_s(visited: Visited) -> None:
    world = visited.world
    with Download(
        visited.visitor.url_of(visited.label, "stall/1000000"), visited.directory / "part", at=world.guest
    ) as download:
        download.has_received(1_000_000)
        world.plug(world.guest, world.internet, 31, six=False)
        took = visited.works_after(ROAMING_LIMIT + MARGIN)
        assert visited.path[0] in ("REMEMBERED", "DIRECT")
        assert visited.path[2] == f"{PUBLIC}:7008"
        assert download.exit_code() != 0
    print(f"the visitor roamed: visited again after {took:.2f} s")
    assert [session["endpoint"].startswith("11.22.33.31:") for session in visited.host.sessions("hosting")].count(True)
    wait_until(lambda: len(visited.host.sessions("hosting")) == 1, "the host noticed", ROAMING_LIMIT + 20)


@pytest.mark.slow
def test_a_visitor_that_comes_home_takes_no_way_around_over_the_router(visited: Visited) -> None:
    """What it remembers of the host is an address of this LAN, too."""
    world = visited.world
    world.plug(world.guest, world.home, 21)
    visited.works_after(ROAMING_LIMIT + MARGIN)
    via, _, endpoint = visited.path
    assert (via, endpoint) in (("LAN", f"{HOST}:7008"), ("LAN", f"[{HOST_6}]:7008"), ("REMEMBERED", f"[{HOST_6}]:7008"))
