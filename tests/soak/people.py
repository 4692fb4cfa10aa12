"""The traffic of one machine as the soak sees it: a program in the machine's namespace, its orders, what it tells."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.soak.ledger import Outcome
from tests.soak.plan import Plan, Shared
from tests.soak.town import Resident

ROOT = Path(__file__).parents[2]
WORKERS = 10  # on each visitor's machine


class People:
    """The traffic of one machine.  `happened` is called with every errand that ended, in a thread of its own."""

    def __init__(
        self, visitor: Resident, shared: Sequence[Shared], seed: str, happened: Callable[[Outcome], None]
    ) -> None:
        self.visitor = visitor
        plan = Plan(visitor.name, seed, visitor.node.localport, str(visitor.node.data), WORKERS, shared)
        self._happened = happened
        self._paused = threading.Event()
        self.process = subprocess.Popen(
            visitor.machine.wrap([sys.executable, "-m", "tests.soak.traffic", plan.to_json()]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def order(self, what: str) -> None:
        """go, or pause."""
        assert self.process.stdin is not None
        self._paused.clear()
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()

    def has_paused(self, timeout: float) -> bool:
        """Wait until every errand has ended, after the order to pause."""
        return self._paused.wait(timeout)

    def end(self) -> None:
        """At once."""
        self.process.kill()
        self.process.wait()
        self._reader.join()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            told = json.loads(line)
            if "paused" in told:
                self._paused.set()
            else:
                self._happened(Outcome(self.visitor.name, **told))
