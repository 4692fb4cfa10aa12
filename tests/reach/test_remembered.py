"""What a host told at home is how it is found elsewhere, without any DHT; and how long that takes."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

import pytest

from tests.reach.world import World, is_published, path, settings
from tests.support import needs
from tests.support.node import Node
from tests.support.programs import Answer, curl, running_origin
from tests.support.waiting import wait_until
from tests.upnp.home import PUBLIC, Box

pytestmark = [
    pytest.mark.netns,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "ss", "nft", "sysctl", "curl", "miniupnpd", "dhtnode"),
]

STAGGER = 0.25  # seconds between two attempts (docs/PROTOCOL.md 7.1)
LINK = 0.04
RATIO = 1.3


def tells(host: Node, endpoint: str) -> None:
    """Wait until the host tells its visitors of an endpoint."""
    wait_until(lambda: endpoint in [each["endpoint"] for each in host.status()["outside"]["endpoints"]], endpoint)


def remembers(visitor: Node, endpoint: str) -> None:
    wait_until(lambda: [peer for peer in visitor.status()["peers"] if endpoint in peer["wan_hosts"]], endpoint)


def visited_at_home(world: World, visitor: Node, label: str, told: str) -> None:
    """A visit over the LAN, by which the visitor learns the rest."""
    assert curl(visitor.url_of(label), at=visitor.at).status == 200
    assert path(visitor, label)[0] == "LAN"
    remembers(visitor, told)


def answered(visitor: Node, label: str, limit: float) -> Answer:
    """Wait for a page."""
    return wait_until(
        lambda: answer if (answer := curl(visitor.url_of(label), at=visitor.at)).status == 200 else None,
        f"it is visited:\n{visitor.log[-2000:]}",
        limit,
    )


@pytest.fixture
def phone(world: World) -> Box:
    """A machine that is at home now."""
    made = world.machine("phone")
    world.plug(made, world.home, 20)
    return made


def test_a_visitor_that_left_the_lan_comes_back_by_what_the_host_told_it(
    world: World, phone: Box, tmp_path: Path
) -> None:
    world.start_upnpd()
    host = Node(tmp_path / "host", at=world.host, settings=settings(dht=False, upnp=True))
    visitor = Node(tmp_path / "visitor", at=phone, settings=settings(dht=False))
    with running_origin(world.host) as origin:
        host.share("site", origin.port)
        with host, visitor:
            tells(host, f"{PUBLIC}:7008")
            label = host.label("site")
            visited_at_home(world, visitor, label, f"{PUBLIC}:7008")
            world.plug(phone, world.away, 20)
            answered(visitor, label, 10)
            assert path(visitor, label) == ("REMEMBERED", "remembered", f"{PUBLIC}:7008")


def test_addresses_of_yggdrasil_are_enough(world: World, phone: Box, tmp_path: Path) -> None:
    world.overlay(world.host, "200:77::10")
    world.overlay(phone, "200:77::20")
    host = Node(tmp_path / "host", at=world.host, settings=settings(dht=False))
    visitor = Node(tmp_path / "visitor", at=phone, settings=settings(dht=False))
    with running_origin(world.host) as origin:
        host.share("site", origin.port)
        with host:
            label = host.label("site")
            with visitor:
                visited_at_home(world, visitor, label, "[200:77::10]:7008")
            world.plug(phone, world.away, 20)
            with visitor:
                answered(visitor, label, 10)
                assert path(visitor, label) == ("REMEMBERED", "remembered", "[200:77::10]:7008")


@pytest.mark.slow
def test_three_addresses_that_swallow_everything_cost_three_steps_of_the_race(
    world: World, phone: Box, tmp_path: Path
) -> None:
    """The first of them is where the host was on the LAN."""
    world.forward(7008)
    public = f"[Node]\npublic = 11.50.0.1:7008, 11.50.0.2:7008, {PUBLIC}:7008\n"
    host = Node(tmp_path / "host", at=world.host, settings=settings(dht=False, more=public))
    visitor = Node(tmp_path / "visitor", at=phone, settings=settings(dht=False))
    with running_origin(world.host) as origin:
        host.share("site", origin.port)
        with host:
            label = host.label("site")
            with visitor:
                visited_at_home(world, visitor, label, f"{PUBLIC}:7008")
            world.plug(phone, world.away, 20)
            with visitor:
                answer = curl(visitor.url_of(label), at=phone)
                assert answer.status == 200
                assert path(visitor, label) == ("REMEMBERED", "remembered", f"{PUBLIC}:7008")
                print(f"three dead candidates: {answer.first_byte:.3f} s")
                assert answer.first_byte < 3 * STAGGER + 0.5


@pytest.mark.slow
@needs.tools("openssl")
def test_a_remembered_host_costs_hardly_more_than_a_tls_server_over_the_same_link(world: World, tmp_path: Path) -> None:
    world.start_upnpd()
    world.lengthen(LINK)
    host = Node(tmp_path / "host", at=world.host, settings=settings(upnp=True))
    visitor = Node(tmp_path / "visitor", at=world.guest, settings=settings(more="[Session]\nkeepwarm = 0.2\n"))
    with running_origin(world.host) as origin:
        host.share("site", origin.port)
        tls_server(world, tmp_path, origin.port)
        with host, visitor:
            is_published(host, "site", at=f"{PUBLIC}:7008")
            label = host.label("site")
            answered(visitor, label, 10)
            assert path(visitor, label)[1] == "DHT"
            remembers(visitor, f"{PUBLIC}:7008")
            direct, ours = [], []
            for _ in range(7):
                direct.append(curl(f"https://{PUBLIC}:8443/", "-k", at=world.guest).first_byte)
                wait_until(lambda: not visitor.sessions("visiting"), "the session was given up")
                ours.append(curl(visitor.url_of(label), at=world.guest).first_byte)
                assert path(visitor, label) == ("REMEMBERED", "remembered", f"{PUBLIC}:7008")
    print(f"over {LINK * 1e3:g} ms: direct {statistics.median(direct):.4f} s, ours {statistics.median(ours):.4f} s")
    assert min(ours) < RATIO * min(direct)


def tls_server(world: World, directory: Path, behind: int) -> None:
    """On the host, forwarded by its router: what a direct visit would be."""
    certificate, key = directory / "tls.cert", directory / "tls.key"
    kind = ("-newkey", "ed25519", "-nodes", "-subj", "/CN=x")
    world.host.run(["openssl", "req", "-x509", *kind, "-out", certificate, "-keyout", key])
    world.forward(8443)
    world.run_on(world.host, [sys.executable, str(_TLS), str(certificate), str(key), "8443"])
    wait_until(lambda: ":8443 " in world.host.run(["ss", "-Hltn"]), "it listens")


_TLS = Path(__file__).with_name("tls_server.py")
