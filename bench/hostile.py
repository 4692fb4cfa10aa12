"""`make bench ARGS=--hostile`: what others notice of each attack, as a table.

    pytest -s tests/hostile ──▶ a line of JSON for each attack (tests/hostile/siege.py) ──▶ table

The tests judge by processor time, for no machine may fail them; here are the seconds of the clock as well, and whether
they are within what is promised for a quiet machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parent.parent
_FIGURES = '{"test": '
FLOOR_MS, TIMES = 25.0, 3.0  # what others may wait at most: the larger of a p99, and of so many times the quiet one
GROWTH_MB = 64.0

HEAD = ("attack", "quiet", "under attack", "longest", "quiet", "under attack", "PSS +", "")
UNITS = ("others' p99 by the clock, then of the daemons' computing", "ms", "ms", "ms", "ms", "ms", "MB", "")


def run(names: list[str]) -> tuple[list[dict[str, Any]], int]:
    """The figures of all attacks, or of those of some files or tests, and the exit code of the tests.

    What they say is shown as it comes.
    """
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-s",
        "--tb=short",
        *(f"tests/hostile/{name}" for name in names or [""]),
    ]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout is not None
        seen = list(figures(_shown(tests.stdout)))
    return seen, tests.returncode


def figures(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Of what the tests print, the lines of siege.py; dots of pytest may stand before them."""
    for line in lines:
        start = line.find(_FIGURES)
        if start >= 0 and line[:start].strip(".FEsx") == "":
            yield json.loads(line[start:])


def row(seen: dict[str, Any]) -> tuple[str, ...]:
    """One attack."""
    before, during, after = seen["p99_ms"]
    work_before, work_during, work_after = seen["work_p99_ms"]
    quiet, grown = max(before, after), max(seen["growth_mb"])
    kept = during <= max(FLOOR_MS, TIMES * quiet) and grown <= GROWTH_MB
    shown = (quiet, during, seen["longest_ms"], max(work_before, work_after), work_during, grown)
    return title(seen["test"]), *(f"{figure:.1f}" for figure in shown), "PASS" if kept else "MISS"


def title(test: str) -> str:
    """A test's name as a sentence."""
    name, _, kind = test.rpartition("::")[2].removeprefix("test_").partition("[")
    return f"{name.replace('_', ' ')}{f' ({kind[:-1]})' if kind else ''}"


def render(seen: Iterable[dict[str, Any]]) -> str:
    """A Markdown table."""
    rows = [HEAD, UNITS, *map(row, seen)]
    widths = [max(len(line[column]) for line in rows) for column in range(len(HEAD))]
    text = ["| " + " | ".join(_pad(line, widths)) + " |" for line in rows]
    rule = "|" + "|".join("-" * (width + 1) + ("-" if column == 0 else ":") for column, width in enumerate(widths))
    return "\n".join([text[0], rule + "|", *text[1:]])


def _pad(line: tuple[str, ...], widths: list[int]) -> Iterator[str]:
    for column, (cell, width) in enumerate(zip(line, widths, strict=True)):
        yield cell.ljust(width) if column == 0 else cell.rjust(width)


def _shown(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if _FIGURES not in line:
            print(line, end="", flush=True)
        yield line
