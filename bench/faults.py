"""`--faults`: relays that die, paths that are lost, pools that lose one, routers of every kind, and a curious relay.

    relays     faults_relays.py     killed, silent, started again, drained
    paths      faults_paths.py      LAN, direct and punched: lost, back, in another network
    flap       faults_flap.py       a link that comes and goes, beside all others
    matrix     faults_matrix.py     who meets whom
    pool       faults_pool.py       three hosts with one certificate
    blind      faults_blind.py      what a relay's owner learns
    direct     faults_direct.py     that the direct path is as fast as without a relay

Whole daemons in laboratories of network namespaces.  Needs root, and what tests/punch and tests/reach need.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import faults_blind
import faults_direct
import faults_flap
import faults_matrix
import faults_paths
import faults_pool
import faults_relays
from daemons import Broken
from measures import Row
from relay_nodes import impossible

PARTS = ("relays", "paths", "flap", "matrix", "pool", "blind", "direct")
ROWS = (
    *faults_relays.ROWS,
    *faults_paths.ROWS,
    *faults_flap.ROWS,
    *faults_matrix.ROWS,
    *faults_pool.ROWS,
    *faults_blind.ROWS,
    *faults_direct.ROWS,
)
_OF_ALL_ROUNDS: Mapping[str, tuple[str, Callable[[Sequence[float]], float]]] = {
    **faults_relays.OF_ALL_ROUNDS,
    **faults_paths.OF_ALL_ROUNDS,
    **faults_matrix.OF_ALL_ROUNDS,
    **faults_pool.OF_ALL_ROUNDS,
}
_TROUBLE = (Broken, OSError, AssertionError, LookupError)

_Figures = dict[str, dict[str, list[float | None]]]


class _Part(Protocol):
    def measure(self, number: int) -> Mapping[str, float]: ...


_MADE: Mapping[str, Callable[[Path, contextlib.ExitStack], _Part]] = {
    "relays": faults_relays.Relays,
    "paths": faults_paths.Paths,
    "matrix": faults_matrix.Matrix,
    "pool": faults_pool.Pool,
    "blind": faults_blind.Blind,
    "direct": faults_direct.Direct,
}


def run(
    place: Path, stack: contextlib.ExitStack, rounds: int, parts: Sequence[str]
) -> tuple[Sequence[Row], _Figures, list[str]]:
    """All rounds of these PARTS, of all where none is named; figures as the loopback's."""
    if why := impossible():
        raise SystemExit(f"--faults {why}")
    bench = _Bench(place, rounds)
    wanted = [name for name in PARTS if name in (parts or PARTS)]
    flap = faults_flap.Flap(place / "flap", faults_flap.SECONDS)
    if "flap" in wanted:
        flap.start()
        stack.callback(flap.stop)
    for name in wanted:
        if name == "flap":
            continue  # it runs
        if name == "direct" and flap.is_alive():
            print("waiting until the link that flaps has been watched for long enough", flush=True)
            flap.join()  # what is compared here is a matter of some per cent
        bench.measure(name)
    if "flap" in wanted:
        flap.join()
        bench.note(0, flap.figures)
        bench.errors += [f"flap: {flap.problem}"] if flap.problem else []
    return ROWS, bench.told(), bench.errors


class _Bench:
    """What came of it so far."""

    def __init__(self, place: Path, rounds: int) -> None:
        self._place, self._rounds = place, rounds
        self._seen: dict[str, list[float | None]] = {}
        self.errors: list[str] = []

    def note(self, number: int, seen: Mapping[str, float]) -> None:
        """Figures of a round."""
        for key, value in seen.items():
            self._seen.setdefault(key, [None] * self._rounds)[number] = value

    def measure(self, name: str) -> None:
        """All rounds of a part."""
        try:
            with contextlib.ExitStack() as inner:
                part = _MADE[name](self._place / name, inner)
                for number in range(1 if name == "blind" else self._rounds):
                    self._round(name, part, number)
        except _TROUBLE as failure:
            self.errors.append(f"{name}: {str(failure)[:500]}")

    def _round(self, name: str, part: _Part, number: int) -> None:
        began = time.monotonic()
        try:
            self.note(number, part.measure(number))
        except _TROUBLE as failure:
            self.errors.append(f"{name}, round {number + 1}: {str(failure)[:500]}")
        print(f"{name}, round {number + 1}: {time.monotonic() - began:.0f} s", flush=True)

    def told(self) -> _Figures:
        """All of it, with the worst of what is judged by that."""
        told = dict(self._seen)
        for key, (of, how) in _OF_ALL_ROUNDS.items():
            if values := [value for value in self._seen.get(of, ()) if value is not None]:
                told[key] = [how(values), *[None] * (self._rounds - 1)]
                told[f"{of}, each round"] = self._seen[of]
        return {"hardline": told}
