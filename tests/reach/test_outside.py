"""Where the world can reach a host: forwarded by hand, by nobody, beside a VPN; and what is said about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reach.world import World, is_published, path, settings
from tests.support import needs
from tests.support.node import Node
from tests.support.programs import curl, running_origin
from tests.support.waiting import wait_until
from tests.upnp.home import HOST, HOST_6, PUBLIC, ROUTER

pytestmark = [
    pytest.mark.netns,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "ss", "nft", "sysctl", "curl", "miniupnpd", "dhtnode"),
]

FORWARDED = f"{PUBLIC}:7008"


def told(host: Node) -> dict[str, str]:
    """The endpoints that a host tells the world, and who says so."""
    return {each["endpoint"]: each["by"] for each in host.status()["outside"]["endpoints"]}


@pytest.mark.full
def test_two_visitors_from_different_networks_make_a_forwarded_port_known_and_one_does_not(
    world: World, tmp_path: Path
) -> None:
    """They remember the port from the days when its owner had written it down."""
    world.plug(world.host, world.home, 10, six=False)
    world.forward(7008)
    far = world.machine("far")
    world.plug_far(far, 40)
    written = settings(more=f"[Node]\npublic = {FORWARDED}\n")
    one, other = (Node(tmp_path / name, at=box, settings=settings()) for name, box in (("1", world.guest), ("2", far)))
    with running_origin(world.host) as origin:
        host = Node(tmp_path / "host", at=world.host, settings=written)
        host.share("site", origin.port)
        with host:
            is_published(host, "site", at=FORWARDED)
            label = host.label("site")
            for visitor in (one, other):
                with visitor:
                    assert curl(visitor.url_of(label), at=visitor.at).status == 200
                    assert path(visitor, label) == ("DIRECT", "DHT", FORWARDED)
        host = Node(tmp_path / "host", at=world.host, settings=settings(upnp=True))
        host.log_file.unlink()
        with host:
            assert told(host) == {}
            with one:
                assert curl(one.url_of(label), at=one.at).status == 200
                assert path(one, label) == ("REMEMBERED", "remembered", FORWARDED)
                assert curl(one.url_of(label), at=one.at).status == 200
                assert told(host) == {}
                assert host.status()["outside"]["reached"] == [FORWARDED]
                assert "reached.agreed" not in host.log
            with other:
                assert curl(other.url_of(label), at=far).status == 200
                assert path(other, label) == ("REMEMBERED", "remembered", FORWARDED)
            wait_until(lambda: told(host) == {FORWARDED: "what visitors say"}, "it was believed")
            assert f"reached.agreed       endpoint={FORWARDED}" in host.log
            is_published(host, "site", at=FORWARDED)
            stranger = Node(tmp_path / "stranger", at=world.visitor, settings=settings())
            with stranger:
                assert curl(stranger.url_of(label), at=world.visitor).status == 200
                assert path(stranger, label) == ("DIRECT", "DHT", FORWARDED)


def test_where_nothing_makes_it_reachable_everything_says_which_port_to_forward(world: World, tmp_path: Path) -> None:
    world.plug(world.host, world.home, 10, six=False)
    host = Node(tmp_path / "host", at=world.host, settings=settings(upnp=True))
    forward = f"orward TCP port 7008 on the router {ROUTER} to {HOST} port 7008"
    setting = "write [Node] public = YOUR-PUBLIC-ADDRESS:7008 into hardline.ini"
    host.share("site", 8000)
    with host:
        outside = wait_until(
            lambda: said if (said := host.status()["outside"])["advice"] else None, "there is advice", 20, every=0.2
        )
        assert (outside["state"], outside["endpoints"]) == ("local", [])
        assert (outside["upnp"]["state"], outside["upnp"]["endpoints"]) == ("unreachable", [])
        page = curl(f"http://127.0.0.1:{host.localport}/", "-H", "Accept: text/html", at=world.host).text
        for text in (outside["advice"], host.hardline("status").stdout, host.log, page):
            assert forward in text
            assert setting in text
        assert "reachable on this network only" in host.hardline("status").stdout
        dht = wait_until(lambda: host.service("site"), "")["dht"]
        assert (dht["announced"], dht["problem"]) == (None, "no address is known that visitors could reach")


def test_where_no_router_is_asked_it_says_so_too(world: World, tmp_path: Path) -> None:
    world.plug(world.host, world.home, 10, six=False)
    host = Node(tmp_path / "host", at=world.host, settings=settings(dht=False))
    host.share("site", 9)
    with host:
        advice = host.status()["outside"]["advice"]
        assert "forward TCP port 7008" in advice
        assert "[Node] public = " in advice
        assert "whereabouts.unknown" in host.log


@pytest.mark.slow
def test_a_vpn_beside_the_lan_disturbs_nothing_and_is_told_to_nobody(world: World, tmp_path: Path) -> None:
    world.start_upnpd()
    world.host.ip("tuntap add dev tun0 mode tun", "addr add 10.8.0.2/24 dev tun0", "link set tun0 up")
    world.host.ip("addr add fd00:8::2/64 dev tun0", "addr add 169.254.8.2/16 dev tun0")
    world.host.ip("link add docker0 type bridge", "addr add 172.17.0.1/16 dev docker0", "link set docker0 up")
    host = Node(tmp_path / "host", at=world.host, settings=settings(upnp=True))
    visitor = Node(tmp_path / "visitor", at=world.guest, settings=settings())
    with running_origin(world.host) as origin:
        host.share("site", origin.port)
        with host, visitor:
            hosts = is_published(host, "site", at=FORWARDED)
            label = host.label("site")
            assert set(hosts) == {FORWARDED, f"[{HOST_6}]:7008"}
            assert set(told(host)) == set(hosts)
            assert curl(visitor.url_of(label), at=world.guest).status == 200
            assert path(visitor, label) == ("DIRECT", "DHT", FORWARDED)
            peer = wait_until(lambda: visitor.status()["peers"], "it is remembered")[0]
            assert set(peer["wan_hosts"]) == set(hosts)


@pytest.mark.slow
def test_the_ipv6_firewall_is_opened_where_there_is_no_ipv4(world: World, tmp_path: Path) -> None:
    world.start_upnpd()
    world.plug(world.host, world.home, 10, four=False)
    world.plug(world.visitor, world.internet, 10, four=False)
    found(world, tmp_path, f"[{HOST_6}]:7008")


@pytest.mark.slow
def test_a_network_without_ipv6_is_no_obstacle(world: World, tmp_path: Path) -> None:
    world.start_upnpd()
    for box in (world.host, world.visitor):
        box.run(["sysctl", "-q", "-w", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"])
    found(world, tmp_path, FORWARDED)


def found(world: World, directory: Path, at: str) -> None:
    """A stranger finds a host that can be reached at `at` only."""
    host = Node(directory / "host", at=world.host, settings=settings(upnp=True))
    visitor = Node(directory / "visitor", at=world.visitor, settings=settings())
    with running_origin(world.host) as origin:
        host.share("site", origin.port)
        with host, visitor:
            assert is_published(host, "site", at=at) == [at]
            label = host.label("site")
            assert curl(visitor.url_of(label), at=world.visitor).status == 200
            assert path(visitor, label) == ("DIRECT", "DHT", at)
