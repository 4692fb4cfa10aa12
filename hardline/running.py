"""Which hardlineds run on this computer, for who finds none where he looks: each leaves a note while it runs.

    $XDG_RUNTIME_DIR/hardline/PID.node     its data directory, in one line; root's and the system's are in /run/hardline

A note whose process is gone says nothing, and the next hardlined there takes it away.
"""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_SYSTEM = Path("/run/hardline")
_END = ".node"
_LONGEST = 4096  # bytes of a path
_MOST = 100  # notes that are looked at


class Running(NamedTuple):
    """A hardlined: its process, whose it is, and where its things are."""

    pid: int
    user: int
    datadir: str

    @property
    def user_name(self) -> str:
        """As people know him."""
        try:
            return pwd.getpwuid(self.user).pw_name
        except KeyError:
            return str(self.user)


def leave_note(datadir: Path) -> Path | None:
    """Say that this process runs on `datadir`; returns what to remove at the end, None where there is no place."""
    directory = _own()
    if directory is None:
        return None
    note = directory / f"{os.getpid()}{_END}"
    try:
        directory.mkdir(mode=0o755, exist_ok=True)
        directory.chmod(directory.stat().st_mode | (0o055 if directory == _SYSTEM else 0))
        for old in _notes(directory):
            if _read(old) is None:
                with contextlib.suppress(OSError):
                    old.unlink()
        note.write_bytes(os.fsencode(datadir) + b"\n")
        note.chmod(0o644)
    except OSError:
        return None
    return note


def running() -> Iterator[Running]:
    """Those that can be seen from here: this user's own, and the system's."""
    for directory in dict.fromkeys((_own(), _SYSTEM)):
        if directory is not None:
            yield from (found for note in _notes(directory) if (found := _read(note)) is not None)


def _own() -> Path | None:
    """Where a hardlined of this user leaves its note."""
    if given := os.environ.get("RUNTIME_DIRECTORY"):  # systemd.exec(5)
        return Path(given.partition(":")[0])
    if not (user := os.geteuid()):
        return _SYSTEM
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{user}")
    return runtime / "hardline" if runtime.is_dir() else None


def _notes(directory: Path) -> list[Path]:
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        return sorted(Path(entry.path) for entry in entries if entry.name.endswith(_END))[:_MOST]
    return []


def _read(note: Path) -> Running | None:
    """What a note says, where its process is still its owner's."""
    pid = note.name.removesuffix(_END)
    if not (pid.isascii() and pid.isdigit()):
        return None
    try:
        with note.open("rb") as opened:
            user, said = os.fstat(opened.fileno()).st_uid, opened.read(_LONGEST)
        if os.stat(f"/proc/{pid}").st_uid != user:
            return None
    except OSError:
        return None
    return Running(int(pid), user, os.fsdecode(said.removesuffix(b"\n")))
