"""Whatever visitors ask for, the disk holds no more than the owner said: blocks, directories and inodes."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hardline.cache.kept import heads, layout
from hardline.cache.kept.heads import Answer, Body, Heads
from hardline.cache.kept.shelf import Shelf
from hardline.cache.kept.store import Store, StoredHead, StoreFull, Writing
from tests.cache.kept.test_store import HEAD, body_of, counted, directories, files, put, size_of, with_store

LIMIT = 300_000


def used(root: Path) -> tuple[int, int]:
    """As `du -s` and `du -s --inodes` tell it, but the directory itself: bytes and inodes."""
    there = [path.lstat() for path in root.rglob("*")]
    return sum(facts.st_blocks * 512 for facts in there), len(there)


SEGMENT = st.one_of(st.sampled_from(["a", "b", "..", "", "a" * 100, "ü", "%2F"]), st.text(max_size=5))
TARGETS = st.one_of(
    st.builds(lambda segments: "/" + "/".join(segments), st.lists(SEGMENT, max_size=8)),
    st.builds(
        lambda name, segment, depth: f"/{name}" + f"/{segment}" * depth,
        st.integers(0, 999),
        SEGMENT,
        st.integers(0, 400),
    ),
)
BODIES = st.one_of(st.integers(0, 3), st.integers(0, 20_000))
HEADS = st.integers(0, 8_000).map(lambda length: StoredHead(200, "", (("Content-Type", "x" * length),), 1e9, 1e9))
ASKED = st.lists(st.tuples(TARGETS, BODIES, HEADS), max_size=40)
DEEP = [(f"/{number}" + "/a" * 480, 2, HEAD) for number in range(20)]
FLAT = [(f"/{number}", 1, HEAD) for number in range(100)]
NESTED = [(f"/{number}" + "/a" * 14 + "/x", 1, HEAD) for number in range(40)]


@settings(deadline=None, max_examples=25)
@given(ASKED)
@example(DEEP)
@example(FLAT)
@example(NESTED)
def test_whatever_is_asked_for_the_disk_is_not_filled_beyond_the_limit(asked):
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)

        async def story(store: Store) -> None:
            for number, (target, size, head) in enumerate(asked):
                with contextlib.suppress(StoreFull):
                    await put(store, target, bytes(size), head)
                if number % 8 == 0:
                    assert used(root)[0] <= 1.5 * LIMIT
            assert store.ledger.taken == size_of(root) <= LIMIT

        with_store(root, story, max_size=LIMIT)
        size, inodes = used(root)
        assert size <= 1.5 * LIMIT
        assert inodes <= LIMIT // 1024 + 2

        async def empty(store: Store) -> None:
            await counted(store)
            assert store.ledger.taken == size_of(root)
            for target, _, _ in asked:
                await store.remove(target)
            assert store.ledger.taken == 0

        with_store(root, empty, max_size=LIMIT)
        assert used(root)[1] == 0


def test_what_an_earlier_version_kept_deeper_than_anybody_looks_now_is_removed(tmp_path):
    deep = "a/" * 40 + "x@http"
    (tmp_path / deep).parent.mkdir(parents=True)
    for name in (deep, "b@http"):
        body = tmp_path / name
        body.write_bytes(b"hello")
        mtime = heads.mark(1e9, 1)
        os.utime(body, ns=(mtime, mtime))
        key = "/" + name.removesuffix("@http")
        text = heads.encode(Heads(key, (Answer(1, Body(5, mtime), HEAD),)), 0)
        Path(f"{body}.head").write_bytes(text)

    async def story(store: Store) -> None:
        await counted(store)
        assert [body_of(entry) for entry in await store.find("/b")] == [b"hello"]
        assert store.ledger.taken == size_of(tmp_path)

    with_store(tmp_path, story)
    assert files(tmp_path) == {"b@http", "b@http.head"}
    assert directories(tmp_path) == set()


def test_directories_that_were_made_for_nothing_go(tmp_path):
    shelf = Shelf(str(tmp_path))
    with pytest.raises(FileNotFoundError):
        shelf.move("nothing", "a/b/c/d")
    (tmp_path / "draft").write_bytes(b"hello")
    with pytest.raises(OSError):
        shelf.move("draft", "a/b/" + "c" * 300 + "/d")
    assert directories(tmp_path) == set()


def test_downloads_that_have_not_begun_are_counted_by_their_files(tmp_path):
    async def story(store: Store) -> None:
        begun: list[Writing] = []

        async def begin_for_ever() -> None:
            while True:
                begun.append(await store.begin(f"/{len(begun)}", HEAD, None))

        with pytest.raises(StoreFull):
            await begin_for_ever()
        assert len(begun) <= LIMIT // 1024
        for writing in begun:
            await writing.abort()
        assert store.ledger.taken == 0

    with_store(tmp_path, story, max_size=LIMIT)


def test_a_target_as_deep_as_any_is_found_again(tmp_path):
    async def story(store: Store) -> None:
        for depth in (15, 16, 17, 18, 500):
            key = "/a" * depth + "/x"
            await put(store, key, b"%d" % depth)
            assert [body_of(entry) for entry in await store.find(key)] == [b"%d" % depth]
            assert all(name.count("/") <= 16 for name in files(tmp_path))

    with_store(tmp_path, story)
    assert layout.names("/a" * 16 + "/x").base == "a/" * 16 + "x@http"
