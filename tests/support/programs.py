"""Programs that tests start: the origin, and curl, on this computer or on a machine of the laboratory."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.support.waiting import wait_until

CUT = (18, 56)  # curl's exit codes for a transfer that ended too early: CURLE_PARTIAL_FILE, CURLE_RECV_ERROR
_ORIGIN = "tests.support.origin"
_ROOT = Path(__file__).parents[2]


class Place(Protocol):
    """Where a program can run: a machine of the laboratory."""

    def wrap(self, command: Sequence[str | Path]) -> list[str]: ...


def placed(place: Place | None, command: Sequence[str | Path]) -> list[str]:
    """`command` as it runs at `place`; None is this computer."""
    return place.wrap(command) if place else [str(word) for word in command]


class RunningOrigin:
    """An origin as a process: the module `program`, which takes --name and --port and prints the port."""

    def __init__(self, place: Place | None, name: str, port: int, program: str = _ORIGIN) -> None:
        self._place, self._name, self._program = place, name, program
        self.port = port
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Listen on the port it had before, or any free one the first time."""
        command = [sys.executable, "-m", self._program, "--name", self._name, "--port", str(self.port)]
        self._process = subprocess.Popen(
            placed(self._place, command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, cwd=_ROOT
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        """As a crash does it."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@contextlib.contextmanager
def running_origin(
    place: Place | None = None, name: str = "the origin", port: int = 0, program: str = _ORIGIN
) -> Iterator[RunningOrigin]:
    """An origin on 127.0.0.1 of `place`."""
    origin = RunningOrigin(place, name, port, program)
    origin.start()
    try:
        yield origin
    finally:
        origin.kill()


@dataclass(frozen=True, slots=True)
class Answer:
    """What curl saw.  `code` is its exit code, `status` the HTTP status (0: none); times are in seconds."""

    code: int
    status: int
    body: bytes
    first_byte: float
    total: float
    complaint: str

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def curl(url: str, *options: str | Path, at: Place | None = None, limit: float = 60) -> Answer:
    """Fetch `url`, never longer than `limit` seconds."""
    done = subprocess.run(_curl_command(url, options, at, limit), capture_output=True, timeout=limit + 60, check=False)
    complaint, _, figures = done.stderr.decode(errors="replace").rpartition("\n")
    told = json.loads(figures)
    return Answer(
        done.returncode, told["http_code"], done.stdout, told["time_starttransfer"], told["time_total"], complaint
    )


class Download:
    """A curl that is still running.  A context manager: it does not outlive the test."""

    def __init__(self, url: str, to: Path, *options: str | Path, at: Place | None = None, limit: float = 300) -> None:
        self._to = to
        command = _curl_command(url, ("-N", "-o", to, *options), at, limit)
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def __enter__(self) -> Download:
        return self

    def __exit__(self, *_: object) -> None:
        if self.running:
            self._process.kill()
        self._process.wait()

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def received(self) -> int:
        return self._to.stat().st_size if self._to.exists() else 0

    def has_received(self, count: int, timeout: float = 20) -> None:
        """Wait until `count` bytes are there."""
        wait_until(lambda: self.received >= count, f"{count} bytes arrived", timeout)

    def exit_code(self, timeout: float = 300) -> int:
        """Wait for its end."""
        return self._process.wait(timeout)


def _curl_command(url: str, options: Sequence[str | Path], at: Place | None, limit: float) -> list[str]:
    fixed = ["curl", "-q", "-sS", "-m", str(limit), "--noproxy", "*", "-w", "%{stderr}\n%{json}"]
    return placed(at, [*fixed, *options, url])
