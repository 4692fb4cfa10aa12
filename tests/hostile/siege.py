"""An attack, and what it costs those who do nothing bad.

    quiet ──▶ attack ── as long as its programs run ──▶ quiet ──▶ judged

A well-behaved visitor (wellbehaved.py) asks all the time.  Its p99 under attack is compared with its p99 in the same
run without: the larger of before and after, since the machine is shared and somebody else's load comes and goes.
Attackers run at the lowest priority: in the world an attacker has a computer of its own, here it would take the very
cores that the daemons run on, and the test would measure the scheduler.  What is left of that is under FLOOR: a wait
that nobody notices is no harm, however short the quiet one was.  How busy the machine is meanwhile is measured, too:
by requests that go past the daemons, which wait for the CPU a third as often (one program instead of three).  And since
a busy machine only ever makes people wait longer, the waits of one round of ROUNDS have to be good; what an attack does
shows in all.

In every round: no request failed, memory and log grew within bounds, and descriptors came back.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.netns.lab import Machine
from tests.support.node import Node
from tests.support.waiting import wait_until

FULL = bool(os.environ.get("HARDLINE_TEST_FULL"))
SECONDS = 10.0 if FULL else 1.0  # how long an attack goes on once it is under way

FLOOR = 0.025  # seconds
TIMES = 3.0
ROUNDS = 3
STALL = 1.5  # seconds that no single request may take
MEMORY = 40 << 20  # bytes that an attack may make a daemon grow
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
    kind: str
    outcome: str


class WellBehaved:
    """The running program, and what it has written."""

    def __init__(self, machine: Machine, file: Path, *arguments: object) -> None:
        self._file, self._read = file, 0
        self._waits: list[Wait] = []
        command = [sys.executable, _HERE / "wellbehaved.py", *map(str, arguments)]
        with file.open("wb") as output:
            self._process = machine.start(command, output=output)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def waits(self, since: float, until: float, *, bare: bool = False) -> list[Wait]:
        """The requests that began in that time: through the daemons, or past them."""
        with self._file.open("rb") as file:
            file.seek(self._read)
            lines, _, _ = file.read().rpartition(b"\n")
        if lines:
            self._read += len(lines) + 1
            for line in lines.decode().split("\n"):
                began, took, kind, outcome = line.split(" ", 3)
                self._waits.append(Wait(float(began), float(took), kind, outcome))
        return [wait for wait in self._waits if since <= wait.began < until and (wait.kind == "bare") is bare]


def p99(waits: list[Wait]) -> float:
    ordered = sorted(wait.took for wait in waits)
    return ordered[min(len(ordered) * 99 // 100, len(ordered) - 1)]


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
        command = ["nice", "-n", "19", sys.executable, str(_HERE / self.program), *map(str, self.arguments)]
        with output.open("wb") as file:
            return self.machine.start(command, output=file)


@dataclass
class Round:
    """What was seen; `reports` is what the attackers said of themselves."""

    figures: dict[str, Any]
    reports: list[dict[str, Any]]
    failed: list[Wait]
    harmful: bool  # the well-behaved had to wait too long
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
) -> list[dict[str, Any]]:
    """Carry out all `attacks` together, `meanwhile` once they are under way; returns their reports.

    Fails unless the well-behaved were served as before and the daemons stayed within bounds.
    """
    for _ in range(ROUNDS):
        try:
            seen = _round(well_behaved, nodes, attacks, directory, meanwhile)
        except BaseException:
            for node in nodes:
                print(f"----- the end of {node.log_file}", *node.log.splitlines()[-100:], sep="\n")
            raise
        print(json.dumps(seen.figures))
        assert not seen.failed, f"{len(seen.failed)} requests failed, such as {seen.failed[:3]}: {seen.figures}"
        assert seen.memory <= memory, seen.figures
        assert seen.log <= LOG_BURST + LOG_RATE * seen.seconds, seen.figures
        if not seen.harmful:
            return seen.reports
    raise AssertionError(f"the well-behaved had to wait in each of {ROUNDS} rounds: {seen.figures}")


def _round(
    well_behaved: WellBehaved,
    nodes: list[Node],
    attacks: list[Attack],
    directory: Path,
    meanwhile: Callable[[], None],
) -> Round:
    watched = [Watched(node) for node in nodes]
    since = _a_quiet_while(well_behaved)
    for one in watched:
        one.remember()
    outputs = [directory / f"attack{number}" for number, _ in enumerate(attacks)]
    began = time.monotonic()
    running = [attack.start(output) for attack, output in zip(attacks, outputs, strict=True)]
    try:
        for output, process in zip(outputs, running, strict=True):
            wait_until(lambda o=output, p=process: _under_way(o, p), "the attack is under way", 30)  # type: ignore[misc]
        meanwhile()
        wait_until(lambda: _over(watched, running), "the attack ended", 180, every=0.05)
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
    during = well_behaved.waits(began, ended)
    after = well_behaved.waits(ended, time.monotonic())
    longest = max(wait.took for wait in during)
    bare = p99(well_behaved.waits(began, ended, bare=True))
    limit = max(TIMES * max(p99(before), p99(after), bare), FLOOR)
    growth, logged = [one.growth for one in watched], [one.logged for one in watched]
    figures = {
        "seconds": round(ended - began, 2),
        "requests": [len(before), len(during), len(after)],
        "p99_ms": [round(1000 * p99(waits), 1) for waits in (before, during, after)],
        "bare_p99_ms": round(1000 * bare, 1),
        "longest_ms": round(1000 * longest),
        "growth_mb": [round(size / 2**20, 1) for size in growth],
        "descriptors": [[one.descriptors, one.most_descriptors] for one in watched],
        "log_bytes": logged,
        "attackers": reports,
    }
    failed = [wait for wait in during if wait.outcome != "ok"]
    harmful = p99(during) > limit or longest > max(STALL, limit)
    return Round(figures, reports, failed, harmful, max(growth), max(logged), time.monotonic() - began)


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
