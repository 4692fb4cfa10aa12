"""For `--relay`: whole daemons behind routers, far from each other and from the relay.

    visitor ── router ── 30 ms ──┐                              first by the relay, of which it knows from visits before
                                 ├── relay
    host ───── router ── 20 ms ──┘                              then through both routers, 100 ms

The laboratory is tests/punch/lab.py.  A cold visit is one of a daemon that runs and whose session was given up.  Needs
root, and what those tests need.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lab
from daemons import Broken
from load import Door, first_byte, median
from measures import Row
from origin import Origin
from relay_nodes import Quiet
from relay_ways import client_hello

from hardline.identity import KeyHash, utc_day
from hardline.relay.parking import PARK
from tests.punch.lab import Lab
from tests.reach.world import settings
from tests.support.node import free_port
from tests.support.waiting import wait_until
from tests.upnp.home import Box

_OWN = 15.0  # ms that the daemons may take, all together
TRIES = 20
_PUNCHED_WITHIN = 8.0  # seconds
_RELAY = ("11.22.33.10", 7008)
_NOBODY = tuple(f"11.50.0.{number}:7008" for number in range(1, 5))

ROWS = (
    Row("there", "far away: round trip from the visitor to the relay", "ms", "less"),
    Row("beyond", "  from the relay to the host", "ms", "less"),
    Row("far", "  first byte by it, cold", "ms", "less"),
    Row("own", "    over 3 + 2 round trips", "ms", "less", "figure", _OWN),
    Row("third", "    of the third of three at once, over 3 + 4", "ms", "less", "figure", _OWN),
    Row("fresh", "    of a daemon that was just started", "ms", "less"),
    Row("dead", "    more with four addresses where nobody answers", "ms", "less", "figure", 300.0),
    Row("beside", "    beside punching, of that without", "×", "less", "figure", 1.05),
    Row("warm", "  warm, over 1 + 1 round trips", "ms", "less", "figure", _OWN),
    Row("try", "  what a try to get through the routers passes over the relay", "kB", "less", "figure", 6.0),
    Row("direct", f"  of {TRIES} tries: direct", "", "more", "figure", 0.95 * TRIES),
    Row("moved", "    from the first byte until new streams go there, median", "s", "less"),
    Row("slowest", "    the slowest of those", "s", "less", "figure", 1.0),
)


class Far:
    """The laboratory with all that runs in it: a context manager."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._stack = contextlib.ExitStack()
        self._tries = list[float | None]()  # seconds

    def __enter__(self) -> Far:
        with self._stack:
            self._build()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *failure: Any) -> None:
        self._stack.__exit__(*failure)

    def _build(self) -> None:
        self._place.mkdir()
        self._lab = self._stack.enter_context(Lab())
        self._relay = self._run("relay", self._lab.p, "[Relay]\nenabled = yes\nallow = *\n")
        use = f"[Relay]\nuse = {self._relay.line(f'{_RELAY[0]}:{_RELAY[1]}')}\n"
        other = self._lab.machine("d", self._lab.ra)
        self._host = self._hosting("host", self._lab.a, use)
        self._dead = self._hosting("dead", other, f"{use}[Node]\npublic = {', '.join(_NOBODY)}\n")
        self._punched = self._visitor("punched", use)
        self._unpunched = self._visitor("plain", use, unpunched=True)
        for one in (self._punched, self._unpunched):
            with one:
                self._visit(one, self._host)
                self._visit(one, self._dead)

    def _run(self, name: str, at: Any, more: str) -> Quiet:
        return self._stack.enter_context(Quiet(self._place / name, at=at, settings=settings(dht=False, more=more)))

    def _hosting(self, name: str, at: Any, more: str) -> str:
        """The label of a service of another host."""
        with lab.inside(at.namespace):
            origin = Origin(self._place / f"{name}-origin", 1_000_000)
        self._stack.callback(origin.stop)
        host = self._run(name, at, more)
        host.share("site", origin.files_port)
        host.is_reached()
        return host.label("site")

    def _visitor(self, name: str, use: str, *, unpunched: bool = False) -> Quiet:
        """Not started."""
        more = settings(dht=False, more=f"{use}[Session]\nkeepwarm = 1s\n")
        visitor = Quiet(self._place / name, at=self._lab.b, settings=more, unpunched=unpunched)
        visitor.localport, visitor.p2pport = free_port(), free_port()
        return visitor

    def _visit(self, visitor: Quiet, label: str) -> float:
        """ms to the first byte, which comes by the relay."""
        with lab.inside(self._lab.b.namespace):
            took = first_byte(Door(visitor.localport, f"{label}.localhost:{visitor.localport}"))
        if (kind := visitor.visited(label)) != "RELAYED":
            raise Broken(f"visited by {kind} instead of by the relay")
        return 1e3 * took

    # What is measured.

    def measure(self, tries: int) -> dict[str, float]:
        """One round, with so many of the tries to get a path of one's own."""
        cold, plain, warm, dead, third = (list[float]() for _ in range(5))
        passed, passed_plain = list[float](), list[float]()
        there, beyond = self._round_trip(self._lab.b), self._round_trip(self._lab.a)
        with self._unpunched:
            fresh = [self._visit(self._unpunched, self._host)]
            for _ in range(-(-tries // 2)):  # a visitor whose second path ends soon has no third one for some time
                with self._punched:
                    fresh.append(self._visit(self._punched, self._host))
                    self._tries.append(self._moves(time.perf_counter()))
                    before = self._given_up()
                    cold.append(self._visit(self._punched, self._host))
                    self._tries.append(self._moves(time.perf_counter()))
                    if self._tries[-1] is not None:
                        passed.append(self._passed() - before)
                before = self._given_up()
                plain.append(self._visit(self._unpunched, self._host))
                passed_plain.append(self._passed() - before)
                warm.append(self._visit(self._unpunched, self._host))
                dead.append(self._visit(self._unpunched, self._dead))
            self._given_up()
            third.append(self._third())
        seen = {
            "there": there,
            "beyond": beyond,
            "fresh": median(fresh),
            "far": median(cold),
            "own": median(cold) - 3 * there - 2 * beyond,
            "third": median(third) - 3 * there - 4 * beyond,
            "warm": median(warm) - there - beyond,
            "dead": median(dead) - median(plain),
            "beside": median(cold) / median(plain),
        }
        return seen | ({"try": (median(passed) - median(passed_plain)) / 1e3} if passed else {})

    def tried(self) -> dict[str, float]:
        """What came of all tries."""
        tries = self._tries[:TRIES]
        direct = [one for one in tries if one is not None]
        told = {"direct": TRIES / len(tries) * len(direct)}
        return told | ({"moved": median(direct), "slowest": max(direct)} if direct else {})

    def _moves(self, began: float) -> float | None:
        """Seconds from then until new streams go another way than by the relay, once nothing goes by it any more; None
        where they stay."""
        took = None
        while time.perf_counter() < began + _PUNCHED_WITHIN:
            sessions = [one for one in self._punched.says()["sessions"] if one["role"] == "visiting"]
            kinds = {one["kind"] for one in sessions if not one["draining"]}
            if took is None and "PUNCHED" in kinds:
                took = time.perf_counter() - began
            if took is not None and len(sessions) == 1 and not self._relay.says()["relays"]["served"]["pairs"]:
                return took
            time.sleep(0.01)
        return took

    def _third(self) -> float:
        """ms to the first byte of the third of three who come at once: for two the host has connected before."""
        hello = client_hello(KeyHash.parse(self._host).rolling(utc_day(time.time())))
        with contextlib.ExitStack() as stack, lab.inside(self._lab.b.namespace):
            others = [stack.enter_context(socket.create_connection(_RELAY, timeout=10)) for _ in range(PARK)]
            # What the visitor says comes to the relay 90 ms after it begins, and others are ready 80 after two went.
            sending = threading.Timer(0.04, _send, (others, hello))
            sending.start()
            try:
                return self._visit(self._unpunched, self._host)
            finally:
                sending.join()

    def _given_up(self) -> int:
        """Wait until nobody visits anybody; returns what the relay has passed."""
        running = [one for one in (self._punched, self._unpunched) if one.running]

        def alone() -> bool:
            held = [one for node in running for one in node.says()["sessions"] if one["role"] == "visiting"]
            return not held and not self._relay.says()["relays"]["served"]["pairs"]

        wait_until(alone, "all sessions were given up", every=0.05)
        return self._passed()

    def _round_trip(self, box: Box) -> float:
        """ms from a machine to the relay and back: a connection that is refused."""
        with lab.inside(box.namespace):
            return 1e3 * median([lab.connect(_RELAY[0]) for _ in range(5)])

    def _passed(self) -> int:
        """Bytes that the relay has carried, since visits have ended."""
        return int(self._relay.says()["relays"]["served"]["passed"])


def _send(everywhere: Sequence[socket.socket], what: bytes) -> None:
    for one in everywhere:
        one.sendall(what)
