"""The soak: mixed traffic through real daemons while everything goes wrong that can, and no patience with leaks.

    python -m tests.soak.run --time 180 [--seed 7]         (make soak TIME=180 SEED=7); docs/SOAK.md says how to read it

    traffic ─ errands ─▶ ledger ◀─ windows ─ faults          warm-up · quiet · faults and traffic · quiet · … · quiet
                            └─▶ violations                                 └─ vitals: nothing may be left over

Exit code 0: no violation; 1: at least one, each told with its moment, the seed, the faults of the last minute and the
ends of the daemons' logs; the directory with the whole logs is then kept.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.netns.lab import Lab
from tests.soak import vitals
from tests.soak.faults import Course, Fault, faults_of
from tests.soak.ledger import Outcome
from tests.soak.people import People
from tests.soak.table import report
from tests.soak.town import Resident, Town
from tests.soak.vitals import LogWatch, Vitals
from tests.soak.web import HANG_LIMIT
from tests.support import faketime

WARM_UP = 20.0  # seconds of traffic without faults before the first quiet moment
BETWEEN_FAULTS = (0.5, 7.0)
AT_ONCE = 2  # faults
PAUSE_LIMIT = 160.0  # seconds until all errands have ended, the slowest included
QUIET_LIMIT = 40.0  # seconds until a daemon holds nothing any more: longer than it takes to notice a dead peer
REST, BUSY = 1.0, 0.3  # seconds of a look at a quiet moment, and the part of them that a daemon may compute
LOOKS = 3
SHOWN = 10  # violations told in full


class Violated(Exception):
    """The soak has found something."""


@dataclass
class Moment:
    """The vitals of a daemon at a quiet moment."""

    at: float
    vitals: Vitals


class Soak:
    """One run."""

    def __init__(self, town: Town, seed: str, seconds: float) -> None:
        self.town = town
        self._seed, self._seconds = seed, seconds
        self._numbers = random.Random(seed)
        self._faults = faults_of(town)
        self._people: list[People] = []
        self._active: dict[str, tuple[float, Course]] = {}
        self._logs = {resident.name: LogWatch(resident.node.log_file) for resident in town.residents}
        self._began = time.monotonic()
        self.first: dict[str, Vitals] = {}
        self.moments: dict[str, list[Moment]] = {resident.name: [] for resident in town.residents}
        self.complaints: list[str] = []

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._began

    def run(self) -> None:
        """All of it.  Whatever is wrong is in `complaints` afterwards."""
        try:
            self._people = [
                People(visitor, self.town.shared, self._seed, self.happened) for visitor in self.town.visitors
            ]
            self._go()
            time.sleep(min(WARM_UP, self._seconds / 4))
            self._be_quiet()
            rounds = max(1, round((self._seconds - self.elapsed) / 60 if self._seconds < 600 else self._seconds / 180))
            for number in range(rounds):
                self._go()
                left = self._seconds - self.elapsed
                self._break_things(time.monotonic() + max(10.0, left / (rounds - number)))
                self._be_quiet()
        finally:
            for crowd in self._people:
                crowd.end()
        for visitor, service in self.town.ledger.never_succeeded(self.town.visitor_names, self.town.service_names):
            self.complain(f"{visitor} never got anything of {service}: this run proves nothing of it")

    def happened(self, outcome: Outcome) -> None:
        """An errand has ended: called in the threads that listen."""
        with self.town.lock:
            wrong = self.town.ledger.judge(outcome)
        if wrong is not None:
            self.complain(
                f"{wrong}: {outcome.visitor} {outcome.kind} {outcome.service or 'the door'}, "
                f"began at {outcome.began - self._began:.2f}, last heard at {outcome.alive - self._began:.2f}, "
                f"ended at {outcome.ended - self._began:.2f}: {outcome.what}"
            )

    def complain(self, what: str) -> None:
        """A violation: told at once."""
        with self.town.lock:
            self.complaints.append(what)
            if len(self.complaints) > SHOWN:
                return
            lines = [f"\n✗ {self.elapsed:.2f} s, seed {self._seed}: {what}"]
            for window in self.town.ledger.recent(time.monotonic()):
                until = f"healed at {window.healed - self._began:.2f}" if window.healed else "not healed"
                lines.append(
                    f"    fault: {window.fault} {window.detail}, at {window.begins - self._began:.2f}, {until}"
                )
            for name, log in self._logs.items():
                lines += [f"  ── {name}", *(f"    {line}" for line in log.tail())]
        print("\n".join(lines), flush=True)

    def _go(self) -> None:
        for crowd in self._people:
            crowd.order("go")

    # Faults.

    def _break_things(self, until: float) -> None:
        """Begin faults and end them, until the time has come; nothing is broken when this returns."""
        next_at = time.monotonic()
        while (now := time.monotonic()) < until:
            self._expect_life()
            if now >= next_at:
                if len(self._active) < AT_ONCE:
                    self._begin_fault()
                next_at = now + self._numbers.uniform(*BETWEEN_FAULTS)
            for subject, (ends_at, _) in list(self._active.items()):
                if now >= ends_at:
                    self._go_on(subject)
            time.sleep(0.05)
        while self._active:
            self._go_on(next(iter(self._active)))

    def _begin_fault(self) -> None:
        possible = [fault for fault in self._faults if fault.subject not in self._active]
        fault: Fault = self._numbers.choices(possible, [fault.weight for fault in possible])[0]
        self._say(f"{fault.name} {fault.subject}")
        self._active[fault.subject] = 0.0, fault.run(self.town, self._numbers)
        self._go_on(fault.subject)

    def _go_on(self, subject: str) -> None:
        _, course = self._active[subject]
        try:
            self._active[subject] = time.monotonic() + next(course), course
        except StopIteration:
            del self._active[subject]
            self._say(f"  {subject} is well again")
        except AssertionError as failure:
            self.complain(f"{subject}: {failure}")
            raise Violated(f"{subject} did not become well again") from None

    def _expect_life(self) -> None:
        """No daemon ends that nobody killed."""
        for resident in self.town.residents:
            if resident.node.running and (code := resident.node.process.poll()) is not None:
                self.complain(f"{resident.name}: its daemon ended by itself, with {code}")
                raise Violated(f"{resident.name} died")
        for crowd in self._people:
            if (code := crowd.process.poll()) is not None:
                raise Violated(f"the traffic of {crowd.visitor.name} ended by itself, with {code}: the soak is broken")

    # Quiet moments.

    def _be_quiet(self) -> None:
        """Pause the traffic, wait until nothing is held any more, note what is."""
        self._say("pause")
        for crowd in self._people:
            crowd.order("pause")
        for crowd in self._people:
            if not crowd.has_paused(PAUSE_LIMIT):
                self.complain(f"{crowd.visitor.name}: errands did not end within {PAUSE_LIMIT:g} s")
        self.town.let_events_happen()
        deadline = time.monotonic() + QUIET_LIMIT
        for resident in self.town.residents:
            self._examine(resident, deadline)
        self._expect_rest()
        self._say("quiet")

    def _examine(self, resident: Resident, deadline: float) -> None:
        """Wait until a daemon holds no more than it may; complain if that does not come."""
        fresh = resident.name not in self.first
        now = vitals.take(resident.node)
        first = self.first.get(resident.name, now)
        while (found := self._leaks(resident, first, now)) and time.monotonic() < deadline:
            time.sleep(0.5)
            now = vitals.take(resident.node)
            if fresh and now.descriptors - now.sessions <= first.descriptors - first.sessions:
                first = now
        self.first[resident.name] = first
        moments = self.moments[resident.name]
        moments.append(Moment(self.elapsed, now))
        if grown := vitals.too_much_memory([moment.vitals for moment in moments if moment.vitals.pid == now.pid]):
            found.append(grown)
        found += [f"in its log:\n{trouble}" for trouble in self._logs[resident.name].troubles()]
        if found:
            held = "\n".join(["", f"tasks {now.tasks}", *vitals.sockets(resident.machine, now.pid)])
            self.complain(f"{resident.name}, at a quiet moment: {'; '.join(found)}{held}".replace("\n", "\n      "))
        self._say(f"  {resident.name}: {now}")

    def _expect_rest(self) -> None:
        """Nobody computes while nothing happens, but for a moment now and then."""
        busy = self.town.residents
        for _ in range(LOOKS):
            before = [vitals.processor_seconds(resident.node) for resident in busy]
            time.sleep(REST)
            busy = [
                resident
                for resident, then in zip(busy, before, strict=True)
                if vitals.processor_seconds(resident.node) - then > BUSY * REST
            ]
            if not busy:
                return
        for resident in busy:
            self.complain(f"{resident.name} goes on computing at a quiet moment: {BUSY:.0%} of a processor or more")

    def _leaks(self, resident: Resident, first: Vitals, now: Vitals) -> list[str]:
        stuck = vitals.left_half_closed(resident.machine, now.pid)
        return vitals.complaints(first, now) + [f"the other side has closed: {line}" for line in stuck]

    def _say(self, what: str) -> None:
        print(f"{self.elapsed:8.2f} s  {what}", flush=True)


@contextlib.contextmanager
def working_directory() -> Iterator[Path]:
    """Removed at the end; kept when something was wrong."""
    directory = Path(tempfile.mkdtemp(prefix="hl-soak-"))
    try:
        yield directory
    except BaseException:
        print(f"kept: {directory}", flush=True)
        raise
    shutil.rmtree(directory)


def _told_to_end(number: int, frame: object) -> None:
    """As Ctrl-C: everything that was started ends first."""
    raise KeyboardInterrupt


def main() -> int:
    parser = argparse.ArgumentParser(description="Mixed traffic with random faults; see docs/SOAK.md.")
    parser.add_argument("--time", type=float, default=180.0, help="seconds (180)")
    parser.add_argument("--seed", default=str(random.SystemRandom().randrange(10**6)), help="repeats a run's choices")
    options = parser.parse_args()
    if os.geteuid() != 0 or shutil.which("ip") is None:
        print("the soak needs root and the programs of tests/support/install.sh", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _told_to_end)
    print(f"soak of {options.time:g} s, seed {options.seed}, hang limit {HANG_LIMIT:g} s", flush=True)
    preloaded = faketime.library()
    if preloaded is None:
        print("no libfaketime: clocks do not jump in this run", flush=True)
    try:
        with working_directory() as directory, Lab() as lab:
            town = Town(lab, directory, preloaded)
            with town.living():
                soak = Soak(town, options.seed, options.time)
                before = processor_time(town)
                began = time.monotonic()
                try:
                    soak.run()
                finally:
                    print(report(soak, processor=processor_time(town) - before, seconds=time.monotonic() - began))
                if soak.complaints:
                    raise Violated(f"{len(soak.complaints)} violations, seed {options.seed}")
    except Violated as violated:
        print(f"violated: {violated}")
        return 1
    return 0


def processor_time(town: Town) -> float:
    """Seconds of processor that this program and what it started used, as far as it has ended or can be asked."""
    total = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    ticks = os.sysconf("SC_CLK_TCK")
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(os.getpid())], capture_output=True, text=True).stdout
    for pid in children.split():
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, fields[11:15])) / ticks
    return total


if __name__ == "__main__":
    sys.exit(main())
