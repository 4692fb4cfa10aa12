"""For `--relay`: 200 MB through whole daemons on one machine: by a relay, directly, by a public port, by a public name.

    load ── visitor ══ TLS 1.3 ══ relay ══ host ── origin          load ── visitor ══ TLS 1.3 ══ host ── origin
    load ───────────────────────── relay ── host ── origin          curl ══ HTTPS ══ relay ══ host ── origin

The visitor finds the one host by the relay, and the other one in its network.  The certificate is Pebble's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

from daemons import Broken
from lab import inside
from load import Door, download, first_byte, median
from measures import Row
from origin import Origin
from relay_nodes import Quiet

from tests.https.pebble import running_pebble
from tests.support.node import free_port
from tests.support.waiting import wait_until
from tests.upnp.home import Box

_HERE, _THERE = "11.22.33.10", "11.22.33.11"
_BULK = 200_000_000
_REPEATS = 3
_NAME = "nas.example.org"
_PUBLIC_PORT = 20_007

ROWS = (
    Row("whole", "200 MB, whole daemons: by a relay", "MB/s", "more"),
    Row("share", "  of the direct path's", "×", "more", "figure", 0.85),
    Row("public", "  by a public port of the relay", "MB/s", "more"),
    Row("of_relayed", "  of the relayed path's", "×", "more", "figure", 0.9),
    Row("https", "  by a public name, as HTTPS", "MB/s", "more"),
    Row("named", "    of that by a relay", "×", "more", "figure", 0.9),
)


class Whole:
    """The daemons; they end with `stack`."""

    def __init__(self, place: Path, stack: contextlib.ExitStack) -> None:
        place.mkdir()
        there, self._here = (Box(f"hlw{os.getpid():x}-{number}") for number in range(2))
        for box in (there, self._here):
            stack.callback(box.close)
        there.ip(f"link add lan0 type veth peer name lan0 netns {self._here.namespace}")
        for box, address in ((there, _THERE), (self._here, _HERE)):
            box.ip("link set lan0 up", f"addr add {address}/24 brd + dev lan0", "route add default dev lan0")
        with inside(there.namespace):
            origin = Origin(place / "origin", _BULK)
        stack.callback(origin.stop)

        def run(name: str, more: str, at: Box = there, *, unpunched: bool = False) -> Quiet:
            node = Quiet(place / name, at=at, settings=more, unpunched=unpunched)
            node.localport, node.p2pport = free_port(), free_port()
            return stack.enter_context(node)

        far, port, trusted = "[LAN]\nenabled = no\n", free_port(), ""
        self._public, may = _PUBLIC_PORT, Quiet(place / "behind").key_hash
        named = f"allow = *\npublic_ports = {self._public}\npublic_allow = {may}\n"
        named += f"ports = {port}\ndomains = {_NAME} {may}\n"
        relay = run("relay", f"{far}[Relay]\nenabled = yes\n{named}")
        use = f"[Relay]\nuse = {relay.line(f'{_THERE}:{relay.p2pport}')}\n"
        if shutil.which("pebble"):
            pebble = stack.enter_context(running_pebble(place / "pebble", port, at=there, address=_THERE, names=_THERE))
            trusted, self._roots = pebble.settings, pebble.roots
        behind, near = run("behind", far + use + trusted), run("near", "")
        there.run(
            ["nft", "-f", "-"],
            "add table inet shut; add chain inet shut in { type filter hook input priority filter; }\n"
            f"add rule inet shut in iifname lan0 tcp dport {behind.p2pport} drop",
        )
        for host in (behind, near):
            host.share("site", origin.files_port)
        public = f"[Service]\nservice = http://127.0.0.1:{origin.files_port}\n[Public]\nport = {self._public}\n"
        behind.is_reached()
        behind.write("public", public)
        behind.is_public()
        self._port = port if trusted else 0
        if trusted:
            behind.write(
                "named", f"[Service]\nservice = 127.0.0.1\nport = {origin.files_port}\n[Public]\nname = {_NAME}\n"
            )
            wait_until(lambda: "certificate until" in behind.hardline("status").stdout, "it has a certificate")
        self._visitor = run("visitor", use, self._here, unpunched=True)
        self._labels = {"RELAYED": behind.label("site"), "LAN": near.label("site")}
        for label in self._labels.values():
            with inside(self._here.namespace):
                first_byte(self._door(label))

    def measure(self) -> dict[str, float]:
        """One round."""
        took = dict[str, list[float]]()
        for _ in range(_REPEATS):
            for kind, label in self._labels.items():
                with inside(self._here.namespace):
                    took.setdefault(kind, []).append(download(self._door(label), _BULK))
                if (seen := self._visitor.visited(label)) != kind:
                    raise Broken(f"visited by {seen} instead of {kind}")
            with inside(self._here.namespace):
                at = Door(self._public, "nobody.example", _THERE)
                took.setdefault("public", []).append(download(at, _BULK))
            if self._port:
                took.setdefault("HTTPS", []).append(self._by_name())
        relayed, direct = (median(took[kind]) for kind in self._labels)
        public = median(took["public"])
        figures = {
            "whole": _BULK / relayed / 1e6,
            "share": direct / relayed,
            "public": _BULK / public / 1e6,
            "of_relayed": relayed / public,
        }
        if self._port:
            figures |= {"https": _BULK / (named := median(took["HTTPS"])) / 1e6, "named": relayed / named}
        return figures

    def _by_name(self) -> float:
        """Seconds, connection included, by curl's own clock."""
        to = ["--cacert", str(self._roots), "--resolve", f"{_NAME}:{self._port}:{_THERE}"]
        said = ["-sS", "-o", "/dev/null", "-w", "%{size_download} %{time_total}"]
        command = ["curl", "-q", *to, *said, f"https://{_NAME}:{self._port}/bulk"]
        done = subprocess.run(self._here.wrap(command), capture_output=True, text=True, check=False)
        size, _, seconds = done.stdout.partition(" ")
        if size != str(_BULK):
            raise Broken(f"curl got {size} bytes: {done.stderr}")
        return float(seconds)

    def _door(self, label: str) -> Door:
        return Door(self._visitor.localport, f"{label}.localhost:{self._visitor.localport}")
