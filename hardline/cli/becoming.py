"""Where no hardlined runs, the terminal becomes it for what was asked.

share, open ── NoDaemon ──▶ at a terminal: hardlined in this process until Ctrl-C, and then what was asked
                        └─▶ elsewhere, or where another one runs: exit code 3
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from hardline.cli.daemon import ask, others, talk
from hardline.errors import HardlineError, NoDaemon
from hardline.terminal import is_asked, is_watched

_AGAIN = 0.05  # seconds


def or_become(options: argparse.Namespace, do: Callable[[], None]) -> int:
    """Do it; where nobody can be asked, become who can.  Returns the exit code.  Raises NoDaemon naming others."""
    try:
        do()
    except NoDaemon:
        if others(options) or not (is_asked() and is_watched()):
            raise
        return _become(options, do)
    return 0


def _runs(options: argparse.Namespace) -> bool:
    try:
        ask(options, "status")
    except HardlineError:
        return False
    return True


def _become(options: argparse.Namespace, do: Callable[[], None]) -> int:
    from hardline.process import run_daemon

    failed: list[HardlineError] = []

    def ask_once_it_runs() -> None:
        while True:
            try:
                do()
            except NoDaemon:
                time.sleep(_AGAIN)
                continue
            except HardlineError as failure:
                if _runs(options):  # or it is the end of that
                    failed.append(failure)
                    os.kill(os.getpid(), signal.SIGTERM)
            sys.stdout.flush()
            return

    talk("no hardlined runs, so this terminal is it until Ctrl-C; to keep it running: hardline service install")
    threading.Thread(target=ask_once_it_runs, daemon=True).start()
    named: str | None = getattr(options, "datadir", None)
    code = run_daemon(
        argparse.Namespace(
            **dict.fromkeys(("servicedir", "localport", "p2pport", "bind", "group", "config", "log_format")),
            datadir=Path(named) if named else None,
            log_level="warning",
        )
    )
    if failed:
        raise failed[0]
    return code
