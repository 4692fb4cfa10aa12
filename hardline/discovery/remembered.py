"""Routes that worked, in SQLite: what a visitor remembers of the hosts that it visited.

One row per key hash: title, the host's own list of addresses, the endpoint that worked last and its protocol.
Junk never gets in: everything is parsed before it is written and once more after it was read.
Source: docs/PROTOCOL.md, sections 7.3 and 7.4.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import stat
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Self, TypeVar

from hardline import log
from hardline.config import clean_title
from hardline.errors import HardlineError
from hardline.files import close_to_others
from hardline.identity import KeyHash
from hardline.routes import Candidate, Endpoint, RememberedHost, Via, format_wan_hosts, parse_wan_hosts

MAX_ROWS = 10_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS routes (
    key_hash   TEXT PRIMARY KEY,
    title      TEXT NOT NULL DEFAULT '',
    wan_hosts  TEXT NOT NULL DEFAULT '',
    endpoint   TEXT NOT NULL DEFAULT '',
    via        TEXT NOT NULL DEFAULT '',
    protocol   TEXT NOT NULL DEFAULT '',
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL
) WITHOUT ROWID
"""
_SELECT = "SELECT title, wan_hosts, endpoint, via, protocol, first_seen, last_seen FROM routes"
_FORGET = "DELETE FROM routes WHERE key_hash IN (SELECT key_hash FROM routes ORDER BY last_seen DESC LIMIT -1 OFFSET ?)"
_PARTS = ("", "-wal", "-shm", "-journal")
_PROTOCOLS = ("hardline/1", "hardline/2")

_T = TypeVar("_T")


class Remembered:
    """The memory, and the Finder over it.  Make one with `open`.

    A disk that cannot be written is a warning, never the end of a visit: what is learned then lives in this process.
    """

    name = "remembered"
    via: Via | None = Via.REMEMBERED

    def __init__(self, path: Path) -> None:
        self._path = path
        self._worker = ThreadPoolExecutor(1, "remembered")
        self._database: sqlite3.Connection | None = None
        self._unsaved: dict[KeyHash, RememberedHost] = {}
        self._warned = False

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open or make the database at `path`; one that is broken is moved aside."""
        memory = cls(path)
        await memory._do(memory._connect)
        return memory

    async def aclose(self) -> None:
        """Write what is left and close."""
        await self._do(self._disconnect)
        self._worker.shutdown(wait=False)

    async def worked(self, target: KeyHash, endpoint: Endpoint, via: Via, protocol: str) -> None:
        """A verified connection to `target` came about over `endpoint`.

        That it was remembered tells nothing new of the kind of path that it is.
        """

        def change() -> None:
            known = self._read(target)
            again = known is not None and via is Via.REMEMBERED and known.endpoint == endpoint and known.via
            self._change(target, endpoint=endpoint, via=again or via.name, protocol=protocol)

        await self._do(change)

    async def learned(self, target: KeyHash, wan_hosts: object, title: object) -> None:
        """`target` itself said where else it is and how it is called; what is no text, or empty, is ignored."""
        changes: dict[str, object] = {}
        if isinstance(wan_hosts, str) and (hosts := parse_wan_hosts(wan_hosts)):
            changes["wan_hosts"] = tuple(hosts)
        if isinstance(title, str) and (shown := clean_title(title)):
            changes["title"] = shown
        if changes:
            await self._do(lambda: self._change(target, **changes))

    async def get(self, target: KeyHash) -> RememberedHost | None:
        """What is known of `target`."""
        return await self._do(lambda: self._read(target))

    async def protocol_of(self, target: KeyHash) -> str:
        """What `target` spoke when it was visited last; "" when it never was."""
        known = await self.get(target)
        return known.protocol if known else ""

    async def recent(self, limit: int) -> list[tuple[KeyHash, RememberedHost]]:
        """The hosts seen last, newest first."""
        return await self._do(lambda: self._recent(limit))

    async def find(self, target: KeyHash) -> AsyncIterator[Candidate]:
        """As Finder.find: the endpoint that worked last, then the host's own list in its order."""
        known = await self.get(target)
        if known is None:
            return
        plain = known.protocol == "hardline/1"
        if known.endpoint is not None:
            worked = Via[known.via] if known.via else Via.REMEMBERED
            yield Candidate(known.endpoint, Via.REMEMBERED, self.name, plain=plain, worked=worked)
        for endpoint in known.wan_hosts:
            if endpoint != known.endpoint:
                yield Candidate(endpoint, Via.REMEMBERED, self.name, plain=plain)

    async def _do(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)

    # In the worker thread.

    def _connect(self) -> None:
        try:
            self._database = self._opened()
        except sqlite3.OperationalError as failure:
            self._warn(failure)
            self._database = self._read_only()
        except sqlite3.DatabaseError as failure:
            self._replace(failure)

    def _keep_private(self) -> None:
        """Who was visited is nobody else's business: SQLite's own files get the mode that the database has."""
        with contextlib.suppress(OSError):  # a disk that cannot be written is told of by SQLite
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
            for suffix in ("", "-wal", "-shm"):
                part = self._path.with_name(self._path.name + suffix)
                if part.exists():
                    close_to_others(part)

    def _read_only(self) -> sqlite3.Connection | None:
        """What an earlier run wrote, on a disk that takes nothing; to open it as usual would write beside it."""
        if not self._path.is_file():  # a pipe would make whoever opens it wait for ever
            return None
        with contextlib.suppress(sqlite3.Error):
            database = sqlite3.connect(
                f"{self._path.absolute().as_uri()}?mode=ro&immutable=1",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
            )
            database.text_factory = lambda text: text.decode("utf-8", "replace")
            try:
                database.execute(f"{_SELECT} LIMIT 1")
            except sqlite3.Error:
                database.close()
                raise
            return database
        return None

    def _replace(self, failure: sqlite3.DatabaseError) -> None:
        aside = self._path.with_name(f"{self._path.name}.broken")
        log.warning("memory.broken", file=self._path, moved_to=aside, reason=str(failure))
        try:
            for suffix in _PARTS:
                part = self._path.with_name(self._path.name + suffix)
                if os.path.lexists(part):
                    part.replace(aside.with_name(aside.name + suffix))
            self._database = self._opened()
        except (OSError, sqlite3.Error) as again:
            self._warn(again)

    def _opened(self) -> sqlite3.Connection:
        if any(_is_anothers_link(self._path.with_name(self._path.name + suffix)) for suffix in _PARTS):
            raise sqlite3.DatabaseError("a link that another user put there")
        self._keep_private()
        database = sqlite3.connect(self._path, timeout=5, isolation_level=None, check_same_thread=False)
        database.text_factory = lambda text: text.decode("utf-8", "replace")
        try:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=NORMAL")
            if database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise sqlite3.DatabaseError("quick_check failed")
            database.execute(_SCHEMA)
            database.execute(f"{_SELECT} LIMIT 1")
        except BaseException:
            database.close()
            raise
        return database

    def _disconnect(self) -> None:
        for target, host in self._unsaved.items():
            self._write(target, host)
        if self._database is not None:
            self._database.close()
            self._database = None

    def _read(self, target: KeyHash) -> RememberedHost | None:
        if target in self._unsaved:
            return self._unsaved[target]
        if self._database is None:
            return None
        try:
            row = self._database.execute(f"{_SELECT} WHERE key_hash = ?", (str(target),)).fetchone()
        except sqlite3.Error as failure:
            self._warn(failure)
            return None
        return _parsed(row) if row else None

    def _recent(self, limit: int) -> list[tuple[KeyHash, RememberedHost]]:
        found = dict(self._unsaved)
        if self._database is not None:
            try:
                rows = self._database.execute("SELECT key_hash FROM routes ORDER BY last_seen DESC LIMIT ?", (limit,))
                texts = [text for (text,) in rows.fetchall()]
            except sqlite3.Error as failure:
                self._warn(failure)
                texts = []
            for text in texts:
                with contextlib.suppress(HardlineError, TypeError):
                    target = KeyHash.parse(text)
                    if (host := self._read(target)) is not None:
                        found[target] = host
        return sorted(found.items(), key=lambda item: -item[1].last_seen)[:limit]

    def _change(self, target: KeyHash, **changes: object) -> None:
        now = int(time.time())
        known = self._read(target) or RememberedHost(first_seen=now)
        host = replace(known, last_seen=now, **changes)  # type: ignore[arg-type]  # our two callers' own keys
        if self._write(target, host):
            self._unsaved.pop(target, None)
        else:
            self._unsaved[target] = host
            if len(self._unsaved) > MAX_ROWS:
                del self._unsaved[next(iter(self._unsaved))]

    def _write(self, target: KeyHash, host: RememberedHost) -> bool:
        if self._database is None:
            return False
        values = (
            str(target),
            host.title,
            format_wan_hosts(host.wan_hosts),
            str(host.endpoint) if host.endpoint else "",
            host.via,
            host.protocol,
            host.first_seen,
            host.last_seen,
        )
        try:
            self._database.execute("INSERT OR REPLACE INTO routes VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
            self._database.execute(_FORGET, (MAX_ROWS,))
        except sqlite3.Error as failure:
            self._warn(failure)
            return False
        return True

    def _warn(self, failure: OSError | sqlite3.Error) -> None:
        if not self._warned:
            self._warned = True
            log.warning(
                "memory.unusable", file=self._path, reason=str(failure), consequence="kept until the node stops"
            )


def _parsed(row: tuple[object, ...]) -> RememberedHost:
    """A row as it may be used, whoever wrote it."""
    title, wan_hosts, endpoint, via, protocol, first_seen, last_seen = row
    parsed: Endpoint | None = None
    if isinstance(endpoint, str) and endpoint:
        try:
            parsed = Endpoint.parse(endpoint)
        except HardlineError:
            parsed = None
    return RememberedHost(
        title=clean_title(title) if isinstance(title, str) else "",
        wan_hosts=tuple(parse_wan_hosts(wan_hosts)) if isinstance(wan_hosts, str) else (),
        endpoint=parsed,
        via=via if isinstance(via, str) and via in Via.__members__ else "",
        protocol=protocol if isinstance(protocol, str) and protocol in _PROTOCOLS else "",
        first_seen=first_seen if isinstance(first_seen, int) else 0,
        last_seen=last_seen if isinstance(last_seen, int) else 0,
    )


def _is_anothers_link(path: Path) -> bool:
    """SQLite writes through links, and others may be able to make them here."""
    try:
        facts = path.lstat()
    except OSError:
        return False
    return stat.S_ISLNK(facts.st_mode) and facts.st_uid not in (0, os.geteuid())
