"""For `--faults`: a host and a visitor with two relays, of which one dies, falls silent, comes back or is drained.

    visitor ── router ──┬── one relay ─────┬── router ── host          no router lets them meet otherwise
                        └── another one ───┘

A session is in use each time: somebody downloads by it.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from daemons import Broken
from faults_lab import Asking, Scene, Visitor, at_once, cut, is_reached, until
from measures import Row
from relay_nodes import Quiet

from tests.support.programs import Download
from tests.upnp.home import Box

_OUTAGES = (1.0, 6.0, 20.0)  # seconds, in turn: a host that waits longer asks again later
_SAID_WITHIN = 60.0
_BESIDE = 1.0  # seconds of requests before and after
_AT_ONCE = 4
_SLOWLY, _QUICKLY = "100k", "5M"  # bytes a second, of 20 MB: longer than anything here; over soon

ROWS = (
    Row("reset", "relay killed: the next request by another one", "s", "less", "figure", 1.0),
    Row("reset_worst", "  the slowest", "s", "less", "figure", 1.0),
    Row("reset_said", "  said in the host's status, the slowest", "s", "less", "figure", 5.0),
    Row("restarted", "  started again: registered there, and reached", "s", "less", "figure", 10.0),
    Row("restarted_worst", "    the slowest", "s", "less", "figure", 10.0),
    Row("silent", "relay silent, session in use: the next request by another one", "s", "less", "figure", 5.0),
    Row("silent_worst", "  the slowest", "s", "less", "figure", 5.0),
    Row("silent_said", "  said in the host's status, the slowest", "s", "less", "figure", 26.0),
    Row("healed", "  healed: registered there, and reached", "s", "less"),
    Row("drain_asked", "relay drained and stopped: requests meanwhile", "", "more"),
    Row("drain_failed", "  of which failed", "", "less", "figure", 0),
)
# Row → what it is made of, in all rounds.
OF_ALL_ROUNDS = {
    "reset_worst": ("reset", max),
    "restarted_worst": ("restarted", max),
    "silent_worst": ("silent", max),
    "reset_said": ("reset_said", max),
    "silent_said": ("silent_said", max),
    "drain_asked": ("drain_asked", sum),
    "drain_failed": ("drain_failed", sum),
}


class Relays:
    """The daemons; they end with `stack`."""

    def __init__(self, place: Path, stack: contextlib.ExitStack) -> None:
        scene = Scene(place, stack)
        self._place, self._lab = place, scene.lab
        for router in (self._lab.ra, self._lab.rb):
            self._lab.nat(router, "symm")
        boxes = {"11.22.33.10:7008": self._lab.p, "11.22.33.11:7008": self._lab.machine("q")}
        self._relays: dict[str, tuple[Box, Quiet]] = {
            at: (box, scene.relay(f"relay{number}", box, at.partition(":")[0]))
            for number, (at, box) in enumerate(boxes.items())
        }
        self._host = scene.host("host", self._lab.a)
        self._label = self._host.label("site")
        self._visitor: Visitor = stack.enter_context(scene.visitor("visitor", self._lab.b, "punch = no\n"))

    def measure(self, number: int) -> dict[str, float]:
        """One round."""
        return {**self._dies(_OUTAGES[number % len(_OUTAGES)]), **self._falls_silent(), **self._is_drained()}

    def _dies(self, outage: float) -> dict[str, float]:
        by = self._by()
        _, relay = self._relays[by]
        with self._download():
            relay.kill()
            began = time.perf_counter()
            took, said = self._served_and_said(by)
        time.sleep(max(0.0, outage - (time.perf_counter() - began)))
        relay.start()
        back = until(lambda: is_reached(self._host), f"the host is back at {by}")
        return {"reset": took, "reset_said": said, "restarted": back}

    def _falls_silent(self) -> dict[str, float]:
        by = self._by()
        box, _ = self._relays[by]
        with self._download():
            cut(self._lab, box, (self._lab.ra, self._lab.rb))
            took, said = self._served_and_said(by)
        self._lab.unmute()
        healed = until(lambda: is_reached(self._host), f"the host is back at {by}")
        return {"silent": took, "silent_said": said, "healed": healed}

    def _is_drained(self) -> dict[str, float]:
        by = self._by()
        _, relay = self._relays[by]
        many = [Asking(self._visitor, self._label) for _ in range(_AT_ONCE)]
        with contextlib.ExitStack() as asking, self._download(_QUICKLY) as download:
            for one in many:
                asking.enter_context(one.meanwhile())
            time.sleep(_BESIDE)
            done = relay.hardline("relay", "--drain")
            if done.returncode:
                raise Broken(f"hardline relay --drain: {done.stderr}")
            until(lambda: self._goes_by() != by, "new streams go by the other relay")
            until(lambda: not relay.says()["relays"]["served"]["pairs"], "nobody goes by it any more")
            relay.stop()
            time.sleep(_BESIDE)
            failures = ["a download was cut"] if download.exit_code() else []
        relay.start()
        until(lambda: is_reached(self._host), f"the host is back at {by}")
        failures += [failure for one in many for failure in one.failures]
        if failures:
            print(f"while a relay was drained: {failures[0]}", flush=True)
        return {"drain_asked": 1 + sum(one.asked for one in many), "drain_failed": len(failures)}

    def _served_and_said(self, by: str) -> tuple[float, float]:
        """Seconds until a page comes by the other relay, and until the host says that it is lost."""

        def one(what: str) -> tuple[str, float]:
            if what == "served":
                return what, self._visitor.served_again(self._label, by)[0]
            return what, until(lambda: self._state(by) != "registered", "the host says so", _SAID_WITHIN)

        took: dict[str, float] = dict(at_once(one, ("served", "said")))
        return took["served"], took["said"]

    def _state(self, by: str) -> str:
        return next(str(one["state"]) for one in self._host.says()["relays"]["used"] if one["endpoint"] == by)

    def _by(self) -> str:
        """By which relay it is visited now."""
        self._visitor.visit(self._label)
        visit = self._visitor.last(self._label)
        if visit["kind"] != "RELAYED":
            raise Broken(f"visited by {visit['kind']}")
        return str(visit["endpoint"])

    def _goes_by(self) -> str:
        return next((str(one["endpoint"]) for one in self._visitor.sessions(self._label)), "")

    def _download(self, rate: str = _SLOWLY) -> Download:
        """One of so many bytes a second, which has begun."""
        part = self._place / "part"
        part.unlink(missing_ok=True)
        url = self._visitor.url_of(self._label, "bulk")
        download = Download(url, part, "--limit-rate", rate, at=self._lab.b)
        download.has_received(1)
        return download
