"""What a daemon holds at a quiet moment, and whether that is more than it may hold.

    first quiet moment of a daemon ──── later ones: no descriptor, task or file more than its sessions explain,
                                        threads within the pool that asyncio fills as it needs them
    second quiet moment of a process ── later ones: memory is flat

Descriptors, threads and memory are what /proc says: a daemon could count itself wrongly.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.netns.lab import Machine
from tests.support.node import Node

MEMORY_LIMIT = 8_000_000  # bytes that a process may grow from its second quiet moment on
POOL = min(32, (os.cpu_count() or 1) + 4)  # threads of asyncio's default executor, started as they are needed

# Tasks that a session explains: one each.  The request for status is a task itself.
_WRITTEN_LATER = frozenset(("visits.db", "visits.db-shm", "visits.db-wal"))
_OF_SESSIONS = {"visitor.warm": "visiting", "host.welcome": "hosting"}
_OWN = {"control.request": 1}
_DATABASE = re.compile(r"routes\.db-(wal|shm|journal)\Z")  # SQLite's, while it is open
_TROUBLE = (
    "Traceback (most recent call last)",
    "was never retrieved",
    "was never awaited",
    "Task was destroyed",
    "task.failed",
)


@dataclass(frozen=True, slots=True)
class Vitals:
    """Of one process at one moment.

    `memory` is the part of `pss` that no file is behind: the shares of the libraries' pages change when other
    programs come and go.
    """

    pid: int
    descriptors: int
    threads: int
    pss: int
    memory: int
    tasks: Mapping[str, int]
    visiting: int
    hosting: int
    streams: int
    files: frozenset[str]

    @property
    def sessions(self) -> int:
        return self.visiting + self.hosting

    def __str__(self) -> str:
        memory = f"PSS {self.pss / 1e6:.1f} MB, of its own {self.memory / 1e6:.1f} MB"
        held = f"{self.descriptors} descriptors, {self.threads} threads, {sum(self.tasks.values())} tasks"
        return f"{memory}, {held}, {self.sessions} sessions"


def take(node: Node) -> Vitals:
    """Ask a running daemon, then its process."""
    status, process = node.status(), Path(f"/proc/{node.process.pid}")
    roles = [session["role"] for session in status["sessions"]]
    return Vitals(
        pid=node.process.pid,
        descriptors=len(list((process / "fd").iterdir())),
        threads=len(list((process / "task").iterdir())),
        pss=node.pss(),
        memory=node.pss("Pss_Anon"),
        tasks=status["process"]["tasks"],
        visiting=roles.count("visiting"),
        hosting=roles.count("hosting"),
        streams=sum(session["streams"] for session in status["sessions"]),
        files=frozenset(
            str(file.relative_to(directory))
            for directory in (node.data, node.services)
            for file in directory.rglob("*")
            if not _DATABASE.search(file.name)
        ),
    )


def processor_seconds(node: Node) -> float:
    """What its process has used since it began."""
    fields = Path(f"/proc/{node.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime and stime, proc(5)


def complaints(first: Vitals, now: Vitals) -> list[str]:
    """What `now` has too much, compared with the first quiet moment of the same daemon."""
    said = []
    if now.streams:
        said.append(f"{now.streams} streams are open, and nobody uses one")
    # Each of these files is opened once, when its first row is written, and stays open.
    later = (now.files - first.files) & _WRITTEN_LATER
    fixed = first.descriptors - first.sessions + len(later)
    if now.descriptors > fixed + now.sessions:
        said.append(f"{now.descriptors} descriptors, expected {fixed} and {now.sessions} of sessions")
    if now.threads > first.threads + POOL:
        said.append(f"{now.threads} threads, expected {first.threads} and at most {POOL} of the pool")
    for work, count in now.tasks.items():
        if work in _OF_SESSIONS:
            allowed = now.visiting if _OF_SESSIONS[work] == "visiting" else now.hosting
        else:
            allowed = max(first.tasks.get(work, 0), _OWN.get(work, 0))
        if count > allowed:
            said.append(f"{count} tasks {work}, expected {allowed}")
    if more := now.files - first.files - later:
        said.append(f"files that were not there: {', '.join(sorted(more))}")
    return said


def too_much_memory(of_one_process: Sequence[Vitals]) -> str | None:
    """Whether it grew too much; the first moment is from before buffers of all sizes were used."""
    if len(of_one_process) > 2 and (grown := of_one_process[-1].memory - of_one_process[1].memory) > MEMORY_LIMIT:
        return f"its memory grew by {grown / 1e6:.1f} MB to {of_one_process[-1].memory / 1e6:.1f} MB"
    return None


def slope(moments: list[tuple[float, int]]) -> float:
    """The growth that fits best, in bytes per second (least squares); 0 for fewer than three moments."""
    if len(moments) < 3:
        return 0.0
    mean_time = sum(time for time, _ in moments) / len(moments)
    mean_size = sum(size for _, size in moments) / len(moments)
    spread = sum((time - mean_time) ** 2 for time, _ in moments)
    return sum((time - mean_time) * (size - mean_size) for time, size in moments) / spread


def sockets(machine: Machine, pid: int) -> list[str]:
    """The TCP connections of a process, as ss shows them; a machine without any shows none."""
    listed = machine.run(["ss", "-Htnpo"]).splitlines()
    return [" ".join(line.split()) for line in listed if f"pid={pid}," in line]


def left_half_closed(machine: Machine, pid: int) -> list[str]:
    """Those whose other side is gone, and that the process did not close."""
    return [line for line in sockets(machine, pid) if line.startswith("CLOSE-WAIT")]


class LogWatch:
    """Reads what a daemon's log got since the last look, and picks out what must never be there."""

    def __init__(self, file: Path) -> None:
        self._file, self._read = file, 0

    def troubles(self) -> list[str]:
        if not self._file.exists():
            return []
        with self._file.open("rb") as log:
            log.seek(self._read)
            news = log.read()
        self._read += len(news)
        lines = news.decode(errors="replace").splitlines()
        return [
            "\n".join(lines[number : number + 30])
            for number, line in enumerate(lines)
            if any(trouble in line for trouble in _TROUBLE)
        ]

    def tail(self, count: int = 15) -> list[str]:
        """Its last lines."""
        if not self._file.exists():
            return []
        with self._file.open("rb") as log:
            log.seek(max(0, self._file.stat().st_size - 400 * count))
            return log.read().decode(errors="replace").splitlines()[-count:]
