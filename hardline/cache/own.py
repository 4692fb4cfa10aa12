"""The files of nodes, which no file service may show: keys above all.

A directory that is shared may hold them, or links to them: /home/ann does, and so does /.  This daemon's are known by
where they really are and, behind hard links, by what they are; those of other nodes and of backups by their kind:
names that belong together (keys.py), and the data directory, which is where an identity is.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from hardline.cache import keys

# What lies in a service directory beside *.ini, with the drafts of whoever writes there.
_ENDINGS = (".ini", ".cert", ".private", ".hash", ".temp")


class OwnFiles:
    """What lies in `servicedir` and `datadir` of a node, and what `also` names: settings and certificates elsewhere.

    What lies in `datadir/cache` is not the daemon's, but of the service that uses it.  `also` touches the disk.
    """

    def __init__(self, servicedir: Path, datadir: Path) -> None:
        self._servicedir = os.path.realpath(servicedir)
        self._datadir = os.path.realpath(datadir)
        self._also: frozenset[str] = frozenset()
        self._known: tuple[object, set[tuple[int, int]]] = (None, set())

    @property
    def datadir(self) -> Path:
        """Where the node keeps what it learns."""
        return Path(self._datadir)

    def also(self, files: Iterable[Path]) -> None:
        """These are the daemon's, too, wherever they lie; those of an earlier call are not any more."""
        self._also = frozenset(os.path.realpath(file) for file in files)

    def judge(self, root: Path) -> Callable[[str, os.stat_result], bool]:
        """What a service whose directory is `root` must not show, as forbidden(real path, facts).  Both block."""
        own_root = os.path.realpath(root)
        cache = os.path.join(self._datadir, "cache")
        allowed = own_root if own_root != cache and _lies_in(own_root, cache) else None

        def forbidden(real: str, facts: os.stat_result) -> bool:
            if (allowed is None or not _lies_in(real, allowed)) and _lies_in(real, self._datadir):
                return True
            if _lies_in(real, self._servicedir) and _is_setting(os.path.basename(real)):
                return True
            if _is_of_a_node(own_root, real, is_directory=stat.S_ISDIR(facts.st_mode)):
                return True
            if stat.S_ISREG(facts.st_mode):
                if real in self._also:
                    return True
                if facts.st_nlink > 1:
                    return (facts.st_dev, facts.st_ino) in self._identities()
            return False

        return forbidden

    def is_ours(self, root: Path) -> bool:
        """`root` is one of the daemon's own directories, or in one: nothing of it would be shown."""
        real = os.path.realpath(root)
        return self.overlaps(root) and any(_lies_in(real, own) for own in (self._servicedir, self._datadir))

    def overlaps(self, root: Path) -> bool:
        """Who writes into `root` could write over the daemon's own files."""
        real = os.path.realpath(root)
        cache = os.path.join(self._datadir, "cache")
        if real != cache and _lies_in(real, cache):
            return False
        return any(_lies_in(real, own) or _lies_in(own, real) for own in (self._servicedir, self._datadir))

    def _identities(self) -> set[tuple[int, int]]:
        """Device and number of every file of ours, which matter for files with several names."""
        directories = (self._servicedir, self._datadir)
        state = (self._also, *map(_changed, directories))
        if self._known[0] == state:
            return self._known[1]
        files = [Path(path) for path in self._also]
        for directory in directories:
            with contextlib.suppress(OSError):
                files += Path(directory).iterdir()
        found = set()
        for file in files:
            try:
                facts = file.stat()
            except OSError:
                continue
            found.add((facts.st_dev, facts.st_ino))
        self._known = (state, found)
        return found


def _is_of_a_node(root: str, real: str, *, is_directory: bool) -> bool:
    """Whether it lies in a data directory below `root`, or is one, or lies beside the key it belongs to."""
    directory, name = os.path.split(real)
    above = real if is_directory else directory
    while _lies_in(above, root):
        if os.path.lexists(os.path.join(above, keys.IDENTITY)):
            return True
        if above == root:
            break
        above = os.path.dirname(above)
    return not is_directory and any(
        os.path.lexists(os.path.join(directory, beside)) for beside in keys.may_be_of_identity(name)
    )


def _changed(directory: str) -> int:
    try:
        return os.stat(directory).st_mtime_ns
    except OSError:
        return 0


def _is_setting(name: str) -> bool:
    return name.endswith(_ENDINGS) or ".ini." in name


def _lies_in(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")
