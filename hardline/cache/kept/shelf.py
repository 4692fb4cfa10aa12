"""Names below one directory, never out of it.

A name is walked segment by segment, each opened without following a link: whatever somebody puts in the way, and
whenever, nothing outside is read, written or removed.  Everything here blocks, and raises OSError.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # O_NONBLOCK: a pipe would wait for its other end

# Something else has the name, or no directory can hold it.
_IN_THE_WAY = {errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.EEXIST, errno.EMLINK}


class InTheWay(OSError):
    """A file can never have this name, as long as what is there is there."""


class Shelf:
    """Plain files below `root`, by names with "/" between segments that are no dots."""

    def __init__(self, root: str) -> None:
        self.root = root

    @contextlib.contextmanager
    def directory_of(self, name: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """A descriptor of the directory that holds `name`, and the last segment; with `make` it is there then.

        Raises InTheWay where a segment is no directory, FileNotFoundError without `make`.
        """
        *segments, last = name.split("/")
        if make:
            os.makedirs(self.root, exist_ok=True)
        # The directory itself may be a link: it is the owner's word for where things are.
        descriptor = os.open(self.root, _DIRECTORY & ~os.O_NOFOLLOW)
        try:
            for segment in segments:
                inner = _enter(segment, descriptor, make)
                os.close(descriptor)
                descriptor = inner
            yield descriptor, last
        finally:
            os.close(descriptor)

    def facts(self, name: str) -> os.stat_result | None:
        """What is there under `name`, links not followed; None where nothing is, or can be."""
        try:
            with self.directory_of(name) as (directory, last):
                return os.stat(last, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as failure:
            if failure.errno in _IN_THE_WAY:
                return None
            raise

    def open(self, name: str, flags: int, *, make: bool = False, mode: int = 0o666) -> int:
        """A descriptor of the plain file `name`, not inherited by programs.  With `make` its directories are made."""
        with self.directory_of(name, make=make) as (directory, last):
            descriptor = os.open(last, flags | _FILE, mode, dir_fd=directory)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise InTheWay(errno.EINVAL, "is no plain file", name)
        return descriptor

    def read(self, name: str, limit: int) -> tuple[bytes, os.stat_result] | None:
        """A small file and its facts; None where there is none, or it is bigger."""
        try:
            descriptor = self.open(name, os.O_RDONLY)
        except FileNotFoundError:
            return None
        except OSError as failure:
            if failure.errno in _IN_THE_WAY:
                return None
            raise
        with open(descriptor, "rb") as file:
            data, facts = file.read(limit + 1), os.fstat(descriptor)
        return (data, facts) if len(data) <= limit else None

    def move(self, old: str, new: str) -> None:
        """Give a file another name, in place of what has it; directories are made, and stay if it is there.

        Raises InTheWay.
        """
        try:
            with self.directory_of(old) as (source, first), self.directory_of(new, make=True) as (target, last):
                os.rename(first, last, src_dir_fd=source, dst_dir_fd=target)
        except OSError as failure:
            self.tidy(new)
            if failure.errno in _IN_THE_WAY and not isinstance(failure, InTheWay):
                raise InTheWay(failure.errno, failure.strerror, new) from None
            raise

    def remove(self, name: str, *, tidy: bool = True) -> None:
        """Remove a file, and with `tidy` the directories that are empty then; without an error where there is none."""
        with (
            contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError, InTheWay),
            self.directory_of(name) as (directory, last),
        ):
            os.unlink(last, dir_fd=directory)
        if tidy:
            self.tidy(name)

    def tidy(self, name: str) -> None:
        """Remove the directories on the way to `name` that are empty, also where not all of them are there."""
        while "/" in name:
            name = name.rpartition("/")[0]
            try:
                with self.directory_of(name) as (directory, last):
                    os.rmdir(last, dir_fd=directory)
            except (FileNotFoundError, InTheWay):
                continue
            except OSError as failure:
                if failure.errno != errno.ENAMETOOLONG:
                    return


def _enter(segment: str, directory: int, make: bool) -> int:
    try:
        if make:
            with contextlib.suppress(FileExistsError):
                os.mkdir(segment, dir_fd=directory)
        return os.open(segment, _DIRECTORY, dir_fd=directory)
    except OSError as failure:
        if failure.errno in _IN_THE_WAY:
            raise InTheWay(failure.errno, failure.strerror, segment) from None
        raise
