"""For `--faults`: a link that comes and goes, 20 s and 20 s; there is another way, by a relay.

It runs beside the others, in a laboratory of its own: nearly all of its time is waiting.
"""

from __future__ import annotations

import contextlib
import threading
import time
from itertools import pairwise
from pathlib import Path

from daemons import Broken
from faults_lab import Scene, cut, until
from measures import Row

SECONDS = 600.0  # that count
_THERE, _GONE = 20.0, 20.0
_LOOK = 1.0
_FREE = 2  # changes of path that are not counted

ROWS = (
    Row("flaps", "link that flaps 20 s/20 s: changes of path in 10 min after two", "", "less", "figure", 2),
    Row("flaps_failed", "  requests that failed, of 100", "%", "less"),
)


class Flap(threading.Thread):
    """Begins with `start`; `figures` are there when it has ended, or `problem` says why not."""

    def __init__(self, place: Path, seconds: float) -> None:
        super().__init__(daemon=True)
        self._place, self._seconds = place, seconds
        self._over = threading.Event()
        self.figures: dict[str, float] = {}
        self.problem = ""

    def stop(self) -> None:
        """End it, figures or none."""
        self._over.set()
        self.join()

    def run(self) -> None:
        """Watch it."""
        try:
            with contextlib.ExitStack() as stack:
                self.figures = self._watch(stack)
        except (Broken, OSError, AssertionError, LookupError) as failure:
            self.problem = str(failure)[:500]

    def _watch(self, stack: contextlib.ExitStack) -> dict[str, float]:
        scene = Scene(self._place, stack)
        scene.relay("relay", scene.lab.p, "11.22.33.10")
        label = scene.host("host", scene.lab.a).label("site")
        visitor = stack.enter_context(scene.visitor("visitor", scene.lab.b))

        def is_punched() -> bool:
            visitor.visit(label)
            return visitor.goes_by(label) == "PUNCHED"

        until(is_punched, "it has a path of its own", 60.0, 0.2)
        kinds, asked, failed = [(time.monotonic(), "PUNCHED")], 0, 0
        began, there = time.monotonic(), True
        while not self._over.is_set() and not self._is_enough(kinds):
            is_there = (time.monotonic() - began) % (_GONE + _THERE) >= _GONE
            if is_there != there:
                there = is_there
                if there:
                    scene.lab.unmute()
                else:
                    cut(scene.lab, scene.lab.ra, [scene.lab.rb])
            asked += 1
            try:
                visitor.visit(label)
            except (Broken, OSError):
                failed += 1
            else:
                kinds.append((time.monotonic(), visitor.last(label)["kind"]))
            self._over.wait(_LOOK)
        changes = _changes(kinds)
        if len(changes) < _FREE:
            raise Broken(f"the link's path changed {len(changes)} times only")
        counted = [at for at in changes[_FREE:] if at < changes[_FREE - 1] + self._seconds]
        return {"flaps": len(counted), "flaps_failed": 100 * failed / asked}

    def _is_enough(self, kinds: list[tuple[float, str]]) -> bool:
        changes = _changes(kinds)
        return len(changes) >= _FREE and time.monotonic() > changes[_FREE - 1] + self._seconds


def _changes(kinds: list[tuple[float, str]]) -> list[float]:
    """When a visit went another way than the one before."""
    return [at for (_, before), (at, now) in pairwise(kinds) if now != before]
