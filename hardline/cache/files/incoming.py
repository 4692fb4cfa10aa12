"""One file that a visitor brings, on its way onto the disk.  Everything here blocks.

    open ─ write ─ write ─ … ─ keep(name) ─▶ the name it got        a file without a name until it is whole
                            └─ close      ─▶ nothing was ever there

Where the system can (Linux, most file systems), the file has no name at all before it is whole: whatever ends this
program, no part of it is left.  Elsewhere it has a hidden name meanwhile, and what an earlier end has left of such is
removed by the next one that comes to the directory.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import time
from collections.abc import Iterator

from hardline.cache.files import naming
from hardline.cache.files.tree import Tree
from hardline.cache.kept import layout

# Never served, by its end, even where hidden names are.
_DRAFT, _DRAFT_END = ".hardline-", layout.DRAFT
_FORGOTTEN = 86_400.0  # seconds after which nobody writes to a draft any more
_OPEN_FILES = "/proc/self/fd"  # by which a file without a name gets one; not everywhere there, even on Linux
_NO_TMPFILE = {errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL, errno.ENOSYS}
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}
_FULL = {errno.ENOSPC, errno.EDQUOT}
_AT_ONCE = 32 << 20  # bytes that may wait for the disk: nobody waits for more of them than that at the end
_RESERVE = 1 << 30  # bytes that stay free on a large disk, and of a small one
_RESERVE_SHARE = 20  # this part of it


class Full(OSError):
    """The disk has no room for it."""


class Incoming:
    """A file in the directory `names` of `tree`.  Raises FileNotFoundError where that is none for visitors, Full, and
    OSError where the system does not let this program write there."""

    def __init__(self, tree: Tree, names: tuple[str, ...], size: int | None) -> None:
        opened = tree.open(names)
        if opened is None or not opened.is_directory:
            if opened is not None:
                opened.close()
            raise FileNotFoundError(errno.ENOENT, "no such directory")
        self._directory, self._mode = opened.fd, stat.S_IMODE(opened.facts.st_mode) & 0o666
        self._draft = ""
        self._fd = -1
        self.size = self._synced = 0
        try:
            with _fullness():
                self._fd = self._open()
            self._check_room(size or 0)
        except BaseException:
            self.close()
            raise

    def write(self, data: bytes) -> None:
        """Add to it.  Raises Full, OSError."""
        self._check_room(len(data))
        view = memoryview(data)
        with _fullness():
            while view:
                view = view[os.write(self._fd, view) :]
            self.size += len(data)
            if self.size - self._synced >= _AT_ONCE:
                os.fsync(self._fd)
                self._synced = self.size

    def keep(self, name: str) -> str:
        """It is whole: give it `name`, or the next one that is free; which one it got.  Raises FileExistsError."""
        # As others in this directory may be read, and nobody runs what a stranger brought.
        with contextlib.suppress(OSError):
            os.fchmod(self._fd, self._mode | stat.S_IRUSR | stat.S_IWUSR)
        with _fullness():  # of a quota some disks tell only now
            os.fsync(self._fd)
            for number in range(1, naming.MOST + 1):
                given = naming.numbered(name, number)
                if self._take(given):
                    return given
        raise FileExistsError(errno.EEXIST, "all names like this are taken")

    def is_taken(self, name: str) -> bool:
        """Whether there is such a name already."""
        try:
            os.stat(name, dir_fd=self._directory, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def close(self) -> None:
        """End it; what was not kept is gone."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._draft:
            with contextlib.suppress(OSError):
                os.unlink(self._draft, dir_fd=self._directory)
            self._draft = ""
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1

    def _open(self) -> int:
        if hasattr(os, "O_TMPFILE") and os.path.isdir(_OPEN_FILES):
            try:
                return os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=self._directory)
            except OSError as failure:
                if failure.errno not in _NO_TMPFILE:
                    raise
        self._sweep()
        self._draft = f"{_DRAFT}{secrets.token_hex(8)}{_DRAFT_END}"
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(self._draft, flags, 0o600, dir_fd=self._directory)

    def _take(self, name: str) -> bool:
        source = self._draft or f"{_OPEN_FILES}/{self._fd}"
        at = self._directory if self._draft else None
        try:
            os.link(source, name, src_dir_fd=at, dst_dir_fd=self._directory, follow_symlinks=not self._draft)
        except FileExistsError:
            return False
        except OSError as failure:
            if not self._draft or failure.errno not in _NO_LINKS:
                raise
            return self._take_without_links(name)
        return True

    def _take_without_links(self, name: str) -> bool:
        """On FAT and the like: an empty file holds the name, and the draft goes into its place."""
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            os.close(os.open(name, flags, 0o600, dir_fd=self._directory))
        except FileExistsError:
            return False
        os.rename(self._draft, name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        self._draft = ""
        return True

    def _check_room(self, more: int) -> None:
        disk = os.fstatvfs(self._fd)
        free, whole = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
        if free - more < min(_RESERVE, whole // _RESERVE_SHARE):
            raise Full(errno.ENOSPC, "the disk is full")

    def _sweep(self) -> None:
        late = time.time() - _FORGOTTEN
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._directory)
        try:
            for name in os.listdir(fd):
                if name.startswith(_DRAFT) and name.endswith(_DRAFT_END):
                    with contextlib.suppress(OSError):
                        if os.stat(name, dir_fd=fd, follow_symlinks=False).st_mtime < late:
                            os.unlink(name, dir_fd=fd)
        finally:
            os.close(fd)


@contextlib.contextmanager
def _fullness() -> Iterator[None]:
    """What the system says of a disk or a quota that is used up, as Full."""
    try:
        yield
    except OSError as failure:
        if failure.errno in _FULL:
            raise Full(failure.errno, "the disk is full") from None
        raise
