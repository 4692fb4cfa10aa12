"""What is kept: as plain files, whole or not at all, within its limit, and never at the cost of the owner's files."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import itertools
import os
import shutil
import stat
import threading
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from hardline.cache.kept import layout
from hardline.cache.kept.heads import is_marked
from hardline.cache.kept.ledger import DIRECTORY, cost
from hardline.cache.kept.store import Entry, Store, StoredHead, StoreFull
from hardline.tasks import TaskSet
from tests.support.waiting import wait_until

MB = 1 << 20
NOW = 1_800_000_000.0
HEAD = StoredHead(200, "OK", (("Content-Type", "text/html"), ("ETag", '"1"')), NOW - 1, NOW)

Story = Callable[[Store], Awaitable[None]]


def with_store(root: Path, *stories: Story, max_size: int = 100 * MB) -> None:
    """Each story gets a store of its own, opened on `root` after the one before was closed."""

    async def run() -> None:
        for story in stories:
            store = Store(root, max_size=max_size)
            await store.open()
            try:
                await story(store)
            finally:
                await store.aclose()

    asyncio.run(run())


def head(status: int = 200, received_at: float = NOW, fields: dict[str, str] | None = None, **by: str) -> StoredHead:
    return StoredHead(status, "", tuple((fields or {}).items()), received_at - 1, received_at, tuple(by.items()))


async def put(store: Store, key: str, body: bytes, its_head: StoredHead = HEAD) -> Entry:
    writing = await store.begin(key, its_head, len(body))
    try:
        await writing.write(body)
        return await writing.commit()
    finally:
        await writing.abort()


def body_of(entry: Entry) -> bytes:
    with open(entry.open(), "rb") as file:
        return file.read()


async def bodies(store: Store, key: str) -> list[bytes]:
    return [body_of(entry) for entry in await store.find(key)]


async def bodies_afresh(store: Store, key: str) -> list[bytes]:
    """What is there, whatever was found a moment ago."""
    store.keeper.changed(key)
    return await bodies(store, key)


async def counted(store: Store) -> None:
    """Wait until all that is there is known: only then something is taken in."""
    await (await store.begin("/counted", HEAD, 0)).abort()


def files(root: Path) -> set[str]:
    """All that is below `root` and no directory."""
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_symlink() or not path.is_dir()}


def directories(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_dir()} - {layout.DRAFTS}


def size_of(root: Path) -> int:
    """What is below it, as the limit counts it; drafts have a directory in any case."""
    total = 0
    for path in root.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            facts = path.lstat()
            if path.is_file():
                total += cost(facts.st_size, facts.st_blocks)
            elif path.name != layout.DRAFTS:
                total += DIRECTORY
    return total


# ── what is found ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("/", "@http"),
        ("/foo/bar", "foo/bar@http"),
        ("/foo/bar/", "foo/bar/@http"),
        ("/foo?x=1", "foo%3Fx%3D1@http"),
        ("/../../etc/passwd", "%2E%2E/%2E%2E/etc/passwd@http"),
    ],
)
def test_an_answer_is_a_plain_file_and_survives_with_all_that_is_known_of_it(tmp_path, key, name):
    async def write(store: Store) -> None:
        entry = await put(store, key, b"hello")
        assert (await store.find(key)) == (entry,)
        assert (tmp_path / name).read_bytes() == b"hello"
        assert abs((tmp_path / name).stat().st_mtime - NOW) < 1

    async def read(store: Store) -> None:
        (entry,) = await store.find(key)
        assert (entry.key, entry.head, entry.size, entry.hand_made) == (key, HEAD, 5, False)
        assert body_of(entry) == b"hello"

    with_store(tmp_path, write, read)
    assert files(tmp_path) == {name, f"{name}.head"}


@pytest.mark.parametrize("key", ["/" + "x" * 300, "/" + "d/" * 900, "/" + "%C3%BC" * 50, "no slash", "/\0\ud800"])
def test_any_target_is_kept_and_found(tmp_path, key):
    async def write(store: Store) -> None:
        await put(store, key, b"hello")

    async def read(store: Store) -> None:
        assert await bodies(store, key) == [b"hello"]

    with_store(tmp_path, write, read)


def test_nothing_is_found_of_what_was_never_stored(tmp_path):
    async def story(store: Store) -> None:
        await put(store, "/a/b", b"hello")
        for key in ("/", "/a", "/a/", "/a/b/", "/a/b?", "/A/b", "/a/b@http", "/a/b@http.head", "/a%2Fb", "//a/b"):
            assert await store.find(key) == ()

    with_store(tmp_path, story)


def test_variants_lie_side_by_side_newest_first(tmp_path):
    async def write(store: Store) -> None:
        await put(store, "/a", b"german", head(language="de"))
        await put(store, "/a", b"french", head(language="fr"))
        await put(store, "/a", b"GERMAN", head(language="de"))

    async def read(store: Store) -> None:
        assert await bodies(store, "/a") == [b"GERMAN", b"french"]
        assert [entry.head.selecting for entry in await store.find("/a")] == [
            (("language", "de"),),
            (("language", "fr"),),
        ]

    with_store(tmp_path, write, read)
    assert files(tmp_path) == {"a@http", "a@http.2", "a@http.head"}


def test_of_too_many_variants_the_oldest_gives_its_place(tmp_path):
    async def story(store: Store) -> None:
        for number in range(layout.MAX_VARIANTS + 2):
            await put(store, "/a", b"%d" % number, head(x=str(number)))
        found = await bodies(store, "/a")
        assert found == [b"%d" % number for number in range(layout.MAX_VARIANTS + 1, 1, -1)]

    with_store(tmp_path, story)
    assert len(files(tmp_path)) == layout.MAX_VARIANTS + 1


def test_a_refreshed_answer_has_its_new_head_and_its_old_body(tmp_path):
    newer = head(received_at=NOW + 60, fields={"ETag": '"2"'})

    async def write(store: Store) -> None:
        other = await put(store, "/a", b"other", head(x="2"))
        entry = await store.refresh(await put(store, "/a", b"hello"), newer)
        assert entry.head == newer
        assert await store.find("/a") == (entry, other)

    async def read(store: Store) -> None:
        assert (await store.find("/a"))[0].head == newer
        assert await bodies(store, "/a") == [b"hello", b"other"]

    with_store(tmp_path, write, read)


def test_an_answer_that_was_replaced_cannot_be_refreshed_nor_read(tmp_path):
    async def story(store: Store) -> None:
        old = await put(store, "/a", b"old")
        descriptor = old.open()
        await put(store, "/a", b"new")
        with pytest.raises(FileNotFoundError):
            await store.refresh(old, HEAD)
        with pytest.raises(FileNotFoundError):
            old.open()
        with open(descriptor, "rb") as file:
            assert file.read() == b"old"
        assert await bodies(store, "/a") == [b"new"]

    with_store(tmp_path, story)


def test_a_body_that_somebody_changed_in_place_is_noticed(tmp_path):
    """Inode, size and time of modification are those of before: an inode is used again at once."""

    async def story(store: Store) -> None:
        entry = await put(store, "/a", b"hello")
        before = (tmp_path / "a@http").stat()
        with open(tmp_path / "a@http", "r+b") as file:
            file.write(b"HELLO")
        os.utime(tmp_path / "a@http", ns=(before.st_atime_ns, before.st_mtime_ns))
        with pytest.raises(FileNotFoundError):
            entry.open()

    with_store(tmp_path, story)


def test_files_that_have_another_targets_name_are_not_its_answer(tmp_path):
    """As where capitals make no difference to names."""

    async def write(store: Store) -> None:
        await put(store, "/A", b"hello")

    async def read(store: Store) -> None:
        assert await store.find("/a") == ()
        await put(store, "/a", b"another")
        assert await bodies(store, "/a") == [b"another"]

    with_store(tmp_path, write)
    for name in ("@http", "@http.head"):
        (tmp_path / f"A{name}").rename(tmp_path / f"a{name}")
    with_store(tmp_path, read)
    assert (tmp_path / "a@http").read_bytes() == b"hello"


def test_what_is_removed_is_gone_with_its_directories(tmp_path):
    async def story(store: Store) -> None:
        await put(store, "/a/b/c", b"1", head(x="1"))
        await put(store, "/a/b/c", b"2", head(x="2"))
        await put(store, "/a/d", b"3")
        await store.remove("/a/b/c")
        assert await store.find("/a/b/c") == ()
        assert directories(tmp_path) == {"a"}
        await store.remove("/a/d")
        await store.remove("/never/there")
        assert store.ledger.taken == 0

    with_store(tmp_path, story)
    assert list(tmp_path.iterdir()) == []


def test_a_download_is_read_while_it_grows_and_after_it_is_whole(tmp_path):
    async def story(store: Store) -> None:
        writing = await store.begin("/a", HEAD, None)
        follower = writing.open()
        await writing.write(b"one")
        assert (os.pread(follower, 100, 0), writing.written) == (b"one", 3)
        assert await store.find("/a") == ()
        await writing.write(memoryview(b"two"))
        await writing.commit()
        assert os.pread(follower, 100, 0) == b"onetwo"
        os.close(follower)
        with pytest.raises(OSError):
            await writing.write(b"more")
        await writing.abort()
        assert await bodies(store, "/a") == [b"onetwo"]

    with_store(tmp_path, story)


def test_a_download_that_was_given_up_leaves_nothing(tmp_path):
    async def story(store: Store) -> None:
        await put(store, "/a", b"old")
        writing = await store.begin("/a", HEAD, 1000)
        await writing.write(b"new")
        await writing.abort()
        await writing.abort()
        with pytest.raises(OSError):
            await writing.commit()
        assert await bodies(store, "/a") == [b"old"]
        assert store.ledger.taken == store.ledger.stored

    with_store(tmp_path, story)
    assert files(tmp_path) == {"a@http", "a@http.head"}


def test_a_store_that_is_closed_gives_up_what_was_under_way(tmp_path):
    async def story(store: Store) -> None:
        await (await store.begin("/a", HEAD, 1000)).write(b"new")

    with_store(tmp_path, story)
    assert list(tmp_path.iterdir()) == []


def test_whoever_is_cancelled_in_the_middle_leaves_a_whole_answer_or_none(tmp_path):
    async def story(store: Store) -> None:
        tasks = TaskSet("visitors")
        for number in range(60):
            key = f"/{number}"
            task = tasks.start(put(store, key, b"x" * 100_000), key)
            for _ in range(number):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            assert await bodies(store, key) in ([], [b"x" * 100_000])
        async with asyncio.timeout(100):
            while store.ledger.taken != store.ledger.stored or files(tmp_path / layout.DRAFTS):
                await asyncio.sleep(0.01)

    with_store(tmp_path, story)
    assert not any(layout.DRAFT in name for name in files(tmp_path))


# ── what others left there ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("key", "name", "kind"),
    [
        ("/", "@http", None),
        ("/a/b.html", "a/b.html@http", "text/html"),
        ("/p.png?v=1", "p.png%3Fv%3D1@http", "image/png"),
    ],
)
def test_files_of_the_original_are_used(tmp_path, key, name, kind):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"left")
    os.utime(tmp_path / name, (NOW, NOW))

    async def story(store: Store) -> None:
        (entry,) = await store.find(key)
        assert (entry.head.status, entry.head.received_at, entry.hand_made) == (200, NOW, False)
        assert dict(entry.head.fields).get("Content-Type") == kind
        assert dict(entry.head.fields)["Date"] == "Fri, 15 Jan 2027 08:00:00 GMT"
        assert body_of(entry) == b"left"
        await store.refresh(entry, HEAD)
        assert [entry.head for entry in await store.find(key)] == [HEAD]
        await put(store, key, b"newer")
        assert await bodies(store, key) == [b"newer"]

    with_store(tmp_path, story)
    assert files(tmp_path) == {name, f"{name}.head"}


def test_a_file_that_may_not_be_shown_is_no_answer_of_the_originals(tmp_path):
    (tmp_path / "secret@http").write_bytes(b"secret")

    async def story() -> None:
        store = Store(tmp_path, max_size=MB, forbidden=lambda path, facts: path == f"{tmp_path.resolve()}/secret@http")
        await store.open()
        assert await store.find("/secret") == ()
        await store.aclose()

    asyncio.run(story())


def test_a_body_of_ours_that_lost_its_head_is_not_taken_for_one_of_the_originals(tmp_path):
    async def write(store: Store) -> None:
        await put(store, "/a", b"zipped", head(fields={"Content-Encoding": "gzip"}))

    async def read(store: Store) -> None:
        assert await store.find("/a") == ()

    with_store(tmp_path, write)
    (tmp_path / "a@http.head").unlink()
    assert is_marked((tmp_path / "a@http").stat().st_mtime_ns)
    with_store(tmp_path, read)
    assert files(tmp_path) == set()


def test_a_copy_of_a_cache_is_as_good_as_the_cache(tmp_path):
    async def write(store: Store) -> None:
        await put(store, "/a/b", b"hello")

    async def read(store: Store) -> None:
        assert await bodies(store, "/a/b") == [b"hello"]

    with_store(tmp_path / "one", write)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    with_store(tmp_path / "two", read)


def test_whichever_files_of_two_states_are_there_they_are_never_mixed(tmp_path):
    """All that a crash, or another process in the same directory, can leave."""
    states: dict[str, list[bytes | None]] = {name: [None] for name in ("a@http", "a@http.2", "a@http.head")}
    times: dict[tuple[str, bytes], int] = {}

    async def two_states(store: Store) -> None:
        for state in (b"1", b"2"):
            for variant in (b"x", b"y"):
                its_head = head(fields={"Holds": (variant + state).decode()}, variant=variant.decode())
                await put(store, "/a", variant + state, its_head)
            for name, seen in states.items():
                file = tmp_path / "states" / name
                seen.append(file.read_bytes())
                times[name, file.read_bytes()] = file.stat().st_mtime_ns

    with_store(tmp_path / "states", two_states)
    for mixture in itertools.product(*states.values()):
        root = tmp_path / "mixed"
        root.mkdir()
        for name, data in zip(states, mixture, strict=True):
            if data is not None:
                (root / name).write_bytes(data)
                os.utime(root / name, ns=(times[name, data], times[name, data]))

        async def read(store: Store) -> None:
            for _ in range(2):
                found = await store.find("/a")
                assert all(dict(entry.head.fields)["Holds"].encode() == body_of(entry) for entry in found)
                await counted(store)
            await put(store, "/a", b"z", head(variant="z"))
            assert (await bodies(store, "/a"))[0] == b"z"

        with_store(root, read)
        shutil.rmtree(root)


@pytest.mark.parametrize("junk", [b"", b"{}", b"\0" * 300, b"[" * 100_000, b"x" * (5 * MB)])
def test_a_head_that_cannot_be_read_is_none(tmp_path, junk):
    async def write(store: Store) -> None:
        await put(store, "/a", b"hello")

    async def read(store: Store) -> None:
        assert await store.find("/a") == ()
        await put(store, "/a", b"again")
        assert await bodies(store, "/a") == [b"again"]

    with_store(tmp_path, write)
    (tmp_path / "a@http.head").write_bytes(junk)
    with_store(tmp_path, read)


def test_what_can_never_be_an_answer_is_cleared_away_at_the_start(tmp_path):
    async def write(store: Store) -> None:
        for key in ("/a/1", "/a/2", "/b/1", "/whole"):
            await put(store, key, b"hello")

    async def wait(store: Store) -> None:
        await counted(store)

    with_store(tmp_path, write)
    (tmp_path / "a/1@http.head").unlink()
    (tmp_path / "a/2@http").unlink()
    (tmp_path / "b/1@http").unlink()
    (tmp_path / layout.DRAFTS).mkdir()
    (tmp_path / layout.DRAFTS / "00@http.draft").write_bytes(b"of a process that was killed")
    (tmp_path / "b/mine").write_bytes(b"by hand")
    with_store(tmp_path, wait)
    assert files(tmp_path) == {"whole@http", "whole@http.head", "b/mine"}
    assert directories(tmp_path) == {"b"}


# ── the owner's own files ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("key", "name"), [("/foo/bar.txt", "foo/bar.txt"), ("/a%20b", "a%2520b"), ("/%C3%BC%20a", "ü a"), ("/a?b", "a%3Fb")]
)
def test_a_file_made_by_hand_stands_for_the_answer(tmp_path, key, name):
    async def write(store: Store) -> None:
        await put(store, key, b"stored before")

    async def read(store: Store) -> None:
        (entry,) = await store.find(key)
        assert entry.hand_made
        assert (entry.head.status, entry.head.received_at) == (200, NOW)
        assert dict(entry.head.fields)["Last-Modified"] == "Fri, 15 Jan 2027 08:00:00 GMT"
        assert body_of(entry) == b"mine"

    with_store(tmp_path, write)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"mine")
    os.utime(tmp_path / name, (NOW, NOW))
    with_store(tmp_path, read)


def test_a_file_made_by_hand_is_replaced_in_place_by_a_newer_answer(tmp_path):
    file = tmp_path / "foo"
    file.write_bytes(b"mine")
    file.chmod(0o640)

    async def refresh(store: Store) -> None:
        entry = await put(store, "/foo", b"newer")
        assert entry.hand_made
        assert await store.find("/foo") == (entry,)
        entry = await store.refresh(entry, head(fields={"ETag": '"3"'}))
        assert await store.find("/foo") == (entry,)

    async def read(store: Store) -> None:
        (entry,) = await store.find("/foo")
        assert (entry.head.fields, body_of(entry), entry.hand_made) == ((("ETag", '"3"'),), b"newer", True)
        file.write_bytes(b"edited")
        with pytest.raises(FileNotFoundError):
            entry.open()
        (entry,) = await store.find("/foo")
        assert (body_of(entry), dict(entry.head.fields).keys()) == (
            b"edited",
            {"Date", "Referrer-Policy", "Last-Modified", "Content-Security-Policy"},
        )
        await store.remove("/foo")

    with_store(tmp_path, refresh, read)
    assert files(tmp_path) == {"foo"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


@pytest.mark.parametrize(
    "answer",
    [head(404), head(206), head(301), head(fields={"content-encoding": "gzip"}), head(fields={"Content-Range": "x"})],
)
def test_only_a_whole_plain_answer_takes_the_place_of_a_file_made_by_hand(tmp_path, answer):
    (tmp_path / "foo").write_bytes(b"mine")

    async def story(store: Store) -> None:
        with pytest.raises(StoreFull, match="made by hand"):
            await store.begin("/foo", answer, 3)

    with_store(tmp_path, story)
    assert files(tmp_path) == {"foo"}


def test_a_file_made_by_hand_while_the_answer_came_is_not_lost(tmp_path):
    async def story(store: Store) -> None:
        writing = await store.begin("/foo", head(404), 3)
        (tmp_path / "foo").write_bytes(b"mine")
        with pytest.raises(StoreFull, match="made by hand"):
            await writing.commit()

    with_store(tmp_path, story)
    assert files(tmp_path) == {"foo"}


def test_what_must_not_be_shown_does_not_stand_for_an_answer(tmp_path):
    (tmp_path / "key.private").write_bytes(b"secret")

    async def story() -> None:
        store = Store(
            tmp_path, max_size=MB, forbidden=lambda path, _: path == os.path.realpath(tmp_path / "key.private")
        )
        await store.open()
        assert await store.find("/key.private") == ()
        await put(store, "/key.private", b"of the origin")
        assert await bodies(store, "/key.private") == [b"of the origin"]
        await store.aclose()

    asyncio.run(story())
    assert (tmp_path / "key.private").read_bytes() == b"secret"


def test_templates_and_data_and_files_made_by_hand_are_never_thrown_out(tmp_path):
    own = {"a@mako": 1000, "a@data": 1000, "mine": 100_000, "d/x@data": 1000, "a@http.txt": 1000}
    (tmp_path / "d").mkdir()
    for name, size in own.items():
        (tmp_path / name).write_bytes(bytes(size))

    async def story(store: Store) -> None:
        await put(store, "/mine", bytes(200_000))  # refreshed, and still the owner's
        for number in range(20):
            await put(store, f"/{number}", bytes(3_000))
        assert store.ledger.taken <= 50_000 + 200_000

    with_store(tmp_path, story, max_size=300_000)

    async def smaller(store: Store) -> None:
        with contextlib.suppress(StoreFull):
            await put(store, "/more", bytes(10))

    with_store(tmp_path, smaller, max_size=10)
    assert files(tmp_path) == set(own)
    assert (tmp_path / "mine").stat().st_size == 200_000


# ── something is in the way ──────────────────────────────────────────────────────────────────────────────────


def inside(make: Callable[[Path], object], name: str) -> Callable[[Path], None]:
    """Puts something under `name` in the directory a."""

    def put_there(root: Path) -> None:
        (root / "a").mkdir()
        make(root / "a" / name)

    return put_there


OUTSIDE = Path("../../outside")  # from the directory a
OBSTACLES: dict[str, Callable[[Path], object]] = {
    "a file where a directory should be": lambda root: (root / "a").write_bytes(b"mine"),
    "a link to a directory outside": lambda root: (root / "a").symlink_to("../outside"),
    "a link to a directory inside": lambda root: (root / "a").symlink_to("."),
    "a link that leads nowhere": lambda root: (root / "a").symlink_to("nowhere"),
    "a link to itself": lambda root: (root / "a").symlink_to("a"),
    "a pipe": inside(os.mkfifo, "secret@http"),
    "a directory where the file should be": inside(Path.mkdir, "secret@http"),
    "a link where the file should be": inside(lambda path: path.symlink_to(OUTSIDE / "secret"), "secret@http"),
    "a link where the head should be": inside(lambda path: path.symlink_to(OUTSIDE / "secret"), "secret@http.head"),
    "a directory where the head should be": inside(Path.mkdir, "secret@http.head"),
    "a link with the name that has no suffix": inside(lambda path: path.symlink_to(OUTSIDE / "secret"), "secret"),
    "a pipe with the name that has no suffix": inside(os.mkfifo, "secret"),
    "a directory with the name that has no suffix": inside(Path.mkdir, "secret"),
    "the head of another target": inside(
        lambda path: path.write_text('{"hardline":1,"key":"/A/secret","inode":1,"answers":[]}'), "secret@http.head"
    ),
}


@pytest.mark.parametrize("what", OBSTACLES)
def test_whatever_is_in_the_way_an_answer_finds_its_place_and_nothing_outside_is_touched(tmp_path, what):
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    OBSTACLES[what](root)

    async def write(store: Store) -> None:
        assert await store.find("/a/secret") == ()
        await put(store, "/a/secret", b"old")
        await put(store, "/a/secret", b"of the origin")

    async def read(store: Store) -> None:
        assert await bodies(store, "/a/secret") == [b"of the origin"]
        await counted(store)
        assert store.ledger.stored > 0

    async def remove(store: Store) -> None:
        await counted(store)
        await store.remove("/a/secret")
        assert await store.find("/a/secret") == ()

    with_store(root, write, read, remove)
    assert files(outside) == {"secret"}
    assert (outside / "secret").read_bytes() == b"secret"


def test_when_nothing_is_in_the_way_any_more_there_is_one_answer_again(tmp_path):
    (tmp_path / "a").write_bytes(b"mine")

    async def story(store: Store) -> None:
        await put(store, "/a/b", b"old")
        assert directories(tmp_path) == {layout.LONG}
        (tmp_path / "a").unlink()
        assert await bodies(store, "/a/b") == [b"old"]
        await put(store, "/a/b", b"new")
        assert await bodies(store, "/a/b") == [b"new"]

    with_store(tmp_path, story)
    assert files(tmp_path) == {"a/b@http", "a/b@http.head"}


def test_a_link_that_comes_while_an_answer_is_on_its_way_is_not_written_through(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    outside.mkdir()

    async def story(store: Store) -> None:
        entry = await put(store, "/a/b", b"old")
        writing = await store.begin("/a/b", HEAD, 3)
        await writing.write(b"new")
        (root / "a").rename(outside / "a")
        (root / "a").symlink_to(outside / "a")
        with pytest.raises(OSError):
            await store.refresh(entry, HEAD)
        await writing.commit()
        assert await bodies(store, "/a/b") == [b"new"]
        await store.remove("/a/b")

    with_store(root, story)
    assert (outside / "a/b@http").read_bytes() == b"old"


def test_the_directory_itself_may_be_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")

    async def story(store: Store) -> None:
        await put(store, "/a", b"hello")
        assert await bodies(store, "/a") == [b"hello"]

    with_store(tmp_path / "link", story)
    assert files(tmp_path / "real") == {"a@http", "a@http.head"}


def test_files_that_vanish_are_no_error(tmp_path):
    root = tmp_path / "root"

    async def story(store: Store) -> None:
        entry = await put(store, "/a/b", b"hello")
        writing = await store.begin("/a/c", HEAD, 5)
        shutil.rmtree(root)
        with pytest.raises(FileNotFoundError):
            entry.open()
        assert await store.find("/a/b") == ()
        with pytest.raises(OSError):
            await writing.commit()
        await put(store, "/a/b", b"again")
        assert await bodies(store, "/a/b") == [b"again"]
        await store.remove("/never")
        assert store.ledger.taken == size_of(root)

    with_store(root, story)


def test_one_file_of_a_pair_that_vanishes_takes_the_other_with_it(tmp_path):
    async def story(store: Store) -> None:
        for key, gone in (("/a", "a@http"), ("/b", "b@http.head")):
            await put(store, key, b"hello")
            (tmp_path / gone).unlink()
            assert await bodies_afresh(store, key) == []
        assert store.ledger.taken == 0
        assert files(tmp_path) == set()

    with_store(tmp_path, story)


def test_what_the_owner_changes_is_noticed_within_moments(tmp_path):
    async def story(store: Store) -> None:
        await put(store, "/a", b"hello")
        assert await bodies(store, "/a") == [b"hello"]
        (tmp_path / "a").write_bytes(b"mine")
        async with asyncio.timeout(100):
            while await bodies(store, "/a") != [b"mine"]:
                await asyncio.sleep(0.05)

    with_store(tmp_path, story)


def test_several_stores_of_one_directory_break_nothing(tmp_path):
    async def run() -> None:
        stores = [Store(tmp_path, max_size=200_000) for _ in range(3)]
        for store in stores:
            await store.open()

        async def work(store: Store, number: int) -> None:
            for turn in range(60):
                body = hashlib.sha256(b"%d %d" % (number, turn)).hexdigest().encode() * 20 * (1 + turn % 7)
                with contextlib.suppress(OSError):
                    await put(store, f"/{turn % 5}/x", body, head(fields={"Digest": hashlib.sha256(body).hexdigest()}))
                for key in range(5):
                    for entry in await store.find(f"/{key}/x"):
                        with contextlib.suppress(FileNotFoundError):
                            digest = hashlib.sha256(body_of(entry)).hexdigest()
                            assert dict(entry.head.fields)["Digest"] == digest
                if turn % 11 == number:
                    await store.remove(f"/{turn % 5}/x")

        await asyncio.gather(*(work(store, number) for number, store in enumerate(stores)))
        for store in stores:
            await store.aclose()

    asyncio.run(run())
    assert not any(layout.DRAFT in name for name in files(tmp_path))


def test_a_draft_is_left_alone_as_long_as_somebody_writes_it(tmp_path):
    async def run() -> None:
        first, second = (Store(tmp_path, max_size=MB) for _ in range(2))
        await first.open()
        writing = await first.begin("/a", HEAD, 5)
        await second.open()
        await counted(second)
        await writing.write(b"hello")
        await writing.commit()
        assert await bodies(second, "/a") == [b"hello"]
        await first.aclose()
        await second.aclose()

    asyncio.run(run())


def test_a_store_that_is_not_opened_reads_and_changes_nothing(tmp_path):
    async def write(store: Store) -> None:
        await put(store, "/a", b"hello")

    async def read() -> None:
        store = Store(tmp_path, max_size=0)
        assert await bodies(store, "/a") == [b"hello"]
        assert await store.find("/b") == ()
        with pytest.raises(StoreFull, match="only reads"):
            await store.begin("/b", HEAD, 1)
        with pytest.raises(StoreFull, match="only reads"):
            await store.remove("/a")
        await store.aclose()

    with_store(tmp_path, write)
    (tmp_path / "b@http.head").write_bytes(b"junk")
    before = files(tmp_path)
    asyncio.run(read())
    assert files(tmp_path) == before


# ── the limit ────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_least_recently_used_goes_first_and_its_directory_with_it(tmp_path):
    async def story(store: Store) -> None:
        entries = {name: await put(store, f"/{name}/x", bytes(20_000)) for name in "abcd"}
        store.used(entries["a"])
        await put(store, "/e/x", bytes(20_000))
        await put(store, "/f/x", bytes(20_000))
        assert [name for name in "abcdef" if await store.find(f"/{name}/x")] == ["a", "d", "e", "f"]
        assert directories(tmp_path) == {"a", "d", "e", "f"}

    with_store(tmp_path, story, max_size=130_000)


def test_who_goes_first_is_known_after_a_restart(tmp_path):
    async def write(store: Store) -> None:
        for name in "abcd":
            await put(store, f"/{name}", bytes(20_000))

    async def story(store: Store) -> None:
        await put(store, "/e", bytes(20_000))
        assert [name for name in "abcde" if await store.find(f"/{name}")] == ["a", "c", "d", "e"]

    with_store(tmp_path, write)
    for age, name in enumerate("acdb"):
        times = (NOW + 1000 - age, (tmp_path / f"{name}@http").stat().st_mtime)
        os.utime(tmp_path / f"{name}@http", ns=(int(times[0] * 1e9), (tmp_path / f"{name}@http").stat().st_mtime_ns))
    with_store(tmp_path, story, max_size=110_000)


def test_an_entry_is_read_to_its_end_although_it_was_thrown_out(tmp_path):
    async def story(store: Store) -> None:
        descriptor = (await put(store, "/a", b"a" * 60_000)).open()
        await put(store, "/b", bytes(60_000))
        assert await store.find("/a") == ()
        with open(descriptor, "rb") as file:
            assert file.read() == b"a" * 60_000

    with_store(tmp_path, story, max_size=100_000)


def test_a_smaller_limit_is_kept_from_the_next_start_on(tmp_path):
    async def write(store: Store) -> None:
        for number in range(100):
            await put(store, f"/{number}", bytes(1000))

    async def story(store: Store) -> None:
        await counted(store)
        assert size_of(tmp_path) <= 200_000
        assert store.ledger.taken == size_of(tmp_path)
        assert len(store.ledger) > 15

    with_store(tmp_path, write)
    with_store(tmp_path, story, max_size=200_000)


@pytest.mark.parametrize("expected", [True, False])
def test_the_limit_holds_while_downloads_run(tmp_path, expected):
    limit, most = 1_000_000, 0

    async def download(store: Store, number: int) -> bool:
        body = bytes(20_000 + 7_000 * (number % 20))
        try:
            writing = await store.begin(f"/{number}", HEAD, len(body) if expected else None)
        except StoreFull:
            return False
        try:
            for start in range(0, len(body), 9_000):
                await writing.write(body[start : start + 9_000])
            await writing.commit()
        except StoreFull:
            await writing.abort()
            return False
        return True

    async def story(store: Store) -> None:
        def look() -> int:
            with store.keeper.changing:  # a file that is moved meanwhile would be seen twice
                return size_of(tmp_path)

        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, await asyncio.to_thread(look))
                await asyncio.sleep(0)

        watching = TaskSet("watch")
        watching.start(watch(), "size")
        slots = asyncio.Semaphore(12)

        async def take_turn(number: int) -> bool:
            async with slots:
                return await download(store, number)

        kept = await asyncio.gather(*(take_turn(number) for number in range(150)))
        await watching.aclose()
        assert sum(kept) > 50
        assert store.ledger.taken == store.ledger.stored == size_of(tmp_path)

    with_store(tmp_path, story, max_size=limit)
    assert limit // 2 < most <= limit


def test_what_does_not_fit_is_refused_and_throws_nobody_out(tmp_path):
    async def story(store: Store) -> None:
        await put(store, "/a", bytes(10_000))
        with pytest.raises(StoreFull, match="maxSize"):
            await store.begin("/b", HEAD, 100_001)
        with pytest.raises(StoreFull, match="head"):
            await store.begin("/b", head(fields={"X": "x" * 70_000}), 1)
        assert len(await store.find("/a")) == 1

    with_store(tmp_path, story, max_size=100_000)


def test_an_answer_without_an_end_stops_at_half_of_the_limit(tmp_path):
    async def story(store: Store) -> None:
        await put(store, "/a", bytes(10_000))
        writing = await store.begin("/endless", HEAD, None)
        for _ in range(5):
            await writing.write(bytes(10_000))
        with pytest.raises(StoreFull):
            await writing.write(b"x")
        await writing.abort()
        assert len(await store.find("/a")) == 1

    with_store(tmp_path, story, max_size=100_000)


def test_an_answer_that_is_longer_than_it_said_counts_what_it_is(tmp_path):
    async def story(store: Store) -> None:
        writing = await store.begin("/liar", HEAD, 10)
        await writing.write(bytes(50_000))
        assert store.ledger.taken >= 50_000
        with pytest.raises(StoreFull):
            await writing.write(bytes(60_000))
        await writing.abort()
        assert store.ledger.taken == 0

    with_store(tmp_path, story, max_size=100_000)


def test_nothing_fits_into_nothing(tmp_path):
    async def story(store: Store) -> None:
        with pytest.raises(StoreFull):
            await put(store, "/a", b"x")
        with pytest.raises(StoreFull):
            await put(store, "/a", b"")

    with_store(tmp_path, story, max_size=0)
    assert files(tmp_path) == set()


# ── many ─────────────────────────────────────────────────────────────────────────────────────────────────────


def fill(root: Path, count: int) -> None:
    """As many answers as a long life leaves; links are quicker than files."""

    async def one(store: Store) -> None:
        await put(store, "/0", b"hello")

    with_store(root, one)
    for number in range(1, count):
        os.link(root / "0@http", root / f"{number}@http")
        os.link(root / "0@http.head", root / f"{number}@http.head")


@pytest.mark.full
def test_opening_a_large_cache_holds_nobody_up_and_takes_little_memory(tmp_path):
    count, longest, took = 20_000, 0.0, 0.0
    fill(tmp_path, count)

    async def story() -> None:
        nonlocal longest, took
        began = time.thread_time()
        store = Store(tmp_path, max_size=1 << 40)
        await store.open()
        assert await bodies(store, "/0") == [b"hello"]
        while len(store.ledger) < count:
            before = time.thread_time()
            await asyncio.sleep(0.001)
            longest = max(longest, time.thread_time() - before)
        took = time.thread_time() - began
        gc.collect()
        now = tracemalloc.get_traced_memory()[0]
        assert (now - start) / count < 400
        await store.aclose()

    gc.collect()
    tracemalloc.start()
    start = tracemalloc.get_traced_memory()[0]
    try:
        asyncio.run(story())
    finally:
        tracemalloc.stop()
    assert longest < took / 3


def test_what_is_found_again_and_again_is_not_looked_for_on_the_disk(tmp_path):
    async def story(store: Store) -> None:
        await put(store, "/a", b"hello")
        first = await store.find("/a")
        reading = TaskSet("visitors").start(store.find("/a"), "find")
        await asyncio.sleep(0)
        assert reading.done()
        assert reading.result() is first

    with_store(tmp_path, story)


def test_a_store_that_is_closed_leaves_no_thread(tmp_path):
    async def story(store: Store) -> None:
        await put(store, "/a", b"hello")

    with_store(tmp_path, story)
    wait_until(
        lambda: not [one for one in threading.enumerate() if one.name.startswith("cache")], "the threads are gone"
    )
