"""For `--faults`: the direct path's figures where a relay is in use and routers may be got through, and where not.

    load ── visitor ══ TLS 1.3 ══ host ── origin          the same two daemons twice, of which one pair uses a relay

Everything on 127.0.0.1, as without options; each is measured right after the other.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from contestants import Hardline
from daemons import Broken, Daemon, ReadySocket, free_port
from faults_lab import until
from load import first_byte, median
from measures import EACH_ROUND, Row, Sizes
from origin import Origin
from sites import Loopback

from hardline import certificates
from hardline.asking import ask

_MEASURES = ("bulk", "new", "ka1", "ka32")
_SIZES = Sizes()
_COUNTED = ("new", "ka1")  # as many requests each time
_TURNS = 5  # in a round

ROWS = (
    Row("direct_down", "direct path with a relay in use, of that without: download", "×", "more", "figure", 0.95),
    Row("direct_up", "  upload", "×", "more", "figure", 0.95),
    Row("direct_cpu", "  processor per GB", "×", "less", "figure", 1.05),
    Row("direct_new", "  new connection, first byte", "×", "less", "figure", 1.05),
    Row("direct_new_cpu", "    processor", "×", "less", "figure", 1.05),
    Row("direct_ka1", "  keep-alive, 1 connection", "×", "less", "figure", 1.05),
    Row("direct_ka1_cpu", "    processor", "×", "less", "figure", 1.05),
    Row("direct_ka32", "  keep-alive, 32 connections", "×", "more", "figure", 0.95),
)


class Direct:
    """The daemons; they end with `stack`."""

    def __init__(self, place: Path, stack: contextlib.ExitStack) -> None:
        place.mkdir()
        origin = Origin(place / "origin", _SIZES.bulk_bytes)
        stack.callback(origin.stop)
        use = _relay(place / "relay", stack)
        self._ways = [Hardline(origin, Loopback(), place / name) for name in ("using", "without")]
        self._ways[0].settings = f"[Relay]\nuse = {use}\n"
        for way in self._ways:
            stack.callback(way.stop)
            way.start()

        def is_registered() -> bool:
            used = ask(place / "using" / "host", "status")["relays"]["used"]
            return bool(used) and all(one["state"] == "registered" for one in used)

        until(is_registered, "the host is registered at the relay", 30.0)
        first_byte(self._ways[0].files)
        sessions = ask(place / "using" / "visitor", "status")["sessions"]
        if {one["kind"] for one in sessions if one["role"] == "visiting"} != {"LAN"}:
            raise Broken(f"visited by another path than the direct one: {sessions}")

    def measure(self, number: int) -> dict[str, float]:
        """One round: the medians of what each turn's two figures, right after one another, are to each other."""
        ratios = dict[str, list[float]]()
        for name in _MEASURES:
            for turn in range(_TURNS):
                seen: list[dict[str, float]] = [{}, {}]
                for which in (0, 1) if (number + turn) % 2 else (1, 0):
                    seen[which] = _seen(self._ways[which], name)
                using, without = seen
                for key in using:
                    ratios.setdefault(f"direct_{key}", []).append(using[key] / without[key])
        return {row.key: median(ratios[row.key]) for row in ROWS}


def _seen(way: Hardline, name: str) -> dict[str, float]:
    """A measure's figures, and of one that counts requests what these cost."""
    way.settle()
    began = way.cpu()
    seen = EACH_ROUND[name](way, _SIZES)
    if name in _COUNTED:
        seen[f"{name}_cpu"] = way.cpu() - began
    return seen


def _relay(here: Path, stack: contextlib.ExitStack) -> str:
    """Start one for everybody; the value of [Relay] use."""
    (here / "services").mkdir(parents=True)
    port, ready, config = free_port(), ReadySocket(here / "ready"), here / "hardline.ini"
    config.write_text(
        f"[Node]\nbind = 127.0.0.1\nlocalport = 0\np2pport = {port}\n[LAN]\nenabled = no\n[DHT]\nenabled = no\n"
        "[UPnP]\nenabled = no\n[Relay]\nenabled = yes\nallow = *\n"
    )
    command = [sys.executable, "-m", "hardline.hardlined", "--config", str(config)]
    command += ["--datadir", str(here / "data"), "--servicedir", str(here / "services")]
    daemon = Daemon("relay", command, here / "log", ready.env)
    stack.callback(daemon.stop)
    ready.wait(daemon)
    return f"127.0.0.1:{port}#{certificates.load(here / 'data' / 'node.cert').key_hash} named"
