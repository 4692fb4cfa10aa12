"""`--links`: a link that is kept warm ([Peer:NAME]), beside plain TCP over the same way; and certificates.

    client ── 127.0.0.1:8080 ── visitor ══ a way of 100 ms, or 150 ms and 30 Mbit/s ══ host ── service
    client ───────────────────────────── the same way ─────────────────────────────────────── service      TCP

The way is links_way.py's, links_long.py is about the narrow one, links_named.py about certificates.  The TCP is a
connection that is made for the first request and kept.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import lab
import links_long
import links_named
from daemons import Broken
from links_way import HOST, Link, Way, settings
from load import median
from measures import Row
from relay_nodes import Quiet

from hardline.settings.peers import PeerSection
from tests.support.programs import Answer, curl

RIVAL = "TCP"
_ROUND_TRIP = 0.1  # seconds
_QUIET = 3.0  # seconds without a request, before the first
_ASKED = 5  # how often, at the port and at the door, while the link is down
_INTERVAL = PeerSection().connect_interval

ROWS = (
    Row("trip", f"a way of {1e3 * _ROUND_TRIP:g} ms: TCP connect through it", "ms", "less"),
    Row("first", "  first request, first byte", "RTT", "less", "figure", 1.5),
    Row("second", "  the second", "RTT", "less"),
    Row("same", "  the first, of the second", "×", "less", "figure", 1.1),
    Row("first_worst", "  the slowest first one", "RTT", "less"),
    Row("flows", "  connections that both begin over the way", "", "less", "figure", 0),
    Row("said", "  way cut: said to be down after", "s", "less"),
    Row("said_worst", "    way cut: said at the latest after", "s", "less", "figure", 5.0),
    Row("refused", "  then a request has its 503 after", "ms", "less"),
    Row("refused_worst", "    a 503 at the latest after", "ms", "less", "figure", 50.0),
    Row("back", f"  way restored, tried every {_INTERVAL:g} s: up after", "s", "less"),
    Row("back_worst", "    way restored: up at the latest after", "s", "less", "figure", _INTERVAL + 1.0),
    *links_long.ROWS,
    *links_named.ROWS,
)
_WORST = ("first", "said", "refused", "back", "certified")


def run(
    place: Path, stack: contextlib.ExitStack, rounds: int
) -> tuple[Sequence[Row], dict[str, dict[str, list[float | None]]], list[str]]:
    """All rounds; figures as the loopback's."""
    missing = [tool for tool in ("ip", "nft", "tc", "sysctl", "curl") if shutil.which(tool) is None]
    if os.geteuid() != 0 or missing:
        raise SystemExit(f"--links needs root{''.join(f', {tool}' for tool in missing)}")
    figures: dict[str, dict[str, list[float | None]]] = {"hardline": {}, RIVAL: {}}
    errors: list[str] = []

    def noted(what: str, measure: Callable[[int], Mapping[str, Mapping[str, float]]]) -> None:
        for number in range(rounds):
            try:
                for name, seen in measure(number).items():
                    for key, value in seen.items():
                        figures.setdefault(name, {}).setdefault(key, [None] * rounds)[number] = value
            except (Broken, OSError, AssertionError, subprocess.SubprocessError) as failure:
                errors.append(f"{what}, round {number + 1}: {str(failure)[:500]}")
            print(f"{what}, round {number + 1} of {rounds}", flush=True)

    with contextlib.ExitStack() as inner:
        noted("far away", Far(place / "far", inner).measure)
    with contextlib.ExitStack() as inner:
        noted("much at once", links_long.Long(place / "long", inner).measure)
    if why := links_named.impossible():
        print(f"certificates: left out: {why}", flush=True)
    else:
        with contextlib.ExitStack() as inner:
            noted("certificates", links_named.Named(place / "named", inner).measure)
    ours = figures["hardline"]
    for key in _WORST:
        each = ours.get(f"{key}_worst") or ours.get(key, [])
        if seen := [value for value in each if value is not None]:
            ours[f"{key}_worst"] = [max(seen)]
    return ROWS, figures, errors


class Far:
    """A host and a service far away; they end with `stack`."""

    def __init__(self, place: Path, stack: contextlib.ExitStack) -> None:
        self._place = place
        self._way = Way(place, stack, _ROUND_TRIP, 0)
        self._host = stack.enter_context(Quiet(place / "host", at=self._way.host, settings=settings()))
        self._host.share("site", self._way.origin.files_port)

    def measure(self, number: int) -> dict[str, dict[str, float]]:
        """One round, of a visitor that is started for it."""
        kept = settings({self._host.p2pport: self._host.label("site")})
        with Quiet(self._place / f"visitor{number}", at=self._way.visitor, settings=kept) as visitor:
            link = Link(visitor)
            link.comes_to("up")
            time.sleep(_QUIET)
            return {"hardline": self._first_requests(link) | self._cut(link, number), RIVAL: self._plain()}

    def _first_requests(self, link: Link) -> dict[str, float]:
        trip = self._trip()
        before = self._begun()
        answers = [self._asked(link, 200) for _ in range(2)]
        begun = self._begun() - before - len(answers)  # curl's own, to the port
        first, second = (answer.first_byte for answer in answers)
        return {
            "trip": 1e3 * trip,
            "first": first / trip,
            "second": second / trip,
            "same": first / second,
            "flows": begun,
        }

    def _cut(self, link: Link, number: int) -> dict[str, float]:
        began = time.perf_counter()
        self._way.falls_silent()
        link.comes_to("down")
        said = time.perf_counter() - began
        door = f"http://{link.state['label']}.localhost:7009/"
        refused = [self._asked(link, 503, at) for _ in range(_ASKED) for at in ("", door)]
        time.sleep(number % 5 / 5 * _INTERVAL)  # the way may come back at any time between two attempts
        began = time.perf_counter()
        self._way.is_restored()
        link.comes_to("up")
        back = time.perf_counter() - began
        self._asked(link, 200)
        waits = [1e3 * answer.first_byte for answer in refused]
        return {"said": said, "refused": median(waits), "refused_worst": max(waits), "back": back}

    def _plain(self) -> dict[str, float]:
        trip = self._trip()
        client = links_long.Client(self._way.address, self._way.origin)
        with lab.inside(self._way.visitor.namespace), client:
            first, second = (client.get("/tiny").first_byte for _ in range(2))
        return {"trip": 1e3 * trip, "first": first / trip, "second": second / trip}

    def _asked(self, link: Link, status: int, at: str = "") -> Answer:
        answer = curl(at or f"http://{link.address[0]}:{link.address[1]}/tiny", at=self._way.visitor)
        if answer.status != status:
            raise Broken(f"answered {answer.status} instead of {status}: {answer.body[:200]!r} {answer.complaint}")
        return answer

    def _trip(self) -> float:
        with lab.inside(self._way.visitor.namespace):
            return median([lab.connect(HOST) for _ in range(5)])

    def _begun(self) -> int:
        """How many TCP connections were begun on the visitor's machine so far."""
        names, figures = (
            line.split()
            for line in self._way.visitor.run(["cat", "/proc/net/snmp"]).splitlines()
            if line.startswith("Tcp:")
        )
        return int(figures[names.index("ActiveOpens")])
