"""For `--links`: two machines with one way between them, which is long, may be narrow, and can fall silent.

    visitor 10.78.0.1 ── lan0 ── wire ── lan0 ── 10.78.0.2 host          needs root, iproute2, nftables

Everything is in namespaces of its own, and nothing leads out of them.  The wire is lab.py's.  The service is the nginx
that everybody proxies, and listens on the way, too: for who comes by plain TCP.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lab
from daemons import Daemon
from origin import Origin
from relay_nodes import Quiet

from tests.support.waiting import wait_until
from tests.upnp.home import Box

VISITOR, HOST = "10.78.0.1", "10.78.0.2"
_FIRST_LINK = 8080
_LOOK = 0.005  # seconds between two looks at a link
_SILENT = """
add table netdev silent
delete table netdev silent
table netdev silent { chain in { type filter hook ingress device "lan0" priority 0
%s
}
}
"""


class Way:
    """It ends with `stack`.  `round_trip` in seconds; `megabits` per second each way, as many as there are if None.

    `origin` is the service, with so many bytes of `bulk`.
    """

    def __init__(
        self, place: Path, stack: contextlib.ExitStack, round_trip: float, bulk: int, megabits: float | None = None
    ) -> None:
        place.mkdir()
        self.visitor, self.host, middle = (self._box(stack, place.name, name) for name in ("v", "h", "m"))
        for box, end, address in ((self.visitor, "tov", VISITOR), (self.host, "toh", HOST)):
            middle.ip(f"link add {end} type veth peer name lan0 netns {box.namespace}", f"link set {end} up")
            box.ip("link set lan0 up", f"addr add {address}/24 brd + dev lan0", "route add default dev lan0")
            if megabits is not None:  # and up to 0.3 s of it wait
                rate = ["rate", f"{megabits:g}mbit", "burst", "64kb", "latency", "300ms"]
                box.run(["tc", "qdisc", "replace", "dev", "lan0", "root", "tbf", *rate])
        with lab.inside(middle.namespace):
            wire = Daemon("wire", [sys.executable, lab.__file__, "tov", "toh", f"{round_trip / 2}"], place / "wire.log")
        stack.callback(wire.stop)
        with lab.inside(self.host.namespace):
            self.origin = Origin(place / "origin", bulk, "0.0.0.0")
        stack.callback(self.origin.stop)
        self.address = (HOST, self.origin.files_port)

    @staticmethod
    def _box(stack: contextlib.ExitStack, place: str, name: str) -> Box:
        box = Box(f"hlk{os.getpid():x}{place}{name}")
        stack.callback(box.close)
        return box

    def falls_silent(self) -> None:
        """From now on nothing arrives, and nobody is told."""
        self._silent("drop")

    def is_restored(self) -> None:
        """What is sent arrives again."""
        self._silent("")

    def _silent(self, rule: str) -> None:
        for box in (self.visitor, self.host):
            box.run(["nft", "-f", "-"], _SILENT % rule)


class Link:
    """One [Peer:NAME] of a visitor: its port is at `address`."""

    def __init__(self, node: Quiet, number: int = 0) -> None:
        self._node, self._number = node, number
        self.address = ("127.0.0.1", _FIRST_LINK + number)

    @property
    def state(self) -> dict[str, Any]:
        """What status says of it."""
        found: dict[str, Any] = self._node.says()["links"][self._number]
        return found

    def comes_to(self, state: str) -> None:
        """Wait until it is "up", or "down"."""
        wait_until(lambda: self.state["state"] == state, f"the link is {state}", every=_LOOK)


def settings(labels: Mapping[int, str] | None = None, more: str = "") -> str:
    """Of a node that finds nobody by itself; `labels` are those that it keeps links with, by the host's port."""
    links = "".join(
        f"[Peer:link{number}]\nlabel = {label}\naddress = {HOST}:{port}\nlisten = 127.0.0.1:{_FIRST_LINK + number}\n"
        for number, (port, label) in enumerate((labels or {}).items())
    )
    return f"[LAN]\nenabled = no\n{links}{more}"
