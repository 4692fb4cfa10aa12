"""What a service without a server of its own does, measured once: a crowd, its memory, the public cache suite.

    origin ──▶ host: a cached site ══▶ visitor ──▶ 100 visitors at once

The origin writes a line for each time that /cold is asked for.  The suite brings its own daemons: tests/cache/suite.py.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import load
from contestants import Contestant, Hardline
from daemons import Broken
from measures import Measure, Sizes
from scp import scp

_OTHERS = 49  # visitors beside the slow one
_CROWD = 100
_HITS = 10
_LOOK = 0.2  # seconds between two looks at what the daemons take
_ROOT = Path(__file__).parent.parent


def crowd(contestant: Contestant, sizes: Sizes) -> dict[str, float]:
    """Many visitors: beside a slow one, and of one thing that nobody has asked for before."""
    if not isinstance(contestant, Hardline):
        return {}
    ratios = []
    for number in range(sizes.crowd_repeats):
        rates = {}
        for slow in (number % 2 == 0, number % 2 == 1):
            with load.slow_reader(contestant.tree) if slow else contextlib.nullcontext():
                contestant.settle()  # what the slow one has room for is there
                rates[slow] = load.streams(contestant.tree, _OTHERS, sizes.streams_seconds).rate
        ratios.append(rates[True] / rates[False])
    contestant.settle()
    origin, door, size = contestant.origin, contestant.cached_files(), sizes.cold_bytes
    origin.make_cold(size)
    before = origin.asked()
    took = load.together(door, "/cold", _CROWD, size)
    contestant.settle()
    asked = origin.asked()
    for _ in range(_HITS):
        load.download(door, size, "/cold")
    contestant.settle()
    return {
        "beside_slow": load.median(ratios),
        "cold_asked": asked - before,
        "cold_rate": _CROWD * size / 1e6 / took,
        "hit_asked": origin.asked() - asked,
    }


def site(contestant: Contestant, sizes: Sizes) -> dict[str, float]:
    """1 GB of things that are fetched and stored, then the same out of the store: what the daemons take meanwhile."""
    if not isinstance(contestant, Hardline):
        return {}
    door = contestant.cached_files()
    load.download(door, sizes.bulk_bytes)  # what is made once is not growth
    load.download(door, sizes.bulk_bytes)
    contestant.settle()
    with _watched(contestant) as most:
        for number in range(sizes.volume_repeats):
            for _ in ("fetched", "kept"):
                load.download(door, sizes.bulk_bytes, f"/bulk?{number}")
    return {"site_flat": max(most)}


def suite(contestant: Contestant, sizes: Sizes) -> dict[str, float]:
    """The cases of the public suite that pass; left out with a line where node or the suite itself is missing."""
    if not isinstance(contestant, Hardline) or not sizes.suite:
        return {}
    if shutil.which("node") is None or shutil.which("npm") is None:
        print("public cache suite: left out: node and npm are not installed", flush=True)
        return {}
    with _tests(), tempfile.TemporaryDirectory(prefix="hls") as directory:
        from tests.cache import suite as public

        try:
            counts = public.measure(Path(directory))
        except (AssertionError, ValueError, subprocess.SubprocessError) as failure:
            raise Broken(f"the public cache suite did not run: {str(failure)[:300]}") from failure
    if counts is None:
        print("public cache suite: left out: npm does not get it", flush=True)
        return {}
    return {
        "suite_required": counts.required,
        "suite_required_missed": counts.required_of - counts.required,
        "suite_optimal": counts.optimal,
        "suite_optimal_missed": counts.optimal_of - counts.optimal,
    }


@contextlib.contextmanager
def _watched(contestant: Contestant) -> Iterator[list[float]]:
    """How far each daemon went from what it took at the beginning, in MB; it is known in the end."""
    before = contestant.pss()
    most, over = [0.0] * len(before), threading.Event()

    def look() -> None:
        while True:
            for number, (now, then) in enumerate(zip(contestant.pss(), before, strict=True)):
                most[number] = max(most[number], abs(now - then))
            if over.wait(_LOOK):
                return

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield most
    finally:
        over.set()
        watcher.join()


@contextlib.contextmanager
def _tests() -> Iterator[None]:
    """The tests can be imported."""
    sys.path.append(str(_ROOT))
    try:
        yield
    finally:
        sys.path.remove(str(_ROOT))


ONCE: dict[str, Measure] = {"crowd": crowd, "site": site, "scp": scp, "suite": suite}
