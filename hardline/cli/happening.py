"""What happened here, and what happens: the node's rows, as lines for people or programs.

log [NAME] ──▶ the last rows   ·   log -f [NAME] ──▶ those, and what comes   ·   watch ──▶ what comes
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from typing import Any

from hardline.cli.daemon import ask, follow, talk
from hardline.showable import plain
from hardline.terminal import write

Rows = list[dict[str, Any]]

_EVERY = 60.0  # seconds between two looks where nothing is said to have changed


def run(options: argparse.Namespace) -> None:
    """Run one of these."""
    words = _words_of(options)
    rows: Rows = ask(options, "log", after=0)
    last = max((row["number"] for row in rows), default=0)
    if options.command == "log":
        _show(options, _about(rows, words))
        if not options.follow:
            return
    else:
        talk("what happens here, until Ctrl-C")
    _follow(options, words, last)


def _follow(options: argparse.Namespace, words: list[str], last: int) -> None:
    from hardline.errors import HardlineError

    with contextlib.closing(follow(options, "changes", every=_EVERY)) as news:
        for _ in news:
            rows: Rows = ask(options, "log", after=last)
            last = max((row["number"] for row in rows), default=last)
            _show(options, _about(rows, words), as_lines=True)
    raise HardlineError("the hardlined has ended", hint="start it, and this command again")


def _words_of(options: argparse.Namespace) -> list[str]:
    """What the service that is asked about is called in a row; none for all."""
    if (what := getattr(options, "what", None)) is None:
        return []
    match = ask(options, "find", what=what)
    return [word.casefold() for word in {match["name"], match["title"], what} if word]


def _about(rows: Rows, words: list[str]) -> Rows:
    return [row for row in rows if not words or any(word in row["sentence"].casefold() for word in words)]


def _show(options: argparse.Namespace, rows: Rows, *, as_lines: bool = False) -> None:
    if options.json:
        import json

        for told in rows if as_lines else [rows]:
            write(json.dumps(told, indent=None if as_lines else 2))
    else:
        for row in rows:
            write(line(row, time.time()))
    sys.stdout.flush()


def line(row: dict[str, Any], now: float) -> str:
    """One row; `now` is seconds since 1970."""
    at, today = time.localtime(row["when"]), time.localtime(now)
    clock = time.strftime("%H:%M:%S" if at[:3] == today[:3] else "%Y-%m-%d %H:%M:%S", at)
    often = f" ({row['count']} times)" if row.get("count", 1) > 1 else ""
    return f"{clock}  {plain(row['sentence'])}{often}"
