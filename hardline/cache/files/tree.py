"""A directory that is shared: what a visitor's names lead to, and nothing outside of it.

    names ("a", "b.txt") ─▶ root ─ a ─ b.txt      each step from the directory before, never through a link
                                  └─ a link: where does it lead? ─▶ inside: the walk again, with the real names
                                                                 └▶ outside: nothing is there

What is opened is what was judged: a name that is swapped between the two is found out and looked at again.  Pipes,
sockets and devices are not there, and are never opened.  Neither is what `forbidden` says, by its real path and by what
it is (a hard link has another path), nor what the cache keeps for itself, nor, whatever their names, private keys and
what gives away a service of this node.
Names that begin with a dot are not there either, unless the owner says so; but a link may lead to what has such a name.
Everything here blocks: `disk` has the threads for it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hardline.cache import keys
from hardline.cache.kept import layout
from hardline.disks import Disk

Forbidden = Callable[[str, os.stat_result], bool]

# On the way only the right to pass is needed, where the system can tell it from the right to read.
_STEP = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", 0)
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY

_SWAPS = 8  # walks for one request, while somebody swaps names for links
# Systems differ in what they call a link that was not followed.
_NOT_FOLLOWED = {errno.ENOTDIR, errno.ELOOP, errno.EMLINK}
_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ESTALE, errno.ENXIO, errno.EINVAL}


@dataclass(frozen=True, slots=True)
class Opened:
    """A file that can be read, or a directory that can be passed.  Whoever got it closes it."""

    fd: int
    path: str
    facts: os.stat_result

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.facts.st_mode)

    def close(self) -> None:
        os.close(self.fd)


@dataclass(frozen=True, slots=True)
class Mark:
    """What names led to at some time: `asked` as a path, `real` without links in it."""

    asked: str
    real: str
    facts: os.stat_result


class Tree:
    """What is below `root`.  `forbidden` is asked with the real path of a thing and its facts; it may block.

    `ours` is told how a file begins, and says whether that gives away a service of this node.  `root` may come and go,
    and be another directory tomorrow.  `hidden`: names that begin with a dot are there, too.
    """

    def __init__(
        self,
        root: Path,
        *,
        forbidden: Forbidden,
        ours: Callable[[bytes], bool] = lambda start: False,
        hidden: bool = False,
        disk: Disk | None = None,
    ) -> None:
        self._root = root
        self._forbidden = forbidden
        self._ours = ours
        self._hidden = hidden
        self.disk = disk or Disk(root.name)

    def is_away(self) -> bool:
        """Whether there is no such directory now."""
        try:
            return not stat.S_ISDIR(os.stat(self._root).st_mode)
        except OSError as failure:
            return failure.errno in _ABSENT

    def hides(self, name: str) -> bool:
        """Whether nothing of this name is there for visitors, because of a dot (RFC 8615 wants to be seen)."""
        return not self._hidden and name.startswith(".") and name != ".well-known"

    def keeps_back(self, real: str) -> bool:
        """Whether what is at the real path `real` is not for visitors, whoever finds it for them."""
        if any(map(self.hides, os.path.relpath(real, os.path.realpath(self._root)).split("/"))):
            return True
        try:
            fd = os.open(real, _READ)
        except OSError:
            return True
        try:
            return stat.S_ISREG(os.fstat(fd).st_mode) and self._is_secret(fd)
        finally:
            os.close(fd)

    def open(self, names: Sequence[str]) -> Opened | None:
        """Open what is there under `names`; None: nothing is, or nothing that a visitor may know of.

        Raises PermissionError where the system lets this daemon not, and OSError where the disk fails.
        """
        if any(map(self.hides, names)):
            return None
        root, real = os.path.realpath(self._root), names
        for _ in range(_SWAPS):
            try:
                return self._walk(root, real)
            except _Link:
                found = self._lead(root, names)
                if found is None:
                    return None
                real = found
        return None

    def read_directory(self, names: Sequence[str]) -> Directory | None:
        """Open a directory to see what is in it; None and errors as for `open`."""
        opened = self.open(names)
        if opened is None:
            return None
        try:
            if not opened.is_directory:
                return None
            fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=opened.fd)
        finally:
            opened.close()
        return Directory(self, tuple(names), opened.path, fd)

    def mark(self, names: Sequence[str], real: str, facts: os.stat_result) -> Mark:
        """Remember what was opened, for `holds`."""
        return Mark(os.path.join(self._root, *names), real, facts)

    def holds(self, mark: Mark) -> bool:
        """Whether the names still lead to that file, it has not been touched, and a visitor may still know of it."""
        try:
            facts = os.stat(mark.asked)
        except OSError:
            return False
        return identity(facts) == identity(mark.facts) and self.shows(mark.real, facts)

    def shows(self, path: str, facts: os.stat_result) -> bool:
        """Whether a visitor may know of what is at the real path `path`."""
        return stat.S_IFMT(facts.st_mode) in (stat.S_IFREG, stat.S_IFDIR) and not self._forbidden(path, facts)

    def _walk(self, root: str, names: Sequence[str]) -> Opened | None:
        if not all(map(_is_name, names)):
            return None
        try:
            fd = os.open(root, _STEP)
        except OSError as failure:
            if failure.errno in _ABSENT:
                return None
            raise
        path = root
        try:
            for name in names[:-1]:
                below = _step(fd, name)
                os.close(fd)
                fd, path = below, os.path.join(path, name)
            if names:
                return self._open_last(fd, path, names[-1])
            facts = os.fstat(fd)
            if not self.shows(root, facts):
                return None
            return Opened(os.dup(fd), root, facts)
        except PermissionError:
            # What is forbidden does not exist, be it ever so well locked.
            if self._forbidden(path, os.fstat(fd)):
                return None
            raise
        except OSError as failure:
            if failure.errno in _ABSENT:
                return None
            raise
        finally:
            os.close(fd)

    def _open_last(self, parent: int, directory: str, name: str) -> Opened | None:
        path = os.path.join(directory, name)
        seen = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISLNK(seen.st_mode):
            raise _Link
        if not self.shows(path, seen):
            return None
        try:
            fd = os.open(name, _STEP if stat.S_ISDIR(seen.st_mode) else _READ, dir_fd=parent)
        except OSError as failure:
            if failure.errno in _NOT_FOLLOWED:
                raise _Link from None
            raise
        try:
            facts = os.fstat(fd)
            if stat.S_ISREG(facts.st_mode) and self._is_secret(fd):
                return None
            if os.path.samestat(facts, seen) or self.shows(path, facts):
                opened, fd = Opened(fd, path, facts), -1
                return opened
            return None
        finally:
            if fd >= 0:
                os.close(fd)

    def _is_secret(self, fd: int) -> bool:
        start = os.pread(fd, keys.FIRST, 0)
        if not keys.may_be_secret(start):
            return False
        if len(start) == keys.FIRST:
            start = os.pread(fd, keys.LOOKED_AT, 0)
        return keys.holds_key(start) or self._ours(start)

    def _lead(self, root: str, names: Sequence[str]) -> Sequence[str] | None:
        """The real names of what `names` lead to through links, None when that lies outside."""
        try:
            real = os.path.realpath(os.path.join(root, *names), strict=True)
        except OSError:
            return None
        if real == root:
            return ()
        below = root.rstrip("/") + "/"
        return real.removeprefix(below).split("/") if real.startswith(below) else None


class Directory:
    """A directory that is being listed.  Whoever got it closes it."""

    def __init__(self, tree: Tree, names: tuple[str, ...], path: str, fd: int) -> None:
        self.names, self.path = names, path
        self._tree, self._fd = tree, fd

    def entries(self) -> Generator[tuple[str, bool], None, None]:
        """Names that may be shown, in no order, and whether each is a directory's; `look` says what is behind them."""
        with os.scandir(self._fd) as found:
            for entry in found:
                if not _is_name(entry.name) or self._tree.hides(entry.name):
                    continue
                if entry.is_symlink():
                    facts = self.look(entry.name)
                    if facts is not None:
                        yield entry.name, stat.S_ISDIR(facts.st_mode)
                elif (is_directory := entry.is_dir(follow_symlinks=False)) or entry.is_file(follow_symlinks=False):
                    yield entry.name, is_directory

    def look(self, name: str) -> os.stat_result | None:
        """The facts of what a visitor gets under `name`; None when that is nothing."""
        try:
            facts = os.stat(name, dir_fd=self._fd, follow_symlinks=False)
            if not stat.S_ISLNK(facts.st_mode):
                return facts if self._tree.shows(os.path.join(self.path, name), facts) else None
            opened = self._tree.open((*self.names, name))
        except OSError:
            return None
        if opened is None:
            return None
        opened.close()
        return opened.facts

    def close(self) -> None:
        os.close(self._fd)


class _Link(Exception):
    """One of the names is a link."""


def identity(facts: os.stat_result) -> tuple[int, ...]:
    """The same for the same file with the same bytes: who sets its time back leaves another time of change."""
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def _is_name(name: str) -> bool:
    """Whether a file that is served can be called so: it is no way, and not the cache's own, in capitals or not."""
    return name not in ("", ".", "..") and "/" not in name and not layout.reserved(name.casefold())


def _step(parent: int, name: str) -> int:
    try:
        return os.open(name, _STEP, dir_fd=parent)
    except OSError as failure:
        if failure.errno not in _NOT_FOLLOWED:
            raise
        if stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            raise _Link from None
        raise
