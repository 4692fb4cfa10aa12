"""Processors that do not sleep while something is measured.

One request at a time leaves them idle between two programs, and on a virtual machine to wake one costs more than most
programs need for the request.  What is computed here gives way to all else at once (SCHED_IDLE, sched(7)).
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

from daemons import die_with_the_bench

_BUSY = "import os; os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\nwhile True: pass"


@contextlib.contextmanager
def awake() -> Iterator[None]:
    """All that this process may run on."""
    busy: list[subprocess.Popen[bytes]] = []
    try:
        busy += [
            subprocess.Popen([sys.executable, "-S", "-c", _BUSY], preexec_fn=die_with_the_bench)
            for _ in os.sched_getaffinity(0)
        ]
        yield
    finally:
        for one in busy:
            one.kill()
            one.wait()
