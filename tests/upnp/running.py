"""The holder as a process, and what a test asks of it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.waiting import wait_until
from tests.upnp.home import Box

_ROOT = Path(__file__).parents[2]
_TRY = (
    "import socket, sys; s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 1); print(s.recv(99).decode())"
)


class Holder:
    """Runs at a box from the start of the `with` to its end."""

    def __init__(self, box: Box, *options: str, log: Path) -> None:
        self._box, self._options = box, options
        self._lines: list[dict[str, Any]] = []
        self._log = log

    def __enter__(self) -> Self:
        command = [sys.executable, "-W", "error", "-m", "tests.upnp.holder", *self._options]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                *(self._box.wrap(command),),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=_ROOT,
            )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def status(self) -> dict[str, Any]:
        """What it knows now."""
        before = len(self._lines)
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        wait_until(lambda: len(self._lines) > before, "it answered", 5, every=0.005)
        return self._lines[-1]

    def wait_for_endpoint(self, *endpoints: str, timeout: float = 15) -> dict[str, Any]:
        """Wait until it can be reached at exactly these, in any order."""
        wait_until(lambda: sorted(self.status()["endpoints"]) == sorted(endpoints), f"it knew {endpoints}", timeout)
        return self._lines[-1]

    def stop(self) -> dict[str, Any]:
        """End it as a person does; returns its last words."""
        self._process.terminate()
        assert self._process.wait(100) == 0, self._log.read_text()
        self._reader.join(100)
        self._close()
        return self._lines[-1]

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it as a crash does."""
        self._process.kill()
        self._process.wait()
        self._reader.join(100)
        self._close()

    def log_text(self) -> str:
        return self._log.read_text()

    def _close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            pipe.close()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._lines.append(json.loads(line))


def reach(box: Box, address: str, port: int) -> str:
    """What somebody at `box` gets who connects there; "" when nothing."""
    try:
        return box.run([sys.executable, "-c", _TRY, address, str(port)]).strip()
    except AssertionError:
        return ""
