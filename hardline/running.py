"""Which hardlineds run on this computer, for who finds none where he looks: each leaves a note while it runs.

    $XDG_RUNTIME_DIR/hardline/PID.node     its data directory, in one line; root's and the system's are in /run/hardline

A note whose process is gone says nothing, and the next hardlined there takes it away.  XDG_RUNTIME_DIR may be /tmp:
a directory of somebody else's is not used, what is written follows no link, and what is read is no pipe.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hardline.places import SYSTEM, runtime_directory

_USERS = Path("/run/user")
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
    directory = own_directory()
    if directory is None:
        return None
    note = directory / f"{os.getpid()}{_END}"
    try:
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode=0o755)
        if not may_be_used(directory):
            return None
        if directory == SYSTEM:
            directory.chmod(directory.stat().st_mode | 0o055)
        for old in _notes(directory):
            if _read(old) is None:
                with contextlib.suppress(OSError):
                    old.unlink()
        # In root's place the system's user may write, too, and put a link where root is about to write.
        with open(os.open(note, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as opened:
            opened.write(os.fsencode(datadir) + b"\n")
            os.fchmod(opened.fileno(), 0o644)
    except OSError:
        return None
    return note


def running() -> Iterator[Running]:
    """Those that can be seen from here: this user's own, and the system's."""
    for directory in dict.fromkeys((own_directory(), SYSTEM)):
        if directory is not None:
            yield from (found for note in _notes(directory) if (found := _read(note)) is not None)


def of_users() -> Iterator[Running]:
    """Those that users of this computer run for themselves, for root, who sees them all."""
    with contextlib.suppress(OSError):
        for directory in sorted(_USERS.glob("*/hardline")):
            yield from (found for note in _notes(directory, anybodys=True) if (found := _read(note)) is not None)


def own_directory() -> Path | None:
    """Where a hardlined of this user leaves its note, and its socket for a group; it need not be there."""
    if given := os.environ.get("RUNTIME_DIRECTORY"):  # systemd.exec(5)
        return Path(given.partition(":")[0])
    if not (user := os.geteuid()):
        return SYSTEM
    runtime = runtime_directory(user)
    return runtime / "hardline" if os.path.isdir(runtime) else None


def may_be_used(directory: Path, *, anybodys: bool = False) -> bool:
    """Nobody but this user and the system can have put anything there, or, where it may be `anybodys`, but one user and
    the system.  Raises OSError."""
    facts = os.lstat(directory)
    writable = facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    mine = anybodys or facts.st_uid == os.geteuid()
    return stat.S_ISDIR(facts.st_mode) and (directory == SYSTEM or (mine and not writable))


def _notes(directory: Path, *, anybodys: bool = False) -> list[Path]:
    with contextlib.suppress(OSError):
        if may_be_used(directory, anybodys=anybodys):
            with os.scandir(directory) as entries:
                return sorted(Path(entry.path) for entry in entries if entry.name.endswith(_END))[:_MOST]
    return []


def _read(note: Path) -> Running | None:
    """What a note says, where its process is still its owner's."""
    pid = note.name.removesuffix(_END)
    if not (pid.isascii() and pid.isdigit()):
        return None
    try:
        descriptor = os.open(note, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(descriptor, "rb") as opened:
            facts, said = os.fstat(descriptor), opened.read(_LONGEST)
        user = facts.st_uid
        if not stat.S_ISREG(facts.st_mode) or os.stat(f"/proc/{pid}").st_uid != user:
            return None
    except OSError:
        return None
    return Running(int(pid), user, os.fsdecode(said.removesuffix(b"\n")))
