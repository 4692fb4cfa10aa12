"""Found from anywhere by nothing but the key hash: through the DHT, behind routers, with one version of IP."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.reach.world import PROXY, World, is_published, path, settings
from tests.support import needs
from tests.support.node import Node
from tests.support.programs import curl, running_origin
from tests.upnp.home import PUBLIC

pytestmark = [
    pytest.mark.netns,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "ss", "nft", "sysctl", "curl", "miniupnpd", "dhtnode"),
]

COLD, WARM = 8.0, 2.0  # seconds to the first byte: several times what it takes on a quiet machine


def test_a_stranger_behind_nat_finds_a_host_behind_a_router_by_its_key_hash_alone(world: World, tmp_path: Path) -> None:
    world.start_upnpd()
    host = Node(tmp_path / "host", at=world.host, settings=settings(upnp=True))
    visitor = Node(tmp_path / "visitor", at=world.guest, settings=settings())
    with running_origin(world.host) as origin:
        for name in ("one", "two"):
            host.share(name, origin.port)
        with host:
            for name in ("one", "two"):
                is_published(host, name, at=f"{PUBLIC}:7008")
            # Not before the router had answered: a value stays for ten minutes, and originals read any.
            assert host.log.count("INFO    dht.announced") == 2
            one, two = host.label("one"), host.label("two")
            began = time.monotonic()
            with visitor:
                cold = curl(visitor.url_of(one), at=world.guest)
                cold_s = time.monotonic() - began
                warm = curl(visitor.url_of(two), at=world.guest)
                assert (cold.status, warm.status) == (200, 200), visitor.log
                for label in (one, two):
                    assert path(visitor, label) == ("DIRECT", "DHT", f"{PUBLIC}:7008")
                for session in visitor.sessions("visiting"):
                    assert "LAN: nothing found" in session["passed_over"]
                print(
                    f"first byte: cold daemon {cold_s:.2f} s ({cold.first_byte:.2f}), warm node {warm.first_byte:.3f} s"
                )
                assert cold_s < COLD
                assert warm.first_byte < WARM


@pytest.mark.slow
def test_where_udp_is_blocked_both_use_the_proxies_of_the_dht(world: World, tmp_path: Path) -> None:
    world.forward(7008)
    for box in (world.host, world.guest):
        box.run(["nft", "-f", "-"], _NO_UDP)
    public = f"[Node]\npublic = {PUBLIC}:7008\n"
    host = Node(tmp_path / "host", at=world.host, settings=settings(proxies=world.proxy(), more=public))
    visitor = Node(tmp_path / "visitor", at=world.guest, settings=settings(proxies=PROXY))
    with running_origin(world.host) as origin:
        host.share("site", origin.port)
        with host, visitor:
            is_published(host, "site", at=f"{PUBLIC}:7008")
            label = host.label("site")
            answer = curl(visitor.url_of(label), at=world.guest)
            assert answer.status == 200
            assert path(visitor, label) == ("DIRECT", "DHT", f"{PUBLIC}:7008")
            for node in (host, visitor):
                dht = node.status()["outside"]["dht"]
                assert (dht["used"], dht["node"]["good"]) == ("proxies", 0)
                assert [(proxy["url"], proxy["state"]) for proxy in dht["proxies"]] == [(PROXY, "connected")]
    print(f"by proxies, from a cold start: {answer.first_byte:.2f} s")
    assert answer.first_byte < COLD


_NO_UDP = """
table inet web {
  chain output { type filter hook output priority filter; meta l4proto udp drop; }
  chain input { type filter hook input priority filter; meta l4proto udp drop; }
}
"""
