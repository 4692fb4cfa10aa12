"""The files of nodes, which no file service may show: keys above all.

A directory that is shared may hold them, or links to them: /home/ann does, and so does /.  This daemon's are known by
where they really are and, behind hard links and in copies of certificates, by what they are; those of other nodes and
of backups by their kind: names that belong together (keys.py), and the data directory, which is where an identity is.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

from hardline.cache import keys
from hardline.cache.recent import Recent
from hardline.files import read_small
from hardline.identity import KeyHash


class OwnFiles:
    """What lies in `servicedir` and `datadir` of a node, and what `also` names: settings and certificates elsewhere.

    What lies in `datadir/cache` is not the daemon's, but of the service that uses it.  `also` touches the disk.
    """

    def __init__(self, servicedir: Path, datadir: Path) -> None:
        self._servicedir = os.path.realpath(servicedir)
        self._datadir = os.path.realpath(datadir)
        self._also: frozenset[str] = frozenset()
        self._key_hashes: frozenset[KeyHash] = frozenset()
        self._beside: Recent[frozenset[str]] = Recent(lambda found: 100 + sum(map(len, found)))
        self._known: tuple[object, set[tuple[int, int]]] = (None, set())

    @property
    def datadir(self) -> Path:
        """Where the node keeps what it learns."""
        return Path(self._datadir)

    def also(self, files: Iterable[Path]) -> None:
        """These are the daemon's, too, wherever they lie; those of an earlier call are not any more."""
        self._also = frozenset(os.path.realpath(file) for file in files)
        told = (file for file in self._files() if keys.may_belong_to_identity(file.name) or str(file) in self._also)
        self._key_hashes = frozenset(chain.from_iterable(map(_key_hashes, told)))

    def gives_away(self, start: bytes) -> bool:
        """Whether a file that begins so tells the key hash of a service of ours: its certificate, or its `.hash`."""
        return any(found in self._key_hashes for found in keys.key_hashes(start))

    def judge(self, root: Path) -> Callable[[str, os.stat_result], bool]:
        """What a service whose directory is `root` must not show, as forbidden(real path, facts).  Both block."""
        own_root = os.path.realpath(root)
        cache = os.path.join(self._datadir, "cache")
        allowed = own_root if own_root != cache and _lies_in(own_root, cache) else None

        def forbidden(real: str, facts: os.stat_result) -> bool:
            if (allowed is None or not _lies_in(real, allowed)) and _lies_in(real, self._datadir):
                return True
            if _lies_in(real, self._servicedir):
                return True
            is_directory = stat.S_ISDIR(facts.st_mode)
            if _is_data_of_a_node(own_root, real if is_directory else os.path.dirname(real)):
                return True
            if not is_directory and self._belongs_to_identity(real):
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

    def _belongs_to_identity(self, real: str) -> bool:
        directory, name = os.path.split(real)
        if not keys.may_belong_to_identity(name):
            return False
        now, key = time.monotonic(), f"{_changed(directory)} {directory}"
        if (beside := self._beside.get(key, now)) is None:
            with self._beside.looking(key, now) as keep:
                try:
                    beside = keys.identities(os.listdir(directory))
                except OSError:
                    return True  # nobody can tell
                keep(beside)
        return keys.belongs_to_identity(name, beside)

    def _files(self) -> Iterator[Path]:
        """Everything that lies directly in our directories, and what lies elsewhere."""
        yield from map(Path, self._also)
        for directory in (self._servicedir, self._datadir):
            with contextlib.suppress(OSError):
                yield from Path(directory).iterdir()

    def _identities(self) -> set[tuple[int, int]]:
        """Device and number of every file of ours, which matter for files with several names."""
        directories = (self._servicedir, self._datadir)
        state = (self._also, *map(_changed, directories))
        if self._known[0] == state:
            return self._known[1]
        found = set()
        for file in self._files():
            try:
                facts = file.stat()
            except OSError:
                continue
            found.add((facts.st_dev, facts.st_ino))
        self._known = (state, found)
        return found


def _is_data_of_a_node(root: str, directory: str) -> bool:
    """Whether `directory` is a data directory, or lies in one, below `root`."""
    while _lies_in(directory, root):
        if os.path.lexists(os.path.join(directory, keys.IDENTITY)):
            return True
        if directory == root:
            break
        directory = os.path.dirname(directory)
    return False


def _key_hashes(file: Path) -> list[KeyHash]:
    try:
        return list(keys.key_hashes(read_small(file, keys.LOOKED_AT).data))
    except OSError:
        return []


def _changed(directory: str) -> int:
    try:
        return os.stat(directory).st_mtime_ns
    except OSError:
        return 0


def _lies_in(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")
