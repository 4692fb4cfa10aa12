"""`make bench`: the same work through hardline and through others, as ratios.  docs/BENCH.md says how to read it.

    load ──▶ visitor ══ TLS 1.3 ══▶ host ──▶ origin        each contestant in turn, round after round

Prints a table and a verdict on each target, and leaves every figure in bench/results-last.json (with --lab in
results-lab-last.json, and so with all that are "instead").  Exit code 0: all was measured, whatever the verdicts; 1:
something did not do its work; 130: interrupted.  Nothing keeps running.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import gateway
import hostile
import lab
import load
import profiles
import relay
import table
from before import HardlineBefore
from contestants import Contestant, Direct, Hardline, HardlinePython
from daemons import Broken
from floor import FLOOR, floor
from measures import EACH_ROUND, QUICK, ROWS, Measure, Row, Sizes, aes, memory
from origin import Origin
from original import Alone, Original
from others import Haproxy, Nginx, Ssh, Stunnel
from services import ONCE
from sites import Loopback

from hardline.transport.native import ENGINE

_HERE = Path(__file__).parent
RESULTS = _HERE / "results-last.json"
HOSTILE_RESULTS = _HERE / "results-hostile-last.json"
LAB_RESULTS = _HERE / "results-lab-last.json"
REACH_RESULTS = _HERE / "results-reach-last.json"
RELAY_RESULTS = _HERE / "results-relay-last.json"
FAULTS_RESULTS = _HERE / "results-faults-last.json"
SOME_FAULTS_RESULTS = _HERE / "results-faults-some-last.json"
GATEWAY_RESULTS = _HERE / "results-gateway-last.json"
APPS_RESULTS = _HERE / "results-apps-last.json"
LINKS_RESULTS = _HERE / "results-links-last.json"
PEOPLE_RESULTS = _HERE / "results-people-last.json"
_BESIDE = (
    "one session",
    "hardline-python",
    "hardline-before",
    "stunnel",
    "haproxy",
    "ssh",
    "original",
    "door",
    "straight",
    "cubic",
    "bbr",
    "direct",
)  # hardline and nginx, in the table
NAMES = (*EACH_ROUND, "memory", *ONCE)
FAULTS = ("relays", "paths", "flap", "matrix", "pool", "blind", "direct")
_TROUBLE = (Broken, OSError, subprocess.SubprocessError)


class Bench:
    """The rounds, and what they brought: `figures[contestant][row][round]`."""

    def __init__(self, sizes: Sizes, rounds: int, only: Sequence[str]) -> None:
        self._sizes, self._rounds, self._only = sizes, rounds, only
        self.contestants: list[Contestant] = []
        self.figures: dict[str, dict[str, list[float | None]]] = {}
        self.errors: list[str] = []

    def bring_up(self, candidates: Sequence[Contestant]) -> None:
        """Start everybody and check by SHA-256 that it carries bytes unchanged; who cannot is left out with a line."""
        for contestant in candidates:
            try:
                contestant.start()
                with contestant.site.at_visitor():
                    load.verify(contestant.files, contestant.sink, contestant.origin.bulk)
            except _TROUBLE as failure:
                contestant.stop()
                print(f"{contestant.name}: left out: {failure}", flush=True)
                if not contestant.optional:
                    self.errors.append(f"{contestant.name}: {failure}")
                continue
            self.contestants.append(contestant)
            self.figures[contestant.name] = {}

    def run(self) -> None:
        """All rounds."""
        for contestant in self.contestants:
            if "memory" in self._only and contestant.daemons:
                self._one(contestant, "memory", memory, 0)
        for number in range(self._rounds):
            started = time.monotonic()
            # Who begins changes from round to round: the first one after a pause is not always the same.
            turn = number % len(self.contestants)
            for name, measure in EACH_ROUND.items():
                if name in self._only:
                    for contestant in self.contestants[turn:] + self.contestants[:turn]:
                        self._one(contestant, name, measure, number)
            self._compare_with_direct(number)
            if "bulk" in self._only:
                self._measure_floor(number)
            print(f"round {number + 1} of {self._rounds}: {time.monotonic() - started:.0f} s", flush=True)
        for contestant in self.contestants:
            if contestant.daemons:
                contestant.settle()
                self._note(contestant, "after", 0, sum(contestant.pss()))
        for name, measure in ONCE.items():
            for contestant in self.contestants:
                if name in self._only:
                    self._one(contestant, name, measure, 0)

    def _one(self, contestant: Contestant, name: str, measure: Measure, number: int) -> None:
        if name in contestant.unable:
            return
        contestant.settle()
        try:
            with contestant.site.at_visitor():
                seen = measure(contestant, self._sizes)
        except _TROUBLE as failure:
            line = f"{contestant.name}: {name}, round {number + 1}: {failure or type(failure).__name__}"
            print(line, flush=True)
            if not contestant.optional:
                self.errors.append(line)
            return
        for key, value in seen.items():
            self._note(contestant, key, number, value)

    def _note(self, contestant: Contestant, key: str, number: int, value: float) -> None:
        self.figures[contestant.name].setdefault(key, [None] * self._rounds)[number] = value

    def _measure_floor(self, number: int) -> None:
        lowest = floor()
        figures = self.figures.setdefault(FLOOR, {})
        for key, value in (("down", lowest.rate), ("up", lowest.rate), ("cpu", lowest.cpu)):
            figures.setdefault(key, [None] * self._rounds)[number] = value

    def _compare_with_direct(self, number: int) -> None:
        direct = self.figures.get("direct", {}).get("new")
        for contestant in self.contestants:
            mine = self.figures[contestant.name].get("new")
            if contestant.daemons and mine and direct and mine[number] is not None and direct[number] is not None:
                self._note(contestant, "added", number, (mine[number] or 0.0) - (direct[number] or 0.0))


def main() -> int:
    """Run the bench."""
    options = _arguments()
    if options.hostile is not None:
        return _hostile(options.hostile)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    _raise_limits()
    sizes = QUICK if options.quick else Sizes()
    rounds = options.rounds or (
        2 if options.quick else 3 if options.lab or options.reach or options.people or options.faults is not None else 5
    )
    rival = "nginx"
    with tempfile.TemporaryDirectory(prefix="hlb") as place, contextlib.ExitStack() as stack:
        if options.lab:
            rows, figures, errors = lab.run(Path(place), stack, rounds)
        elif options.reach:
            import reach  # only here: it needs what the tests need

            rows, figures, errors = reach.run(Path(place), stack, rounds, options.idle)
        elif options.relay:
            rows, figures, errors = relay.run(Path(place), stack, rounds)
        elif options.faults is not None:
            import faults  # only here: it needs what the tests need

            rows, figures, errors = faults.run(Path(place), stack, rounds, options.faults)
        elif options.gateway:
            rows, figures, errors = gateway.run(Path(place), stack, sizes, rounds)
        elif options.apps:
            import apps  # only here: it needs what an application needs

            rows, figures, errors = apps.run(Path(place), stack, rounds)
            rival = apps.RIVAL
        elif options.links:
            import links  # only here: it needs what the tests need

            rows, figures, errors = links.run(Path(place), stack, rounds)
            rival = links.RIVAL
        elif options.people:
            import people  # only here: it needs what the tests need

            rows, figures, errors = people.run(Path(place), stack, rounds)
            rival = people.RIVAL
        else:
            rows, figures, errors = _loopback(Path(place), stack, options, sizes, rounds)
    others = [name for name in _BESIDE if name in figures]
    print(f"\n{_machine()}\n")
    print(table.render(rows, figures, others, rival))
    print(f"\n{table.verdicts(rows, figures, rival)}")
    if ENGINE == "native" and (engines := table.engines(rows, figures)):
        print(f"\n{engines}")
    if lowest := table.above_the_floor(rows, figures):
        print(f"\n{lowest}")
    kept = {
        options.lab: LAB_RESULTS,
        options.reach: REACH_RESULTS,
        options.relay: RELAY_RESULTS,
        options.faults is not None: SOME_FAULTS_RESULTS if options.faults else FAULTS_RESULTS,
        options.gateway: GATEWAY_RESULTS,
        options.apps: APPS_RESULTS,
        options.links: LINKS_RESULTS,
        options.people: PEOPLE_RESULTS,
    }
    _keep(kept.get(True, RESULTS), rows, figures, errors, rounds, rival)
    if options.relay:
        for family, file in (("faults", FAULTS_RESULTS), ("lab", LAB_RESULTS)):
            print(f"\n{table.kept(family, file)}")
    for line in errors:
        print(f"error: {line}", file=sys.stderr)
    return 1 if errors else 0


def _hostile(arguments: list[str]) -> int:
    seen, code = hostile.run(arguments)
    print(f"\n{_machine()}\n")
    print(hostile.render(seen))
    HOSTILE_RESULTS.write_text(json.dumps({"machine": _machine(), "attacks": seen}, indent=1) + "\n")
    return 1 if code or not seen else 0


def _loopback(
    place: Path, stack: contextlib.ExitStack, options: argparse.Namespace, sizes: Sizes, rounds: int
) -> tuple[Sequence[Row], dict[str, dict[str, list[float | None]]], list[str]]:
    origin = Origin(place / "origin", sizes.bulk_bytes)
    stack.callback(origin.stop)
    site = Loopback()
    candidates: list[Contestant] = [
        kind(origin, site, place / kind.name) for kind in (Direct, Nginx, Hardline, Stunnel, Haproxy, Ssh)
    ]
    asked_for = [kind for kind in (HardlinePython, HardlineBefore) if kind.name in (options.contestants or ())]
    candidates += [kind(origin, site, place / kind.name) for kind in asked_for]
    if options.original:
        candidates += _original(place, stack, sizes)
    if options.contestants:
        candidates = [contestant for contestant in candidates if contestant.name in ("direct", *options.contestants)]
    for contestant in candidates:
        stack.callback(contestant.stop)
    bench = Bench(sizes, rounds, options.only)
    bench.bring_up(candidates)
    bench.run()
    if os.environ.get("PROFILE", "0") not in ("", "0"):
        for contestant in bench.contestants:
            if isinstance(contestant, Hardline):
                profiles.record(contestant, sizes)
    return ROWS, bench.figures, bench.errors


def _original(place: Path, stack: contextlib.ExitStack, sizes: Sizes) -> list[Contestant]:
    alone = Alone()
    stack.callback(alone.down)
    try:
        alone.up()
        with alone.at_host():
            origin = Origin(place / "origin-alone", sizes.bulk_bytes)
    except _TROUBLE as failure:
        print(f"original: left out: {failure}")
        return []
    stack.callback(origin.stop)
    return [Original(origin, alone, place / "original")]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rounds", type=int, help="5; 2 with --quick, 3 with --lab, --reach, --people or --faults")
    parser.add_argument("--quick", action="store_true", help="little work, about a minute: is anything broken?")
    parser.add_argument(
        "--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help=f"of {', '.join(NAMES)}"
    )
    parser.add_argument(
        "--contestants",
        nargs="+",
        metavar="NAME",
        help="of hardline, nginx, stunnel, haproxy, ssh, original, hardline-python: without the part in C, "
        "and hardline-before: without visits at once, too",
    )
    parser.add_argument("--original", action="store_true", help="also hardline 0.0.16, installed from PyPI (root)")
    parser.add_argument("--reach", action="store_true", help="instead: finding hosts anywhere (root, as the tests)")
    parser.add_argument("--relay", action="store_true", help="instead: what passing bytes on costs a relay")
    parser.add_argument(
        "--faults",
        nargs="*",
        choices=FAULTS,
        metavar="PART",
        help=f"instead: what is lost comes back, and who meets whom (root, as the tests); of {', '.join(FAULTS)}",
    )
    parser.add_argument("--gateway", action="store_true", help="instead: plain browsers at a gateway, and at nginx")
    parser.add_argument("--apps", action="store_true", help="instead: an application in the node, and one on a port")
    parser.add_argument("--links", action="store_true", help="instead: warm links far away, and certificates (root)")
    parser.add_argument(
        "--people", action="store_true", help="instead: what people wait for, and an idle daemon's memory"
    )
    parser.add_argument("--idle", type=float, default=600.0, metavar="S", help="with --reach: seconds of doing nothing")
    parser.add_argument(
        "--hostile",
        nargs="*",
        metavar="ARG",
        help="instead: what others notice of attacks (root, as the tests); ARGs as `test_the_door.py` choose tests",
    )
    parser.add_argument("--lab", action="store_true", help="instead: over a link of 20 and of 100 ms (root)")
    return parser.parse_args()


def _raise_limits() -> None:
    """A thousand connections are a thousand descriptors in each process on their way."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 16_384 if hard == resource.RLIM_INFINITY else min(hard, 16_384)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _machine() -> str:
    processor = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, IndexError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    when = datetime.datetime.now().astimezone().isoformat(timespec="minutes")
    build = "with PGO" if "--enable-optimizations" in str(sysconfig.get_config_var("CONFIG_ARGS")) else "without PGO"
    python = f"Python {platform.python_version()} {build}"
    return (
        f"{when}, {load.cores()} cores, {processor} ({aes()}), Linux {platform.release()}, {python}, engine: {ENGINE}"
    )


def _keep(
    file: Path,
    rows: Sequence[Row],
    figures: dict[str, dict[str, list[float | None]]],
    errors: Sequence[str],
    rounds: int,
    rival: str,
) -> None:
    medians = {
        row.key: {
            **{name: table.middle(figures, name, row.key) for name in figures},
            "ratio": table.ratio(figures, row.key, "hardline", rival),
            "verdict": table.verdict(row, figures, rival),
        }
        for row in rows
    }
    kept = {
        "machine": _machine(),
        "rounds": rounds,
        "medians": medians,
        "verdicts": table.verdicts(rows, figures, rival).splitlines(),
        "figures": figures,
        "errors": list(errors),
    }
    file.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
