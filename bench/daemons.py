"""A process that the bench started: it is stopped with the bench whatever happens, and says what it cost.

CPU time and memory count the process and its descendants (nginx has workers).  CPU time is the process clock that
clock_getcpuclockid(3) would name: nanoseconds where /proc/PID/stat has hundredths of a second, of which a
200 MB transfer through a good proxy takes a dozen.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_CPUCLOCK_SCHED = 2
_READY_LIMIT = 20.0  # seconds
_STOP_LIMIT = 3.0
_libc = ctypes.CDLL(None, use_errno=True)


class Broken(Exception):
    """Something that is measured did not do its work; the message says what was seen instead."""


class Daemon:
    """A running process in a session of its own, so that signals reach its children and a Ctrl-C only us."""

    def __init__(self, name: str, argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=None if env is None else {**os.environ, **env},
                start_new_session=True,
                preexec_fn=die_with_the_bench,
            )
        self.pid = self._process.pid

    def check(self) -> None:
        """Raise Broken with the end of its log if it has ended."""
        if self._process.poll() is not None:
            raise Broken(f"{self.name} ended with {self._process.returncode}: {self.last_words()}")

    def last_words(self) -> str:
        """The end of its log."""
        return self._log.read_text(errors="replace").strip()[-800:]

    def wait_listening(self, address: str, port: int) -> None:
        """Return once the port accepts.  Call it in the network namespace of the port."""
        deadline = time.monotonic() + _READY_LIMIT
        while True:
            self.check()
            try:
                socket.create_connection((address, port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise Broken(f"{self.name} does not listen on {port}: {self.last_words()}") from None
                time.sleep(0.01)

    def cpu(self) -> float:
        """Seconds of processor time since its start, children included."""
        return sum(cpu_of(pid) for pid in family(self.pid))

    def pss(self) -> float:
        """Its share of memory in MB (10**6), children included."""
        return sum(_pss_of(pid) for pid in family(self.pid))

    def stop(self) -> None:
        """End it and its children; idempotent."""
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_LIMIT)
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)


class ReadySocket:
    """The receiving end of sd_notify(3): how a daemon says that it is up."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(0.2)
        self.env = {"NOTIFY_SOCKET": str(path)}

    def wait(self, daemon: Daemon) -> None:
        """Return when READY=1 came; the socket is closed then."""
        deadline = time.monotonic() + _READY_LIMIT
        with self._socket:
            while time.monotonic() < deadline:
                try:
                    if b"READY=1" in self._socket.recv(4096).split(b"\n"):
                        return
                except TimeoutError:
                    daemon.check()
        raise Broken(f"{daemon.name} was not ready within {_READY_LIMIT:.0f} s: {daemon.last_words()}")


def free_port() -> int:
    """A TCP and UDP port that nobody has in this network namespace."""
    while True:
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port: int = tcp.getsockname()[1]
            with contextlib.suppress(OSError):
                udp.bind(("127.0.0.1", port))
                return port


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    parents: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = Path(entry.path, "stat").read_text(errors="replace").rpartition(")")[2].split()
                parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for member in found:
        found += parents.get(member, [])
    return found


def cpu_of(pid: int) -> float:
    """Seconds of processor time of one process since its start."""
    try:
        return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)
    except OSError:
        return 0.0  # it ended since it was listed


def _pss_of(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / 1e6


def die_with_the_bench() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
