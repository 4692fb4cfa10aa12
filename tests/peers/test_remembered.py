"""Routes that worked: kept through everything, and never a way in for junk."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hardline.identity import KeyHash
from hardline.peers import remembered
from hardline.peers.remembered import Remembered
from hardline.routes import Candidate, Code, Endpoint, FoundBy, Handle, PathKind, Plain, RememberedHost, Trust, Via
from tests.support import needs
from tests.support.disk import SmallDisk, small_disk

OURS = KeyHash.parse("a946e7a560289417a2711f5b9686624852dd469b")
OTHER = KeyHash.parse("6d54994fa9c0edc0b30f2749118f5e963cad7ed2")
HERE = Endpoint("192.168.1.7", 7008)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "routes.db"


def with_memory(path: Path, *stories: Callable[[Remembered], Awaitable[None]]) -> None:
    """Each story gets a memory of its own, opened on `path` after the one before was closed."""

    async def run() -> None:
        for story in stories:
            memory = await Remembered.open(path)
            try:
                await story(memory)
            finally:
                await memory.aclose()

    asyncio.run(run())


async def found(memory: Remembered, target: KeyHash = OURS) -> list[str]:
    return [str(candidate.endpoint) async for candidate in memory.find(target)]


async def remember(memory: Remembered) -> None:
    await memory.worked(OURS, HERE, PathKind.LAN, "hardline/2")


async def is_remembered(memory: Remembered) -> None:
    assert await found(memory) == [str(HERE)]


def hand_edit(path: Path, statement: str, *values: object) -> None:
    database = sqlite3.connect(path)
    try:
        with database:
            database.execute(statement, values)
    finally:
        database.close()


def hand_written(path: Path, key_hash: object = str(OURS), **columns: object) -> None:
    """A row as somebody's editor leaves it."""
    row = {"title": "t", "wan_hosts": "", "endpoint": str(HERE), "kind": "LAN", "protocol": "hardline/2"}
    row |= {"first_seen": 1, "last_seen": 2} | columns  # type: ignore[dict-item]
    names = ", ".join(("key_hash", *row))
    marks = ", ".join("?" * (len(row) + 1))
    hand_edit(path, f"INSERT OR REPLACE INTO routes ({names}) VALUES ({marks})", key_hash, *row.values())


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# ── what is kept ─────────────────────────────────────────────────────────────────────────────────────────────


def test_what_worked_is_found_again_by_the_next_process(path):
    async def again(memory: Remembered) -> None:
        assert [one async for one in memory.find(OURS)] == [
            Candidate(HERE, PathKind.LAN, FoundBy("remembered", Trust.WORKED))
        ]

    with_memory(path, remember, again)


def test_the_last_that_worked_comes_first_then_the_hosts_own_list_in_its_order(path):
    async def story(memory: Remembered) -> None:
        await memory.learned(OURS, f"203.0.113.9:7008, {HERE},[2001:db8::7]:7008,host.example:443", "Our wiki")
        assert await found(memory) == [
            "203.0.113.9:7008",
            "192.168.1.7:7008",
            "[2001:db8::7]:7008",
            "host.example:443",
        ]
        await remember(memory)
        assert await found(memory) == [
            "192.168.1.7:7008",
            "203.0.113.9:7008",
            "[2001:db8::7]:7008",
            "host.example:443",
        ]

    with_memory(path, story)


def test_all_that_is_known_survives(path):
    async def learn(memory: Remembered) -> None:
        await memory.learned(OURS, "203.0.113.9:7008", "Our wiki")
        await memory.worked(OURS, Endpoint("fe80::1%eth0", 7008), PathKind.DIRECT, "hardline/1")

    async def again(memory: Remembered) -> None:
        host = await memory.get(OURS)
        assert host is not None
        assert host.first_seen <= host.last_seen
        assert (host.title, host.wan_hosts) == ("Our wiki", (Endpoint("203.0.113.9", 7008),))
        assert (host.endpoint, host.kind, host.protocol) == (
            Endpoint("fe80::1%eth0", 7008),
            PathKind.DIRECT,
            "hardline/1",
        )

    with_memory(path, learn, again)


def test_a_host_that_moves_and_renames_itself_is_known_by_its_newest_words(path):
    async def story(memory: Remembered) -> None:
        await memory.learned(OURS, "203.0.113.9:1", "old")
        await memory.worked(OURS, HERE, PathKind.LAN, "hardline/1")
        await memory.learned(OURS, "203.0.113.9:2", "new")
        await memory.worked(OURS, Endpoint("192.168.1.8", 7008), PathKind.LAN, "hardline/2")
        assert await found(memory) == ["192.168.1.8:7008", "203.0.113.9:2"]
        host = await memory.get(OURS)
        assert host is not None
        assert (host.title, host.protocol) == ("new", "hardline/2")

    with_memory(path, story)


@pytest.mark.parametrize(("protocol", "name"), [("hardline/1", Plain()), ("hardline/2", Code())])
def test_the_key_hash_itself_is_said_only_to_originals(path, protocol, name):
    async def story(memory: Remembered) -> None:
        await memory.worked(OURS, HERE, PathKind.LAN, protocol)
        await memory.learned(OURS, "203.0.113.9:7008", "")
        assert [one.server_name async for one in memory.find(OURS)] == [name, name]

    with_memory(path, story)


def test_what_a_path_is_is_kept_and_what_the_host_only_told_is_no_more_than_that(path):
    async def visits(memory: Remembered) -> None:
        await memory.learned(OURS, "192.168.1.9:7008", "")
        await memory.worked(OURS, HERE, PathKind.LAN, "hardline/2")

    async def again(memory: Remembered) -> None:
        assert [(one.near, one.found_by.told) async for one in memory.find(OURS)] == [(True, False), (False, True)]

    async def elsewhere(memory: Remembered) -> None:
        await memory.worked(OURS, Endpoint("192.168.1.9", 7008), PathKind.DIRECT, "hardline/2")
        assert [(one.near, one.found_by.told) async for one in memory.find(OURS)] == [(False, False)]

    with_memory(path, visits, again, elsewhere)


def test_nothing_is_known_of_a_stranger(path):
    async def story(memory: Remembered) -> None:
        await remember(memory)
        assert await memory.get(OTHER) is None
        assert await found(memory, OTHER) == []

    with_memory(path, story)


def test_the_hosts_seen_last_come_newest_first(path):
    async def write(memory: Remembered) -> None:
        await remember(memory)

    async def read(memory: Remembered) -> None:
        assert [host.title for _, host in await memory.recent(3)] == ["t9", "t8", "t7"]
        assert len(await memory.recent(100)) == 9

    with_memory(path, write)
    hand_edit(path, "DELETE FROM routes")
    for number in (3, 1, 9, 2, 8, 4, 7, 5, 6):
        hand_written(path, f"{number:040x}", title=f"t{number}", last_seen=number)
    with_memory(path, read)


def test_only_the_newest_rows_are_kept(path, monkeypatch):
    monkeypatch.setattr(remembered, "MAX_ROWS", 3)
    with_memory(path, remember)
    for number in range(10):
        hand_written(path, f"{number:040x}", last_seen=number)

    async def one_more(memory: Remembered) -> None:
        await memory.worked(OTHER, HERE, PathKind.LAN, "hardline/2")
        kept = {target.digest[-1] for target, _ in await memory.recent(100)}
        assert kept == {OURS.digest[-1], OTHER.digest[-1], 9}

    with_memory(path, one_more)


# ── junk ─────────────────────────────────────────────────────────────────────────────────────────────────────

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.binary(),
    st.text(st.characters(codec=None, exclude_categories=())),
    st.lists(st.text()),
    st.dictionaries(st.text(), st.text()),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(wan_hosts=ANYTHING, title=ANYTHING)
@example(wan_hosts="[fe80::1%\ud800]:1,[fe80::1%a b]:1,[::1%\n]:1", title="\ud800")
@example(wan_hosts="1.2.3.4:000019999999,1.2.3.4:000001" + "0" * 4400, title="x" * 5000)
@example(wan_hosts="a:1," * 5000, title="\r\n\x1b[31m")
def test_whatever_a_host_says_nothing_but_endpoints_and_a_title_gets_in(path, wan_hosts, title):
    async def story(memory: Remembered) -> None:
        await remember(memory)
        await memory.learned(OURS, wan_hosts, title)
        host = await memory.get(OURS)
        assert host is not None
        assert host.endpoint == HERE
        assert len(host.wan_hosts) <= 16
        for endpoint in host.wan_hosts:
            assert Endpoint.parse(str(endpoint)) == endpoint
            assert 1 <= endpoint.port <= 65_535
        assert not {"\n", "\r", "\0", "\x1b"} & set(host.title)
        assert len(host.title) <= 200

    with_memory(path, story, is_there)


async def is_there(memory: Remembered) -> None:
    assert str(HERE) in await found(memory)


@pytest.mark.parametrize(
    ("wan_hosts", "title"), [("", ""), (None, None), ("nonsense", "\n"), (b"1.2.3.4:1", 7), ([], {})]
)
def test_words_that_mean_nothing_change_nothing(path, wan_hosts, title):
    async def story(memory: Remembered) -> None:
        await memory.learned(OTHER, wan_hosts, title)
        assert await memory.get(OTHER) is None
        await memory.learned(OURS, "203.0.113.9:7008", "Our wiki")
        before = await memory.get(OURS)
        await memory.learned(OURS, wan_hosts, title)
        after = await memory.get(OURS)
        assert after == before

    with_memory(path, story)


@pytest.mark.parametrize(
    ("column", "value", "attribute", "read"),
    [
        ("title", "a\x1b[31m\nb", "title", "a[31m b"),
        ("title", b"\xff\x00", "title", ""),
        ("wan_hosts", "nonsense,203.0.113.9:1,:,1.2.3.4:99999", "wan_hosts", (Endpoint("203.0.113.9", 1),)),
        ("wan_hosts", b"\0", "wan_hosts", ()),
        ("endpoint", "http://x/", "endpoint", None),
        ("endpoint", "[::1%\n]:1", "endpoint", None),
        ("endpoint", b"\xff", "endpoint", None),
        ("kind", "<script>", "kind", None),
        ("kind", b"\0", "kind", None),
        ("protocol", "hardline/9", "protocol", ""),
        ("first_seen", "long ago", "first_seen", 0),
        ("last_seen", 1.5, "last_seen", 0),
        ("last_seen", b"", "last_seen", 0),
    ],
)
def test_a_garbage_column_is_as_if_empty_and_the_rest_of_its_row_is_used(path, column, value, attribute, read):
    async def story(memory: Remembered) -> None:
        host = await memory.get(OURS)
        assert host is not None
        assert getattr(host, attribute) == read
        untouched = {"title": "t", "endpoint": HERE, "kind": PathKind.LAN, "protocol": "hardline/2"}
        for other, expected in untouched.items():
            assert other == attribute or getattr(host, other) == expected

    with_memory(path, remember)
    hand_written(path, **{column: value})
    with_memory(path, story)


def test_text_that_is_no_utf_8_hides_nothing(path):
    with_memory(path, remember)
    hand_edit(path, "INSERT INTO routes (key_hash, first_seen, last_seen) VALUES (CAST(x'ff00fe' AS TEXT), 1, 2)")
    hand_edit(path, "UPDATE routes SET title = CAST(x'61ff62' AS TEXT) WHERE key_hash = ?", str(OURS))

    async def story(memory: Remembered) -> None:
        assert await found(memory) == [str(HERE)]
        assert [target for target, _ in await memory.recent(10)] == [OURS]

    with_memory(path, story)


@pytest.mark.parametrize("name", ["", "x", "A946", b"\0", 7, "zz" * 20])
def test_a_row_under_a_garbage_name_is_not_shown(path, name):
    with_memory(path, remember)
    hand_written(path, name)

    async def story(memory: Remembered) -> None:
        assert [target for target, _ in await memory.recent(10)] == [OURS]

    with_memory(path, story)


# ── files that cannot be used ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "garbage", [b"this is no database, and long enough to be seen as none" * 100, b"SQLite format 3\0" * 300]
)
def test_a_file_that_is_no_database_is_moved_aside_and_a_new_one_made(path, caplog, garbage):
    path.write_bytes(garbage)
    with_memory(path, remember, is_remembered)
    assert path.with_name("routes.db.broken").read_bytes() == garbage
    assert warnings_of(caplog) == ["memory.broken"]


def test_a_database_with_a_damaged_page_is_moved_aside(path, caplog):
    with_memory(path, remember)
    for number in range(300):
        hand_written(path, f"{number:040x}", title="x" * 100)
    data = bytearray(path.read_bytes())
    data[5 * 4096 : 6 * 4096] = b"\xa5" * 4096
    path.write_bytes(data)
    with_memory(path, remember, is_remembered)
    assert path.with_name("routes.db.broken").exists()
    assert warnings_of(caplog) == ["memory.broken"]


def test_a_second_broken_file_replaces_the_first(path):
    for garbage in (b"first " * 1000, b"second " * 1000):
        path.write_bytes(garbage)
        with_memory(path, remember)
        assert path.with_name("routes.db.broken").read_bytes() == garbage


@pytest.mark.parametrize("place", ["missing/routes.db", "."])
def test_where_no_file_can_be_the_process_remembers_and_one_warning_says_so(tmp_path, caplog, place):
    async def story(memory: Remembered) -> None:
        await remember(memory)
        await memory.learned(OURS, "203.0.113.9:7008", "Our wiki")
        assert await found(memory) == [str(HERE), "203.0.113.9:7008"]
        assert [target for target, _ in await memory.recent(10)] == [OURS]
        assert await memory.get(OTHER) is None

    with_memory(tmp_path / place, story)
    assert warnings_of(caplog) == ["memory.unusable"]


def test_what_the_process_remembers_without_a_disk_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(remembered, "MAX_ROWS", 3)

    async def story(memory: Remembered) -> None:
        for number in range(10):
            await memory.worked(KeyHash(bytes([number] * 20)), HERE, PathKind.LAN, "hardline/2")
        assert len(await memory.recent(100)) == 3

    with_memory(tmp_path / "missing" / "routes.db", story)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk") as disk:
        yield disk


@needs.linux()
@needs.root()
@pytest.mark.parametrize("before", ["nothing", "database", "broken"])
def test_in_a_read_only_directory_the_process_remembers(disk, caplog, before):
    path = disk.place / "routes.db"
    if before == "database":
        with_memory(path, remember)
    elif before == "broken":
        path.write_bytes(b"no database" * 1000)
    disk.mount("remount,ro")

    async def story(memory: Remembered) -> None:
        await memory.worked(OTHER, HERE, PathKind.LAN, "hardline/2")
        assert await found(memory, OTHER) == [str(HERE)]

    with_memory(path, story)
    assert "memory.unusable" in warnings_of(caplog)


@needs.linux()
@needs.root()
def test_on_a_full_disk_the_process_remembers_and_what_was_written_stays(disk, caplog):
    path = disk.place / "routes.db"

    async def story(memory: Remembered) -> None:
        await remember(memory)
        disk.fill()
        numbers = range(50)
        for number in numbers:
            await memory.worked(KeyHash(bytes([number] * 20)), HERE, PathKind.LAN, "hardline/2")
        for number in numbers:
            assert await found(memory, KeyHash(bytes([number] * 20))) == [str(HERE)]
        await is_remembered(memory)

    with_memory(path, story, is_remembered)
    assert warnings_of(caplog)[0] == "memory.unusable"


@needs.linux()
@needs.root()
def test_when_the_disk_has_room_again_the_newest_is_told_and_all_is_written(disk):
    path = disk.place / "routes.db"
    moved = Endpoint("192.168.1.8", 7008)
    others = [KeyHash(bytes([number] * 20)) for number in range(50)]

    async def story(memory: Remembered) -> None:
        await remember(memory)
        filler = disk.fill()
        for other in [*others, OURS]:
            await memory.worked(other, HERE, PathKind.LAN, "hardline/2")
        filler.unlink()
        await memory.worked(OURS, moved, PathKind.LAN, "hardline/2")
        assert await found(memory) == [str(moved)]

    async def again(memory: Remembered) -> None:
        assert await found(memory) == [str(moved)]
        for other in others:
            assert await found(memory, other) == [str(HERE)]

    with_memory(path, story, again)


WRITER = """
import asyncio, sys
from pathlib import Path
from hardline.peers.remembered import Remembered
from hardline.identity import KeyHash
from hardline.routes import Endpoint, PathKind

async def main():
    memory = await Remembered.open(Path(sys.argv[1]))
    for number in range(1_000_000):
        endpoint = Endpoint("192.0.2.1", 1 + number % 65535)
        await memory.worked(KeyHash(number.to_bytes(20)), endpoint, PathKind.LAN, "hardline/2")
        print(number, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("rows", [1, 57, 400])
def test_a_writer_killed_with_9_loses_nothing_that_it_had_written(path, rows):
    with subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        lines = iter(writer.stdout)
        for _ in range(rows):
            next(lines)
        os.kill(writer.pid, signal.SIGKILL)
        written = max([rows - 1, *(int(line) for line in lines if line.endswith("\n"))])
    assert writer.returncode == -signal.SIGKILL

    async def story(memory: Remembered) -> None:
        assert await found(memory, KeyHash(written.to_bytes(20))) == [f"192.0.2.1:{1 + written}"]
        assert await found(memory, KeyHash(bytes(20))) == ["192.0.2.1:1"]

    with_memory(path, story)
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.close()
    assert not path.with_name("routes.db.broken").exists()


def test_many_at_once_do_not_disturb_each_other(path):
    async def story(memory: Remembered) -> None:
        targets = [KeyHash(bytes([number] * 20)) for number in range(100)]
        async with asyncio.TaskGroup() as group:
            for target in targets:
                group.create_task(memory.worked(target, HERE, PathKind.LAN, "hardline/2"))
                group.create_task(memory.learned(target, "203.0.113.9:1", "t"))
        for target in targets:
            host = await memory.get(target)
            assert isinstance(host, RememberedHost)
            assert (host.endpoint, host.title) == (HERE, "t")

    with_memory(path, story)


# ── relays ───────────────────────────────────────────────────────────────────────────────────────────────────

VIA = (Via(Endpoint("relay.example", 7008), "ab" * 20), Via(Endpoint("2001:db8::30", 443), "cd" * 20))


def test_a_relay_that_is_not_named_any_more_comes_behind_those_that_are(path):
    renamed, third, fourth = (
        Via(Endpoint(host, 7008), "ef" * 20) for host in ("relay.example", "third.example", "fourth.example")
    )

    async def story(memory: Remembered) -> None:
        async def says(*relayed: Via) -> tuple[Via, ...]:
            await memory.learned(OURS, "", "", relayed)
            host = await memory.get(OURS)
            assert host is not None
            return host.relayed

        assert await says(*VIA) == VIA
        assert await says(VIA[1]) == (VIA[1], VIA[0])
        assert await says(renamed) == (renamed, VIA[1]), "with its newer name"
        assert await says(third, fourth) == (third, fourth, renamed), "as many as a host may name"
        assert await says() == (), "it is at none any more"

    with_memory(path, story)


def test_relays_come_last_and_are_what_the_host_said_last(path):
    async def learn(memory: Remembered) -> None:
        await remember(memory)
        await memory.learned(OURS, "203.0.113.9:7008", "Our wiki", VIA)

    async def again(memory: Remembered) -> None:
        assert await found(memory) == [str(HERE), "203.0.113.9:7008", "relay.example:7008", "[2001:db8::30]:443"]
        last = [one async for one in memory.find(OURS)][-1]
        signed = FoundBy("remembered", Trust.SIGNED)
        assert last == Candidate(VIA[1].endpoint, PathKind.RELAYED, signed, Handle("cd" * 20))
        await memory.learned(OURS, "", "", None)
        assert len(await found(memory)) == 4, "an original does not say"
        await memory.learned(OURS, "", "", ())
        assert len(await found(memory)) == 2

    with_memory(path, learn, again)


def test_a_relay_that_worked_is_no_address_of_the_host(path):
    async def story(memory: Remembered) -> None:
        await remember(memory)
        await memory.worked(OURS, VIA[0].endpoint, PathKind.RELAYED, "hardline/2")
        host = await memory.get(OURS)
        assert host is not None
        assert (host.endpoint, host.kind, host.protocol) == (HERE, PathKind.LAN, "hardline/2")

    with_memory(path, story)


@pytest.mark.parametrize("text", ["nonsense", "[", '[["relay.example:7008"]]', '{"a":1}', "[" * 100_000, b"\0", 7])
def test_relays_that_somebody_wrote_by_hand_are_none(path, text):
    async def story(memory: Remembered) -> None:
        assert await found(memory) == [str(HERE)]

    with_memory(path, remember)
    hand_written(path, relayed=text)
    with_memory(path, story)


def test_what_was_used_lately_needs_no_look_into_the_file(path, monkeypatch):
    async def visited(memory: Remembered) -> None:
        assert not memory.is_at_hand(OURS)
        await remember(memory)
        assert memory.is_at_hand(OURS)

    async def again(memory: Remembered) -> None:
        assert not memory.is_at_hand(OURS), "nobody has asked for it here"
        assert await found(memory) == [str(HERE)]
        assert await memory.get(OTHER) is None
        assert not memory.is_at_hand(OTHER), "nothing is known of it"
        monkeypatch.setattr(memory, "_read", lambda target: pytest.fail("it was read again"))
        assert memory.is_at_hand(OURS)
        assert await found(memory) == [str(HERE)]
        assert await memory.get(OTHER) is None

    with_memory(path, visited, again)


def test_what_changes_is_at_hand_as_it_is_now(path):
    async def story(memory: Remembered) -> None:
        await remember(memory)
        await memory.learned(OURS, "192.0.2.9:7008", "Title", None)
        assert await found(memory) == [str(HERE), "192.0.2.9:7008"]

    with_memory(path, story)


def test_few_are_at_hand_however_many_are_asked_for(path, monkeypatch):
    monkeypatch.setattr(remembered, "_AT_HAND", 3)
    targets = [KeyHash.parse(f"{number:040x}") for number in range(5)]

    async def story(memory: Remembered) -> None:
        for target in targets:
            await memory.worked(target, HERE, PathKind.LAN, "hardline/2")
        assert [memory.is_at_hand(target) for target in targets] == [False, False, True, True, True]
        assert await found(memory, targets[0]) == [str(HERE)]

    with_memory(path, story)
