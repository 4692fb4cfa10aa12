"""A SQLite file of ours: private, with a version, and never the end of the program.

    its version = ours   is used
                < ours   is migrated first, all or nothing (a power cut in the middle leaves the old one)
                > ours   is refused with a sentence and left as it is: a newer hardline wants it back
    broken               is moved aside, and a new one begun
    a disk that takes nothing, or a refused file: a database in memory stands in, with what could be read

For what can be learnt again only: whatever nobody can tell us twice must not be moved aside.
Source: sqlite.org/pragma.html, user_version; sqlite.org/uri.html, immutable.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from hardline import log
from hardline.files import close_to_others

Migration = Callable[[sqlite3.Connection], None]

_PARTS = ("", "-wal", "-shm", "-journal")


class Newer(Exception):
    """The file is of a later version than this program knows."""


class Database:
    """The file at `path`; migration number n makes version n + 1 of version n, the first of an empty file or of one
    that no version was written into.

    `probe` is a query that any file of the newest version answers.  All of it is for one thread.  One warning tells of
    a disk that takes nothing.
    """

    def __init__(self, path: Path, migrations: Sequence[Migration], probe: str) -> None:
        self._path = path
        self._migrations, self._probe = migrations, probe
        self._warned = False

    def open(self) -> sqlite3.Connection:
        """A connection to the file, or to what stands in for it."""
        try:
            return self._opened()
        except Newer as refusal:
            log.warning("memory.newer", file=self._path, reason=str(refusal), consequence="kept until the node stops")
            return self._stand_in()
        except sqlite3.OperationalError as failure:
            self.warn(failure)
            return self._stand_in(self._path)
        except sqlite3.DatabaseError as failure:
            return self._replaced(failure)

    def warn(self, failure: OSError | sqlite3.Error) -> None:
        """The file cannot be read or written."""
        if not self._warned:
            self._warned = True
            log.warning(
                "memory.unusable", file=self._path, reason=str(failure), consequence="kept until the node stops"
            )

    def _opened(self) -> sqlite3.Connection:
        if any(_is_anothers_link(part) for part in self._parts()):
            raise sqlite3.DatabaseError("a link that another user put there")
        self._keep_private()
        database = _connected(str(self._path))
        try:
            self._check_version(database)
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=NORMAL")
            if database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise sqlite3.DatabaseError("quick_check failed")
            migrated = self._migrated(database)
            migrated.execute(self._probe)
        except sqlite3.OperationalError as failure:
            database.close()
            if _is_of_its_contents(failure):
                raise sqlite3.DatabaseError(str(failure)) from None
            raise
        except BaseException:
            database.close()
            raise
        return migrated

    def _stand_in(self, path: Path | None = None) -> sqlite3.Connection:
        """One in memory, with what the file at `path` holds as far as it can be read.

        To open that as usual would write beside it; a pipe would make whoever opens it wait for ever.
        """
        memory = _connected(":memory:")
        if path is not None and path.is_file():
            with contextlib.suppress(sqlite3.Error, Newer):
                uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
                with contextlib.closing(_connected(uri, uri=True)) as file:
                    self._check_version(file)
                    file.backup(memory)
                    self._migrate(memory)
                    return memory
            memory.close()
            memory = _connected(":memory:")
        self._migrate(memory)
        return memory

    def _replaced(self, failure: sqlite3.DatabaseError) -> sqlite3.Connection:
        aside = self._path.with_name(f"{self._path.name}.broken")
        log.warning("memory.broken", file=self._path, moved_to=aside, reason=str(failure))
        try:
            for part, suffix in zip(self._parts(), _PARTS, strict=True):
                if os.path.lexists(part):
                    part.replace(aside.with_name(aside.name + suffix))
            return self._opened()
        except (OSError, sqlite3.Error) as again:
            self.warn(again)
            return self._stand_in()

    def _migrated(self, database: sqlite3.Connection) -> sqlite3.Connection:
        """The file, or where its disk does not take what has to be changed, the same in memory: a copy made later,
        without this connection, would miss what lies in its journal."""
        try:
            self._migrate(database)
        except sqlite3.OperationalError as failure:
            if _is_of_its_contents(failure):
                raise
            self.warn(failure)
            memory = _connected(":memory:")
            with contextlib.closing(database):
                database.backup(memory)
            self._migrate(memory)
            return memory
        return database

    def _check_version(self, database: sqlite3.Connection) -> int:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version > len(self._migrations):
            raise Newer(
                f"a newer hardline wrote it (version {version}, this one knows {len(self._migrations)}): "
                "start that one, or move the file away"
            )
        return max(int(version), 0)

    def _migrate(self, database: sqlite3.Connection) -> None:
        if self._check_version(database) == len(self._migrations):
            return
        database.execute("BEGIN IMMEDIATE")
        try:
            for number in range(self._check_version(database), len(self._migrations)):
                self._migrations[number](database)
            database.execute(f"PRAGMA user_version = {len(self._migrations)}")
        except BaseException:
            database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")

    def _keep_private(self) -> None:
        """Whom we visit is nobody else's business: SQLite's own files get the mode that the database has."""
        with contextlib.suppress(OSError):  # a disk that cannot be written is told of by SQLite
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
            for part in self._parts()[:3]:
                if part.exists():
                    close_to_others(part)

    def _parts(self) -> list[Path]:
        return [self._path.with_name(self._path.name + suffix) for suffix in _PARTS]


def _connected(place: str, uri: bool = False) -> sqlite3.Connection:
    database = sqlite3.connect(place, timeout=5, uri=uri, isolation_level=None, check_same_thread=False)
    database.text_factory = lambda text: text.decode("utf-8", "replace")
    return database


def _is_of_its_contents(failure: sqlite3.OperationalError) -> bool:
    """The file can be read and written, and does not hold what its version says."""
    return getattr(failure, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR


def _is_anothers_link(path: Path) -> bool:
    """SQLite writes through links, and others may be able to make them here."""
    try:
        facts = path.lstat()
    except OSError:
        return False
    return stat.S_ISLNK(facts.st_mode) and facts.st_uid not in (0, os.geteuid())
