"""The process that OpenDHT lives in: killed and stopped beside running downloads, and absent where nobody needs it."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.reach.world import World, is_published, path, settings
from tests.support import needs
from tests.support.node import Node
from tests.support.origin import digest_of_bytes
from tests.support.programs import Download, curl, running_origin
from tests.support.waiting import wait_until
from tests.upnp.home import PUBLIC

pytestmark = [
    pytest.mark.netns,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "ss", "nft", "sysctl", "curl", "miniupnpd", "dhtnode"),
]

SIZE, RATE = 60_000_000, "4M"  # a download that takes longer than a child that hangs
MARGIN = 2.0


def dht(node: Node) -> dict[str, Any]:
    found: dict[str, Any] = node.status()["outside"]["dht"]["node"]
    return found


def children(node: Node) -> list[str]:
    """The command lines of a daemon's child processes."""
    tasks = Path(f"/proc/{node.process.pid}/task").iterdir()
    pids = [pid for task in tasks for pid in (task / "children").read_text().split()]
    return [Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in pids]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "limit"), [(signal.SIGKILL, 5.0), (signal.SIGSTOP, 10.0)])
def test_a_download_goes_on_while_the_dht_of_both_ends_comes_back(
    world: World, tmp_path: Path, number: signal.Signals, limit: float
) -> None:
    world.start_upnpd()
    host = Node(tmp_path / "host", at=world.host, settings=settings(upnp=True))
    visitor = Node(tmp_path / "visitor", at=world.guest, settings=settings())
    with running_origin(world.host) as origin:
        for name in ("site", "other"):
            host.share(name, origin.port)
        with host, visitor:
            for name in ("site", "other"):
                is_published(host, name, at=f"{PUBLIC}:7008")
            label, file = host.label("site"), tmp_path / "got"
            url = visitor.url_of(label, f"bytes/{SIZE}")
            with Download(url, file, "--limit-rate", RATE, at=world.guest) as download:
                download.has_received(1_000_000)
                assert path(visitor, label)[1] == "DHT"
                before = {node: dht(node)["pid"] for node in (host, visitor)}
                for pid in before.values():
                    os.kill(pid, number)
                began = time.monotonic()
                for node in (host, visitor):

                    def back(node: Node = node) -> bool:
                        now = dht(node)
                        return now["phase"] == "running" and now["good"] > 0 and now["pid"] != before[node]

                    wait_until(back, f"the child was back:\n{node.log[-2000:]}", limit + MARGIN, every=0.1)
                took, arrived = time.monotonic() - began, download.received
                assert download.running
                assert arrived > 1_000_000
                other = host.label("other")
                assert curl(visitor.url_of(other), at=world.guest).status == 200
                assert path(visitor, other)[1] == "DHT"
                assert download.exit_code() == 0
            print(f"{number.name}: back after {took:.2f} s")
            assert hashlib.sha256(file.read_bytes()).hexdigest() == digest_of_bytes(SIZE)


def test_who_only_visits_has_no_process_for_the_dht_before_a_visit_needs_it(world: World, tmp_path: Path) -> None:
    phone = world.machine("phone")
    world.plug(phone, world.home, 20)
    world.start_upnpd()
    host = Node(tmp_path / "host", at=world.host, settings=settings(upnp=True))
    visitor = Node(tmp_path / "visitor", at=phone, settings=settings(upnp=True))
    with running_origin(world.host) as origin:
        for name in ("site", "other"):
            host.share(name, origin.port)
        with host, visitor:
            for name in ("site", "other"):
                is_published(host, name, at=f"{PUBLIC}:7008")
            site, other = host.label("site"), host.label("other")
            assert curl(visitor.url_of(site), at=phone).status == 200
            assert path(visitor, site)[0] == "LAN"
            assert (dht(visitor)["phase"], dht(visitor)["pid"]) == ("idle", None)
            assert children(visitor) == []
            assert visitor.status()["outside"]["upnp"] is None
            world.plug(phone, world.away, 20)
            wait_until(lambda: curl(visitor.url_of(other), at=phone).status == 200, "found elsewhere", 10)
            assert path(visitor, other) == ("DIRECT", "DHT", f"{PUBLIC}:7008")
            assert [command for command in children(visitor) if "hardline.dht.child" in command]
            assert not [command for command in children(visitor) if "upnp" in command]
