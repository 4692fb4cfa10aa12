"""What a node sends while nothing happens: DHT, discovery, router and keepalives together.

    host: 3 services, a port on its router, one visitor connected ─┐
    visitor: nothing but that session ─────────────────────────────┴─ internet ── a DHT of 30 nodes

Run alone: `python bench/idle.py --seconds 600` (root; Debian's dhtnode and miniupnpd).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from measures import Row

from tests.reach.world import DHT, World, is_published, settings
from tests.support.node import Node
from tests.support.programs import curl
from tests.upnp.home import PUBLIC, Box

SERVICES, DHT_NODES = 3, 30
SETTLE = 30.0  # seconds: the first announcements come closer together
ROWS = (
    Row("idle_host", "idle host with a visitor sends", "B/s", "less", "figure", 2000, None),
    Row("idle_visitor", "  and its visitor", "B/s", "less", "figure", 2000, None),
)


def idle_traffic(seconds: float) -> dict[str, float]:
    """Bytes a second that leave each machine's only interface, frames as they are on the wire."""
    with tempfile.TemporaryDirectory(prefix="hlb") as place, World() as world:
        world.start_upnpd()
        for number in range(5, DHT_NODES):
            world.run_on(world.dht, ["dhtnode", "-s", "-p", str(4222 + number), "-b", f"{DHT}:4222"])
        host = Node(Path(place) / "host", at=world.host, settings=settings(upnp=True))
        visitor = Node(Path(place) / "visitor", at=world.visitor, settings=settings(upnp=True))
        names = [f"service{number}" for number in range(SERVICES)]
        for name in names:
            host.share(name, 9)
        with host, visitor:
            for name in names:
                is_published(host, name, f"{PUBLIC}:7008", 60.0)
            answer = curl(visitor.url_of(host.label(names[0])), at=world.visitor, limit=20)
            assert answer.status == 502, f"nothing listens there, but the visit came through: {answer}"
            time.sleep(SETTLE)
            before, began = (sent(world.host), sent(world.visitor)), time.monotonic()
            time.sleep(seconds)
            took = time.monotonic() - began
            after = sent(world.host), sent(world.visitor)
    return {
        "idle_host": (after[0] - before[0]) / took,
        "idle_visitor": (after[1] - before[1]) / took,
    }


def sent(box: Box) -> int:
    """Bytes that a machine has sent so far."""
    return int(box.run(["cat", "/sys/class/net/eth0/statistics/tx_bytes"]))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    for key, value in idle_traffic(parser.parse_args().seconds).items():
        print(f"{key} {value:.0f} B/s")


if __name__ == "__main__":
    main()
