"""`--people`: what people wait for, at a terminal and at the page, and what an idle daemon costs them.

    a person ── hardline ── daemon ══ host, with services, one of them for invited visitors
             ── Chromium ──┘

What is typed: people_typed.py.  The page: people_page.py.  A stranger's first minute: people_wheel.py.  Memory, beside
this program as it was earlier: people_idle.py.  The inspector: people_inspector.py.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import people_idle
import people_inspector
import people_page
import people_typed
import people_wheel
from daemons import Broken
from measures import Row

RIVAL = "before"

ROWS = (
    *people_typed.ROWS,
    *people_page.ROWS,
    *people_wheel.ROWS,
    *people_idle.ROWS,
    *people_inspector.ROWS,
)

Figures = Mapping[str, Mapping[str, float]]  # contestant → row → figure


def run(
    place: Path, stack: contextlib.ExitStack, rounds: int
) -> tuple[Sequence[Row], dict[str, dict[str, list[float | None]]], list[str]]:
    """All rounds; figures as the loopback's.  What is `before` is an earlier state of this program."""
    figures: dict[str, dict[str, list[float | None]]] = {"hardline": {}, RIVAL: {}}
    errors: list[str] = []
    for what, part in (
        ("idle", people_idle.Idle),
        ("a page", people_page.Paint),
        ("typed", people_typed.Typist),
        ("inspector", people_inspector.Inspected),
        ("from a wheel", people_wheel.Stranger),
    ):
        if why := part.impossible():
            print(f"{what}: left out: {why}", flush=True)
            continue
        with contextlib.ExitStack() as inner:
            _all_rounds(what, part(place / what.replace(" ", "-"), inner).measure, rounds, figures, errors)
    return ROWS, figures, errors


def _all_rounds(
    what: str,
    measure: Callable[[int], Figures],
    rounds: int,
    figures: dict[str, dict[str, list[float | None]]],
    errors: list[str],
) -> None:
    for number in range(rounds):
        try:
            for name, seen in measure(number).items():
                for key, value in seen.items():
                    figures[name].setdefault(key, [None] * rounds)[number] = value
        except (Broken, OSError, AssertionError, subprocess.SubprocessError) as failure:
            errors.append(f"{what}, round {number + 1}: {str(failure)[:500]}")
        print(f"{what}, round {number + 1} of {rounds}", flush=True)
