"""`hardline doctor`: what keeps this node from working, or a visit from its end, in one sentence each."""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hardline import __version__, terminal
from hardline.asking import ask, follow
from hardline.cli.daemon import datadir, place, talk
from hardline.doctor.checks import NAMES
from hardline.doctor.examine import by_check
from hardline.doctor.facts import read
from hardline.doctor.report import report
from hardline.doctor.rows import Row, State, as_json
from hardline.doctor.threads import in_thread
from hardline.doctor.visit import Step, Verdict
from hardline.errors import ConfigError, Deaf, HardlineError, NoDaemon
from hardline.files import hint_for, why, write_new
from hardline.showable import plain

if TYPE_CHECKING:
    from hardline.cli.alone import Alone

_WIDEST = max(map(len, NAMES))
_FAILED, _NO_DAEMON = 1, 3
_COLOURS = {State.OK: "32", State.WARN: "33", State.FAIL: "31", State.NOT_CHECKED: "2"}
_OTHER_VERSION = "the hardlined that runs is of another version"


def run(options: argparse.Namespace) -> int:
    """Run it; returns its exit code."""
    showing = _Showing(options)
    try:
        code = asyncio.run(_visit(options, showing) if options.name else _examine(options, showing))
    finally:
        showing.end()
    if options.json:
        terminal.write(json.dumps({"rows": [as_json(row) for row in showing.rows], "code": code}, indent=2))
    elif not options.name:
        talk(_summary(showing.rows))
    if options.report:
        _write_report(options, showing.rows)
    return code


class _Showing:
    """Rows on the terminal, each when it is known, in the order in which they are read."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.rows: list[Row] = []
        self._early: dict[str, list[Row]] = {}
        self._left = list(NAMES) if not options.name else []
        self._silent = options.json
        self._colours = terminal.has_colours()

    def add(self, rows: Sequence[Row]) -> None:
        """Those of one check."""
        self._early.setdefault(rows[0].check, []).extend(rows)
        while self._left and self._left[0] in self._early:
            self._show(self._early.pop(self._left.pop(0)))
        self._progress()

    def show(self, row: Row) -> None:
        """One that comes in order."""
        self._show([row])

    def end(self) -> None:
        """Nothing is waited for any more."""
        if not self._silent:
            terminal.progress("")

    def _show(self, rows: Sequence[Row]) -> None:
        self.rows += rows
        if self._silent:
            return
        terminal.progress("")
        for row in rows:
            for line in lines(row, colours=self._colours):
                terminal.write(line)
        with suppress(OSError):
            sys.stdout.flush()

    def _progress(self) -> None:
        if not self._silent and (waits := [name for name in self._left if name not in self._early]):
            terminal.progress(f"… {', '.join(waits[:4])}{' and more' if len(waits) > 4 else ''}")


def lines(row: Row, *, colours: bool = False) -> list[str]:
    """A row as people read it."""
    state = f"{row.state:<11}"
    if colours:
        state = f"\x1b[{_COLOURS[row.state]}m{state}\x1b[0m"
    took = f"  ({1000 * row.took_s:.0f} ms)" if row.took_s is not None and row.check not in NAMES else ""
    said = [f"{state}  {row.check:<{_WIDEST}}  {row.sentence}{took}"]
    if row.do:
        said.append(f"{'':<11}  {'':<{_WIDEST}}  → {row.do}")
    return said


def _summary(rows: Sequence[Row]) -> str:
    failed = [row.check for row in rows if row.state is State.FAIL]
    warned = sum(row.state is State.WARN for row in rows)
    if not failed:
        return f"nothing failed{f', {warned} to look at' if warned else ''}"
    return f"{len(failed)} failed: {', '.join(dict.fromkeys(failed))}"


# All checks.


async def _examine(options: argparse.Namespace, showing: _Showing) -> int:
    node = await _node(options)
    async with aclosing(by_check(node)) as found:
        async for rows in found:
            showing.add(rows)
    if isinstance(node, _Running):
        return _FAILED if any(row.state is State.FAIL for row in showing.rows) else 0
    return _NO_DAEMON if isinstance(node.nobody, NoDaemon) else _FAILED


async def _node(options: argparse.Namespace) -> _Running | Alone:
    """Whom to ask: the daemon, or, where none runs or it does not answer, its files."""
    at = place(options)
    try:
        await in_thread(lambda: ask(at, "status"))
    except (NoDaemon, Deaf) as nobody:
        return await asyncio.to_thread(_alone, options, datadir(options), nobody)
    return _Running(at)


def _alone(options: argparse.Namespace, at: Path, nobody: NoDaemon | Deaf) -> Alone:
    from hardline.cli.alone import Alone, places_of
    from hardline.places import default_places

    places, knows = places_of(at, default_places(), options.config)
    alone = Alone(nobody, places, knows_services=knows)
    alone.load()
    return alone


class _Running:
    """The daemon on a data directory, asked over its socket, by as many questions at once as there are."""

    def __init__(self, at: Path) -> None:
        self._at = at

    async def status(self) -> Mapping[str, Any]:
        """As docs/STATUS.md has it."""
        found: Mapping[str, Any] = await in_thread(lambda: ask(self._at, "status"))
        return found

    async def facts(self, about: str) -> Any:
        """One of doctor.facts.Facts."""
        try:
            return await in_thread(lambda: ask(self._at, "doctor", about=about))
        except ConfigError as failure:
            if "does not know" in failure.message:
                raise HardlineError(_OTHER_VERSION, "restart it") from None
            raise


# One visit.


async def _visit(options: argparse.Namespace, showing: _Showing) -> int:
    verdict, at = Verdict(), place(options)
    steps = follow(at, "trace", what=options.name)
    try:
        while (step := await in_thread(lambda: next(steps, None))) is not None:
            try:
                showing.show(verdict.row(read(Step, step)))
            except ValueError:
                raise ConfigError(_OTHER_VERSION, hint="restart it") from None
    finally:
        with suppress(ValueError):  # a thread still waits for the next of them, and ends with this program
            steps.close()
    showing.show(verdict.conclusion())
    return verdict.code


# The report.


def _write_report(options: argparse.Namespace, rows: Sequence[Row]) -> None:
    status: Mapping[str, Any] = {}
    with suppress(HardlineError):
        status = ask(place(options), "status")
    about = [
        ("hardline doctor", time.strftime("%Y-%m-%d %H:%M %Z")),
        ("hardline", f"{__version__}, running {status.get('version', 'none')}"),
        ("engine", str(status.get("process", {}).get("engine", "none"))),
        ("python", platform.python_version()),
        ("system", f"{platform.system()} {platform.release()} {platform.machine()}"),
    ]
    text = report(about, rows)
    file = Path(options.report)
    try:
        write_new(file, text.encode("utf-8", "replace"), 0o600)
    except FileExistsError:
        raise ConfigError("there is such a file already", file=str(file), hint="remove it, or name another") from None
    except OSError as failure:
        raise ConfigError(why(failure), file=str(file), hint=hint_for(failure)) from None
    talk(f"written to {plain(str(file))}: look through it before you send it to anybody")
