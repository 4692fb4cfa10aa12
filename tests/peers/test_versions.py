"""A database of an older hardline keeps what it knows; one of a newer is left to it."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hardline.addresses import Way
from hardline.identity import KeyHash
from hardline.peers import versions
from hardline.peers.remembered import Remembered
from hardline.peers.versions import MIGRATIONS
from hardline.routes import Endpoint, PathKind, RememberedHost
from tests.support import needs
from tests.support.disk import SmallDisk, small_disk

HERE, FAR = "192.168.1.7:7008", "203.0.113.9:7008"
NOW = len(MIGRATIONS)
VERSION_0 = """
CREATE TABLE routes (
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


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "routes.db"


@pytest.fixture(autouse=True)
def network(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine is in 192.168.1.0/24."""
    monkeypatch.setattr(
        versions, "way_to", lambda address: Way.ATTACHED if str(address).startswith("192.168.1.") else Way.DEFAULT
    )


def target(number: int) -> KeyHash:
    return KeyHash(bytes([number] * 20))


def old(path: Path, *rows: tuple[str, object]) -> None:
    """As hardline left it that knew no versions: rows of endpoint and `via`."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute(VERSION_0)
        for number, (endpoint, via) in enumerate(rows):
            values = (str(target(number)), f"t{number}", FAR, endpoint, via, "hardline/2", 1, 2)
            database.execute("INSERT INTO routes VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)


def with_memory(path: Path, story: Callable[[Remembered], Awaitable[None]]) -> None:
    async def run() -> None:
        memory = await Remembered.open(path)
        try:
            await story(memory)
        finally:
            await memory.aclose()

    asyncio.run(run())


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute("PRAGMA user_version").fetchone()[0])


OLD = [
    (HERE, "LAN", PathKind.LAN),
    (FAR, "DIRECT", PathKind.DIRECT),
    (FAR, "RELAY", PathKind.RELAYED),
    (HERE, "REMEMBERED", PathKind.LAN),
    (FAR, "REMEMBERED", PathKind.DIRECT),
    ("host.example:443", "", PathKind.DIRECT),
    ("nonsense", "REMEMBERED", PathKind.DIRECT),
    ("", "", None),
    (HERE, b"\0", PathKind.LAN),
]


def test_what_an_older_hardline_knew_is_kept_and_the_kind_of_path_is_told_apart(path):
    old(path, *((endpoint, via) for endpoint, via, _ in OLD))

    async def story(memory: Remembered) -> None:
        for number, (endpoint, _, kind) in enumerate(OLD):
            parsed = Endpoint.parse(endpoint) if ":" in endpoint else None
            assert await memory.get(target(number)) == RememberedHost(
                f"t{number}", (Endpoint.parse(FAR),), parsed, kind, "hardline/2", 1, 2
            )

    for _ in range(2):
        with_memory(path, story)
        assert version_of(path) == NOW


def test_on_a_disk_that_takes_nothing_an_older_file_is_read_and_stays_what_it_is(path, monkeypatch, caplog):
    old(path, (HERE, "LAN"))
    before = path.read_bytes()

    def refused(*_: object) -> None:
        raise sqlite3.OperationalError("attempt to write a readonly database")

    monkeypatch.setattr("hardline.peers.database.Database._opened", refused)

    async def story(memory: Remembered) -> None:
        host = await memory.get(target(0))
        assert host is not None
        assert (host.endpoint, host.kind) == (Endpoint.parse(HERE), PathKind.LAN)
        await memory.worked(target(1), Endpoint.parse(FAR), PathKind.DIRECT, "hardline/2")
        assert [candidate.endpoint async for candidate in memory.find(target(1))] == [Endpoint.parse(FAR)]

    with_memory(path, story)
    assert path.read_bytes() == before
    assert [record.getMessage() for record in caplog.records] == ["memory.unusable"]


def test_a_migration_that_breaks_off_leaves_the_old_file(path, monkeypatch):
    old(path, (HERE, "LAN"))

    def power_cut(*_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(versions, "_is_attached", power_cut)
        old_rows = path.read_bytes()
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("UPDATE routes SET via = 'REMEMBERED'")
        with pytest.raises(KeyboardInterrupt):
            with_memory(path, _nothing)
        assert version_of(path) == 0
        assert len(path.read_bytes()) >= len(old_rows)

    async def story(memory: Remembered) -> None:
        host = await memory.get(target(0))
        assert host is not None
        assert host.kind is PathKind.LAN

    with_memory(path, story)


async def _nothing(memory: Remembered) -> None:
    pass


def test_a_file_of_a_newer_hardline_is_refused_with_a_sentence_and_left_as_it_is(path, caplog):
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE routes (key_hash TEXT, of_tomorrow TEXT)")
        database.execute("INSERT INTO routes VALUES ('x', 'y')")
        database.execute(f"PRAGMA user_version = {NOW + 2}")
    before = path.read_bytes()

    async def story(memory: Remembered) -> None:
        assert await memory.recent(10) == []
        await memory.worked(target(1), Endpoint.parse(HERE), PathKind.LAN, "hardline/2")
        assert [known for known, _ in await memory.recent(10)] == [target(1)]

    with_memory(path, story)
    assert path.read_bytes() == before
    [record] = caplog.records
    assert record.getMessage() == "memory.newer"
    assert f"version {NOW + 2}, this one knows {NOW}" in str(record.__dict__)


@pytest.mark.parametrize(
    ("version", "statement"),
    [
        (NOW, VERSION_0),
        (NOW, "CREATE TABLE something (other TEXT)"),
        (0, "CREATE VIEW routes AS SELECT 1 AS via"),
        (0, "CREATE TABLE routes (key_hash TEXT PRIMARY KEY)"),
    ],
)
def test_a_file_that_does_not_hold_what_its_version_says_is_moved_aside(path, caplog, version, statement):
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(statement)
        database.execute(f"PRAGMA user_version = {version}")

    async def story(memory: Remembered) -> None:
        await memory.worked(target(1), Endpoint.parse(HERE), PathKind.LAN, "hardline/2")

    async def again(memory: Remembered) -> None:
        assert [known for known, _ in await memory.recent(10)] == [target(1)]

    with_memory(path, story)
    with_memory(path, again)
    assert [record.getMessage() for record in caplog.records] == ["memory.broken"]
    assert path.with_name("routes.db.broken").exists()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk") as disk:
        yield disk


@needs.linux()
@needs.root()
@pytest.mark.parametrize("disk_is", ["read-only", "full"])
def test_what_a_killed_older_daemon_left_in_the_journal_is_known_on_a_disk_that_takes_nothing(disk, disk_is):
    path = disk.place / "routes.db"
    old(path, (HERE, "LAN"))
    killed = (
        "import os, sqlite3, sys; d = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "d.execute('UPDATE routes SET title = ?', ['new']); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", killed, path], check=True)
    assert path.with_name("routes.db-wal").exists()
    if disk_is == "read-only":
        disk.mount("remount,ro")
    else:
        disk.fill()

    async def story(memory: Remembered) -> None:
        host = await memory.get(target(0))
        assert host is not None
        assert (host.title, host.kind) == ("new", PathKind.LAN)

    with_memory(path, story)
