"""Who visited the services of this node: the last visits of each, in SQLite.

    DATADIR/visits.db      a row a session: service, who, by which path, when it came, how long, how much

Read for `hardline who`, written when a session ends.  Bounded by rows, of which who has the most loses one; what
cannot be written is not kept.
The file is made by the first visit: a node that nobody visits has none.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hardline.errors import BadKeyHash
from hardline.identity import KeyHash
from hardline.peers.database import Database, Migration

MAX_ROWS = 10_000

_TABLE = """
CREATE TABLE visits (
    number   INTEGER PRIMARY KEY AUTOINCREMENT,
    service  TEXT NOT NULL,
    client   TEXT NOT NULL,
    kind     TEXT NOT NULL,
    came     INTEGER NOT NULL,
    seconds  INTEGER NOT NULL,
    sent     INTEGER NOT NULL,
    received INTEGER NOT NULL
)
"""
_BY_SERVICE = "CREATE INDEX visits_by_service ON visits (service, client, came)"
_COLUMNS = "service, client, kind, came, seconds, sent, received"
_INSERT = f"INSERT INTO visits ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"
_FORGET = (  # the oldest of whoever has the most: who comes and goes all day pushes out no one but himself
    "DELETE FROM visits WHERE number = (SELECT min(number) FROM visits GROUP BY service, client "
    "ORDER BY count(*) DESC, min(number) LIMIT 1) AND (SELECT count(*) FROM visits) > ?"
)
_SUMMED = (
    "SELECT client, kind, max(came + seconds), sum(sent), count(*) FROM visits WHERE service = ? "
    "AND client != '' GROUP BY client LIMIT ?"
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PastVisit:
    """One session that has ended; `client` is None where nobody had to prove who he is, `came` seconds since 1970.

    `sent` to the visitor, and `received` from him, in bytes.
    """

    service: KeyHash
    client: KeyHash | None
    kind: str
    came: float
    seconds: float
    sent: int
    received: int


@dataclass(frozen=True, slots=True)
class Visited:
    """All visits of one client to one service: the `last` one ended then, by a path of that `kind`."""

    last: float
    kind: str
    sent: int
    count: int


class Visits:
    """Those in the file at `path`, `most` of them."""

    def __init__(self, path: Path, most: int = MAX_ROWS) -> None:
        self._path, self._most = path, most
        self._file = Database(path, _MIGRATIONS, "SELECT number FROM visits LIMIT 1")
        self._worker = ThreadPoolExecutor(1, "visits")
        self._database: sqlite3.Connection | None = None

    async def aclose(self) -> None:
        """Close it, behind what is still written."""
        await self._do(self._close)
        self._worker.shutdown(wait=False)

    async def ended(self, visit: PastVisit) -> None:
        """Keep one more."""
        await self._do(lambda: self._write(visit))

    async def of(self, service: KeyHash) -> dict[KeyHash, Visited]:
        """Who, of those who had to prove it, was here, as far as is remembered."""
        return await self._do(lambda: self._read(service))

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)

    # In the worker thread.

    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            self._database = self._file.open()
        return self._database

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _write(self, visit: PastVisit) -> None:
        row = (
            *(str(visit.service), str(visit.client or ""), visit.kind, int(visit.came)),
            *(int(visit.seconds), visit.sent, visit.received),
        )
        try:
            database = self._opened()
            database.execute(_INSERT, row)
            database.execute(_FORGET, (self._most,))
        except sqlite3.Error as failure:
            self._file.warn(failure)

    def _read(self, service: KeyHash) -> dict[KeyHash, Visited]:
        if self._database is None and not self._path.exists():
            return {}
        found = dict[KeyHash, Visited]()
        try:
            rows = self._opened().execute(_SUMMED, (str(service), self._most)).fetchall()
        except sqlite3.Error as failure:
            self._file.warn(failure)
            return {}
        for client, kind, last, sent, count in rows:
            try:
                found[KeyHash.parse(client)] = Visited(float(last), str(kind), int(sent), int(count))
            except (BadKeyHash, TypeError, ValueError):
                continue  # somebody else wrote it
        return found


def _make(database: sqlite3.Connection) -> None:
    database.execute(_TABLE)
    database.execute(_BY_SERVICE)


_MIGRATIONS: tuple[Migration, ...] = (_make,)
