"""Small files of the owner: read with a limit, written whole or not at all.

    write_new:  .NAME.random (mode from the first moment) ─ write ─ fsync ─ link to NAME ─ fsync of the directory

A file that is there is never overwritten, and a crash, a full disk or a power cut leaves the old state or
the new one.  Reading never waits for a pipe and never takes more than it was told.  Both block: call them
from a worker thread.  They raise OSError, and `hint_for` says what the owner can do about it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_HINTS = {
    errno.EACCES: "let the user that runs hardlined read and write there, or run it as another user",
    errno.EPERM: "let the user that runs hardlined read and write there, or run it as another user",
    errno.EROFS: "the disk is mounted read-only: choose a directory that can be written",
    errno.ENOSPC: "the disk is full: make room",
    errno.EDQUOT: "the quota is used up: make room",
    errno.EMFILE: "let the program that runs hardlined give it more open files (ulimit -n)",
}
_OTHERS = 0o077
# What a file system without hard links answers (FAT, some network and Android ones).
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


@dataclass(frozen=True, slots=True)
class SmallFile:
    """What was read, and the permission bits that the same open file had."""

    data: bytes
    mode: int


def read_small(path: Path, limit: int) -> SmallFile:
    """Read a plain file of at most `limit` bytes.

    Raises OSError: EFBIG for a bigger one, EINVAL for what is no plain file (a directory, a pipe, a device).
    """
    # O_NONBLOCK: opening a named pipe would otherwise wait for a writer for ever.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(errno.EINVAL, "is no plain file", str(path))
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(limit + 1)
    finally:
        os.close(descriptor)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"is bigger than {limit} bytes", str(path))
    return SmallFile(data, stat.S_IMODE(facts.st_mode))


def write_new(path: Path, data: bytes, mode: int) -> None:
    """Make `path` with `data`, whole or not at all.  Raises FileExistsError when it is there already."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        _name(draft, path)
    finally:
        with contextlib.suppress(OSError):  # it was never made, or the disk went meanwhile: the failure itself is told
            draft.unlink()
    _sync_directory(path.parent)


def replace_whole(path: Path, data: bytes) -> None:
    """Have `path` be `data`, whole or not at all, with the permissions that it had; for its owner only where it is new.

    A link is followed: what it leads to is replaced.  Raises OSError, also for one that its owner may not write.
    """
    path = path.resolve()
    before = path.stat() if path.exists() else None
    mode = stat.S_IMODE(before.st_mode) if before else 0o600
    if not mode & stat.S_IWUSR:
        raise OSError(errno.EACCES, "is read-only", str(path))
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            if before is not None and (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(descriptor, before.st_uid, before.st_gid)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        draft.replace(path)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
    _sync_directory(path.parent)


def rename_new(old: Path, new: Path) -> None:
    """Give `old` the name `new` in the same directory.  Raises FileExistsError when that is there already."""
    _name(old, new)
    old.unlink(missing_ok=True)
    _sync_directory(new.parent)


def is_closed_to_others(path: Path) -> bool:
    """Whether nobody but the owner may do anything with `path`.  Raises OSError."""
    return not path.stat().st_mode & _OTHERS


def close_to_others(path: Path) -> None:
    """Take from everybody but the owner what they may do with `path`.  Raises OSError where the system refuses."""
    path.chmod(stat.S_IMODE(path.stat().st_mode) & ~_OTHERS)


def probe(directory: Path) -> None:
    """Raise OSError where a file of a block could not be written in `directory`.

    Under a name that nobody can have put a link at: others may be able to write there, too.
    """
    draft = directory / f".probe.{secrets.token_hex(4)}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        os.write(descriptor, bytes(4096))
    finally:
        os.close(descriptor)
        draft.unlink()


@contextlib.contextmanager
def as_owner(directory: Path) -> Iterator[None]:
    """While root writes in what belongs to another user, be that user: what is made is his, and a link that he has put
    there leads no further than he gets himself.  Raises OSError.

    For a program that does nothing else meanwhile, and imports nothing: what it is made of may be closed to him.
    `directory` need not be there yet; then the one in which it will be made counts.
    """
    while not os.path.lexists(directory) and directory != directory.parent:
        directory = directory.parent
    facts, group, groups = directory.stat(), os.getegid(), os.getgroups()
    if os.geteuid() or not facts.st_uid:
        yield
        return
    os.setgroups([])
    os.setegid(facts.st_gid)
    os.seteuid(facts.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def give_tree(directory: Path, user: int, group: int) -> None:
    """Have what is root's in `directory` be `user`'s, who may write there meanwhile: nothing that his links lead to,
    and no file that has another name elsewhere.  Raises OSError."""
    for _, _, names, at in os.fwalk(directory, follow_symlinks=False):
        if os.fstat(at).st_uid == 0:
            os.fchown(at, user, group)
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                facts = os.stat(name, dir_fd=at, follow_symlinks=False)
                if facts.st_uid == 0 and stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1:
                    os.chown(name, user, group, dir_fd=at, follow_symlinks=False)


def why(failure: OSError) -> str:
    """The system's words, as a message has them."""
    return (failure.strerror or str(failure)).lower()


def hint_for(failure: OSError) -> str:
    """What the owner can do about `failure`; empty where the message says it all."""
    return _HINTS.get(failure.errno or 0, "")


def _name(draft: Path, path: Path) -> None:
    try:
        os.link(draft, path)  # unlike a rename, it fails when `path` is there
    except OSError as failure:
        if failure.errno not in _NO_LINKS:
            raise
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        draft.rename(path)


def _sync_directory(directory: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as failure:
        if failure.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems cannot, and need not
            raise
    finally:
        os.close(descriptor)


def make_private(directory: Path) -> None:
    """Make `directory` and what is missing above it, for their owner only: whoever may write above it could put another
    in its place.  Raises OSError."""
    missing = [one for one in (directory, *directory.parents) if not os.path.lexists(one)]
    for one in reversed(missing):
        one.mkdir(mode=0o700, exist_ok=True)
    directory.mkdir(mode=0o700, exist_ok=True)
