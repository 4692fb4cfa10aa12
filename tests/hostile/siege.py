"""An attack, and what it costs those who do nothing bad.

    quiet ──▶ attack ── as long as its programs run ──▶ quiet ──▶ judged

A well-behaved visitor (wellbehaved.py) asks all the time.  What the daemons' event loops compute between its request
and the answer is what it waits for: work of the attack that comes before its own.  That is measured in processor time,
so that nothing depends on who else uses this machine, and compared with the same in the quiet before and after.  Under
FLOOR, in the time of a machine of known speed (costs.py), it is no harm, however short the quiet wait was.  How fast
this one is meanwhile tells a loop that the well-behaved go through from time to time: beside others it takes longer.

While a request waits for a processor, the daemons compute for others, who are not in its way.  How much that is tell
requests of the same moments that go past the daemons (bare): they wait for a processor twice, at the origin and at its
client; those through the daemons WAITS times as often.  So much more is no harm either.

The seconds that people wait by the clock are printed, and judged by nobody here: the benchmark shows them.

No request fails (each has a minute), memory and log grow within bounds, and descriptors come back.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.hostile.wellbehaved import TURNS
from tests.netns.lab import Machine
from tests.support.costs import TURNS_PER_SECOND, slowness
from tests.support.node import Node
from tests.support.size import FULL
from tests.support.waiting import wait_until

SECONDS = 10.0 if FULL else 1.0  # how long an attack goes on once it is under way

FLOOR = 0.025  # seconds of processor time, of a machine that is as fast as costs.py has it
TIMES = 3.0
STALL = 1.5  # the same, for the longest single wait
ASKERS = 2  # connections of the well-behaved that wait at a time
WAITS = 3.0
PIECE = 0.001  # the same, for what one other source may have done before the well-behaved has his turn
MEMORY = 64 << 20  # bytes that an attack may make a daemon grow
LOG_RATE = 16_384  # bytes a second
LOG_BURST = 131_072
SPARE_DESCRIPTORS = 8

_QUIET = 0.5
_ENOUGH = 60  # requests, for a p99 that means something
_HERE = Path(__file__).parent


def each(*kinds: str) -> list[tuple[str, ...]]:
    """For parametrize: one kind of attack after the other, at full size; else all at once."""
    return [(kind,) for kind in kinds] if FULL else [kinds]


@dataclass(frozen=True, slots=True)
class Wait:
    """One request of the well-behaved."""

    began: float
    took: float
    work: float
    kind: str
    outcome: str


class WellBehaved:
    """The running program, and what it has written."""

    def __init__(self, machine: Machine, file: Path, *arguments: object) -> None:
        self._file, self._read = file, 0
        self._waits: list[Wait] = []
        command = ["nice", "-n", "-10", sys.executable, _HERE / "wellbehaved.py", *map(str, arguments)]
        with file.open("wb") as output:
            self._process = machine.start(command, output=output)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def waits(self, since: float, until: float, *kinds: str) -> list[Wait]:
        """What began in that time: the requests through the daemons, or what is of those `kinds`."""
        with self._file.open("rb") as file:
            file.seek(self._read)
            lines, _, _ = file.read().rpartition(b"\n")
        if lines:
            self._read += len(lines) + 1
            for line in lines.decode().split("\n"):
                began, took, work, kind, outcome = line.split(" ", 4)
                self._waits.append(Wait(float(began), float(took), float(work), kind, outcome))
        wanted = kinds or ("kept", "new")
        return [wait for wait in self._waits if since <= wait.began < until and wait.kind in wanted]

    def slowness(self, since: float, until: float) -> float:
        """As costs.slowness, in that time."""
        loops = self.waits(since, until, "speed")
        return max(slowness(), statistics.mean(wait.work for wait in loops) * TURNS_PER_SECOND / TURNS)


def p99(waits: Iterable[float]) -> float:
    """Of few, the longest but those who waited for one and the same thing: that is `longest`."""
    ordered = sorted(waits)
    return ordered[min(len(ordered) * 99 // 100, max(len(ordered) - 1 - ASKERS, 0))]


@dataclass(eq=False)
class Watched:
    """One daemon: how it was before, and the most that it became."""

    node: Node
    descriptors: int = 0
    pss: int = 0
    most: int = 0
    most_descriptors: int = 0
    log: int = 0

    def remember(self) -> None:
        self.pss = self.most = self.node.pss()
        self.descriptors = self.most_descriptors = descriptors(self.node)
        self.log = self.node.log_file.stat().st_size

    @property
    def growth(self) -> int:
        return self.most - self.pss

    @property
    def logged(self) -> int:
        return self.node.log_file.stat().st_size - self.log

    def has_its_descriptors_back(self) -> bool:
        return descriptors(self.node) <= self.descriptors + SPARE_DESCRIPTORS

    def look(self) -> None:
        self.most = max(self.most, self.node.pss())
        self.most_descriptors = max(self.most_descriptors, descriptors(self.node))


@dataclass(frozen=True, slots=True)
class Attack:
    """A program of this directory, where it runs, and its arguments."""

    machine: Machine
    program: str
    arguments: tuple[object, ...]

    def start(self, output: Path) -> subprocess.Popen[bytes]:
        command = ["nice", "-n", "5", sys.executable, str(_HERE / self.program), *map(str, self.arguments)]
        with output.open("wb") as file:
            return self.machine.start(command, output=file)


@dataclass
class Round:
    """What was seen; `reports` is what the attackers said of themselves, `harm` what the well-behaved suffered."""

    figures: dict[str, Any]
    reports: list[dict[str, Any]]
    failed: list[Wait]
    harm: str
    memory: int
    log: int
    seconds: float


def besiege(
    well_behaved: WellBehaved,
    nodes: list[Node],
    attacks: list[Attack],
    directory: Path,
    *,
    memory: int = MEMORY,
    meanwhile: Callable[[], None] = lambda: None,
    judged_once: Callable[[], None] | None = None,
    sources: int = 1,
) -> list[dict[str, Any]]:
    """Carry out all `attacks` together, `meanwhile` once they are under way; returns their reports.

    They come from so many `sources`, each of which has the same right to a turn as the well-behaved.

    What the well-behaved wait is judged from the end of `judged_once` on, which is called as soon as they have begun.

    Fails unless the well-behaved were served as before and the daemons stayed within bounds.
    """
    try:
        seen = _round(well_behaved, nodes, attacks, directory, meanwhile, judged_once, sources)
    except BaseException:
        for node in nodes:
            print(f"----- the end of {node.log_file}", *node.log.splitlines()[-100:], sep="\n")
        raise
    print(json.dumps(seen.figures))
    assert not seen.failed, f"{len(seen.failed)} requests failed, such as {seen.failed[:3]}: {seen.figures}"
    assert seen.memory <= memory, seen.figures
    assert seen.log <= LOG_BURST + LOG_RATE * seen.seconds, seen.figures
    assert not seen.harm, f"{seen.harm}: {seen.figures}"
    return seen.reports


def _round(
    well_behaved: WellBehaved,
    nodes: list[Node],
    attacks: list[Attack],
    directory: Path,
    meanwhile: Callable[[], None],
    judged_once: Callable[[], None] | None,
    sources: int,
) -> Round:
    watched = [Watched(node) for node in nodes]
    since = _a_quiet_while(well_behaved)
    for one in watched:
        one.remember()
    outputs = [directory / f"attack{number}" for number, _ in enumerate(attacks)]
    began = judged = time.monotonic()
    running = [attack.start(output) for attack, output in zip(attacks, outputs, strict=True)]
    try:
        for output, process in zip(outputs, running, strict=True):
            wait_until(lambda o=output, p=process: _under_way(o, p), "the attack is under way", 30)  # type: ignore[misc]
        if judged_once is not None:
            judged_once()
            judged = time.monotonic()
        meanwhile()
        wait_until(lambda: _over(watched, running), "the attack ended", 600, every=0.05)
    finally:
        for process in running:
            process.kill()
            process.wait()
    ended = time.monotonic()
    reports = []
    for output, process in zip(outputs, running, strict=True):
        said = output.read_text()
        assert process.returncode == 0, f"the attacker failed: {said}"
        reports.append(json.loads(said.splitlines()[-1]))
    wait_until(lambda: all(one.has_its_descriptors_back() for one in watched), "descriptors came back", 30)
    _a_quiet_while(well_behaved)
    before = well_behaved.waits(since, began)
    during = well_behaved.waits(judged, ended)
    after = well_behaved.waits(ended, time.monotonic())
    bare = well_behaved.waits(judged, ended, "bare")
    slower = well_behaved.slowness(judged, ended)
    quiet = max(p99(wait.work for wait in waits) for waits in (before, after))
    elsewhere = [WAITS * wait.work for wait in bare]
    limit, longest = max(TIMES * quiet, (FLOOR + sources * PIECE) * slower), max(wait.work for wait in during)
    most, longest_allowed = limit + p99(elsewhere), max(STALL * slower, limit) + max(elsewhere)
    harm = ""
    if p99(wait.work for wait in during) > most or longest > longest_allowed:
        harm = f"the well-behaved waited for more than {1000 * most:.0f} ms of the daemons' computing"
    growth, logged = [one.growth for one in watched], [one.logged for one in watched]
    figures = {
        "test": os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0].rpartition("/")[2],
        "seconds": round(ended - began, 2),
        "requests": [len(before), len(during), len(after)],
        "work_p99_ms": [round(1000 * p99(wait.work for wait in waits), 1) for waits in (before, during, after)],
        "work_longest_ms": round(1000 * longest),
        "p99_ms": [round(1000 * p99(wait.took for wait in waits), 1) for waits in (before, during, after)],
        "bare_work_p99_ms": round(1000 * p99(wait.work for wait in bare), 1),
        "most_ms": [round(1000 * most, 1), round(1000 * longest_allowed)],
        "slowness": [round(slowness(), 2), round(slower, 2)],
        "bare_p99_ms": round(1000 * p99(wait.took for wait in bare), 1),
        "longest_ms": round(1000 * max(wait.took for wait in during)),
        "growth_mb": [round(size / 2**20, 1) for size in growth],
        "descriptors": [[one.descriptors, one.most_descriptors] for one in watched],
        "log_bytes": logged,
        "attackers": reports,
    }
    failed = [wait for wait in during if wait.outcome != "ok"]
    return Round(figures, reports, failed, harm, max(growth), max(logged), time.monotonic() - began)


def _a_quiet_while(well_behaved: WellBehaved) -> float:
    """Wait until the well-behaved were served for a while; returns when it began."""
    since = time.monotonic()
    wait_until(lambda: time.monotonic() > since + _QUIET, "a quiet while passed")
    wait_until(lambda: len(well_behaved.waits(since, time.monotonic())) >= _ENOUGH, "the well-behaved were served")
    return since


def descriptors(node: Node) -> int:
    """How many it has open."""
    return len(os.listdir(f"/proc/{node.process.pid}/fd"))


def _under_way(output: Path, process: subprocess.Popen[bytes]) -> bool:
    ended, said = process.poll() is not None, output.read_text()
    assert "under way" in said or not ended, f"the attacker failed: {said}"
    return "under way" in said


def _over(watched: list[Watched], running: list[subprocess.Popen[bytes]]) -> bool:
    for one in watched:
        one.look()
    return all(process.poll() is not None for process in running)
