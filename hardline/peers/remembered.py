"""Routes that worked, in SQLite: what a visitor remembers of the hosts that it visited.

One row per key hash: title, the host's own list of addresses, the endpoint that worked last and its protocol.
Junk never gets in: everything is parsed before it is written and once more after it was read.
Source: docs/PROTOCOL.md, sections 7.3 and 7.4.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Self, TypeVar

from hardline.errors import HardlineError
from hardline.identity import KeyHash
from hardline.peers.database import Database
from hardline.peers.versions import MIGRATIONS
from hardline.routes import (
    MAX_VIA,
    REMEMBERED,
    Candidate,
    Code,
    Endpoint,
    FoundBy,
    PathKind,
    Plain,
    RememberedHost,
    Trust,
    Via,
    format_via,
    format_wan_hosts,
    parse_via,
    parse_wan_hosts,
)
from hardline.showable import clean_title

MAX_ROWS = 10_000
_AT_HAND = 256  # hosts whose rows need no look into the file: a visit begins with one

_SELECT = "SELECT title, wan_hosts, relayed, endpoint, kind, protocol, first_seen, last_seen FROM routes"
_INSERT = """INSERT OR REPLACE INTO routes
    (key_hash, title, wan_hosts, relayed, endpoint, kind, protocol, first_seen, last_seen)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_FORGET = "DELETE FROM routes WHERE key_hash IN (SELECT key_hash FROM routes ORDER BY last_seen DESC LIMIT -1 OFFSET ?)"
_PROTOCOLS = ("hardline/1", "hardline/2")

_T = TypeVar("_T")


class Remembered:
    """The memory, and the Finder over it.  Make one with `open`.

    A disk that cannot be written is a warning, never the end of a visit: what is learned then lives in this process.
    """

    name = REMEMBERED
    kind: PathKind | None = None

    def __init__(self, path: Path) -> None:
        self._file = Database(path, MIGRATIONS, f"{_SELECT} LIMIT 1")
        self._worker = ThreadPoolExecutor(1, "remembered")
        self._database: sqlite3.Connection | None = None
        self._unsaved: dict[KeyHash, RememberedHost] = {}
        self._at_hand: dict[KeyHash, RememberedHost | None] = {}  # changed in the worker thread only

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open or make the database at `path` (Database says what becomes of one that cannot be used)."""
        memory = cls(path)
        try:
            await memory._do(memory._connect)
        except BaseException:
            await memory.aclose()  # behind what its thread is still doing
            raise
        return memory

    async def aclose(self) -> None:
        """Write what is left and close."""
        await self._do(self._disconnect)
        self._worker.shutdown(wait=False)

    async def worked(self, target: KeyHash, endpoint: Endpoint, kind: PathKind, protocol: str) -> None:
        """A verified connection to `target` came about over `endpoint`.

        That of a relay says nothing without a name, and one that was punched is of no use another time.
        """
        if kind in (PathKind.RELAYED, PathKind.PUNCHED):
            await self._do(lambda: self._change(target, protocol=protocol))
        else:
            await self._do(lambda: self._change(target, endpoint=endpoint, kind=kind, protocol=protocol))

    async def learned(
        self, target: KeyHash, wan_hosts: object, title: object, relayed: tuple[Via, ...] | None = None
    ) -> None:
        """`target` itself said where else it is, how it is called, and by which relays it is reached, None for one that
        does not say; of the others, what is no text, or empty, is ignored.

        A relay that it does not name beside others now, but did before, stays behind those: it may be back when they
        are lost.
        """
        changes: dict[str, object] = {}
        if isinstance(wan_hosts, str) and (hosts := parse_wan_hosts(wan_hosts)):
            changes["wan_hosts"] = tuple(hosts)
        if isinstance(title, str) and (shown := clean_title(title)):
            changes["title"] = shown
        if relayed is not None:
            await self._do(lambda: self._change(target, relayed=self._also_before(target, relayed), **changes))
        elif changes:
            await self._do(lambda: self._change(target, **changes))

    async def get(self, target: KeyHash) -> RememberedHost | None:
        """What is known of `target`."""
        try:
            return self._at_hand[target]
        except KeyError:
            return await self._do(lambda: self._keep_at_hand(target, self._read(target)))

    async def protocol_of(self, target: KeyHash) -> str:
        """What `target` spoke when it was visited last; "" when it never was."""
        known = await self.get(target)
        return known.protocol if known else ""

    async def recent(self, limit: int) -> list[tuple[KeyHash, RememberedHost]]:
        """The hosts seen last, newest first."""
        return await self._do(lambda: self._recent(limit))

    def is_at_hand(self, target: KeyHash) -> bool:
        """Whether `find` has its answer without a look into the file."""
        return bool(self._at_hand.get(target))

    async def find(self, target: KeyHash) -> AsyncIterator[Candidate]:
        """As Finder.find: the endpoint that worked last, then the host's own list in its order."""
        known = await self.get(target)
        if known is None:
            return
        name = Plain() if known.protocol == "hardline/1" else Code()
        if known.endpoint is not None:
            kind = PathKind.DIRECT if known.kind is None else known.kind
            yield Candidate(known.endpoint, kind, FoundBy(self.name, Trust.WORKED), name)
        for endpoint in known.wan_hosts:
            if endpoint != known.endpoint:
                yield Candidate(endpoint, PathKind.DIRECT, FoundBy(self.name, Trust.SIGNED), name)
        for via in known.relayed:
            yield via.candidate(FoundBy(self.name, Trust.SIGNED))

    async def _do(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)

    # In the worker thread.

    def _connect(self) -> None:
        self._database = self._file.open()

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
            self._file.warn(failure)
            return None
        return _parsed(row) if row else None

    def _keep_at_hand(self, target: KeyHash, host: RememberedHost | None) -> RememberedHost | None:
        self._at_hand.pop(target, None)
        self._at_hand[target] = host
        if len(self._at_hand) > _AT_HAND:
            del self._at_hand[next(iter(self._at_hand))]
        return host

    def _recent(self, limit: int) -> list[tuple[KeyHash, RememberedHost]]:
        found = dict(self._unsaved)
        if self._database is not None:
            try:
                rows = self._database.execute("SELECT key_hash FROM routes ORDER BY last_seen DESC LIMIT ?", (limit,))
                texts = [text for (text,) in rows.fetchall()]
            except sqlite3.Error as failure:
                self._file.warn(failure)
                texts = []
            for text in texts:
                with contextlib.suppress(HardlineError, TypeError):
                    target = KeyHash.parse(text)
                    if (host := self._read(target)) is not None:
                        found[target] = host
        return sorted(found.items(), key=lambda item: -item[1].last_seen)[:limit]

    def _also_before(self, target: KeyHash, relayed: tuple[Via, ...]) -> tuple[Via, ...]:
        known, told = self._read(target), {via.endpoint for via in relayed}
        before = known.relayed if known and relayed else ()
        return (*relayed, *(via for via in before if via.endpoint not in told))[:MAX_VIA]

    def _change(self, target: KeyHash, **changes: object) -> None:
        now = int(time.time())
        known = self._read(target) or RememberedHost(first_seen=now)
        host = replace(known, last_seen=now, **changes)  # type: ignore[arg-type]  # our two callers' own keys
        self._keep_at_hand(target, host)
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
            json.dumps(format_via(host.relayed)) if host.relayed else "",
            str(host.endpoint) if host.endpoint else "",
            "" if host.kind is None else host.kind.name,
            host.protocol,
            host.first_seen,
            host.last_seen,
        )
        try:
            self._database.execute(_INSERT, values)
            self._database.execute(_FORGET, (MAX_ROWS,))
        except sqlite3.Error as failure:
            self._file.warn(failure)
            return False
        return True


def _parsed(row: tuple[object, ...]) -> RememberedHost:
    """A row as it may be used, whoever wrote it."""
    title, wan_hosts, relayed, endpoint, kind, protocol, first_seen, last_seen = row
    parsed: Endpoint | None = None
    if isinstance(endpoint, str) and endpoint:
        try:
            parsed = Endpoint.parse(endpoint)
        except HardlineError:
            parsed = None
    return RememberedHost(
        title=clean_title(title) if isinstance(title, str) else "",
        wan_hosts=tuple(parse_wan_hosts(wan_hosts)) if isinstance(wan_hosts, str) else (),
        relayed=_relayed(relayed),
        endpoint=parsed,
        kind=PathKind.__members__.get(kind) if isinstance(kind, str) else None,
        protocol=protocol if isinstance(protocol, str) and protocol in _PROTOCOLS else "",
        first_seen=first_seen if isinstance(first_seen, int) else 0,
        last_seen=last_seen if isinstance(last_seen, int) else 0,
    )


def _relayed(text: object) -> tuple[Via, ...]:
    try:
        return parse_via(json.loads(text)) if isinstance(text, str) and text else ()
    except (ValueError, RecursionError):
        return ()
