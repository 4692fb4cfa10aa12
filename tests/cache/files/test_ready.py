"""Small files that are kept ready, and when they are not."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hardline.cache.files.lookup import Content, Found, look
from hardline.cache.files.packed import Packed
from hardline.cache.files.ready import Ready
from hardline.cache.files.tree import Tree
from hardline.http.paths import parse_target
from tests.support import needs

pytestmark = needs.linux()

KEY = ("/a", "gzip, br")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path, forbidden=lambda path, facts: False)


def content(tree: Tree, path: str, accepted: str = "") -> Content:
    target = parse_target(path)
    assert target is not None
    found = look(tree, target, accepted, may_list=False, packed=Packed())
    assert isinstance(found, Found)
    found.close()
    return found.content


def find(ready: Ready, key: tuple[str, str], now: float) -> Content | None:
    """As the file service does."""
    found = ready.find(key, now)
    if found is not None and not ready.holds(found):
        ready.forget(key)
        return None
    return found


def settled(path: Path) -> float:
    """A time at which the last change of `path` is long ago."""
    return max(path.stat().st_mtime, path.stat().st_ctime) + 10


def test_what_was_found_is_there_for_a_while(tree, tmp_path):
    path, ready = tmp_path / "a", Ready(tree)
    path.write_bytes(b"a")
    found, now = content(tree, "/a"), settled(path)
    ready.keep(KEY, found, now)
    assert find(ready, KEY, now) is found
    assert find(ready, ("/b", ""), now) is None
    assert find(ready, KEY, now + 4.9) is found
    assert find(ready, KEY, now + 5) is None
    assert find(ready, KEY, now) is None  # and then it is forgotten


def test_a_clock_that_is_set_back_keeps_nothing_for_long(tree, tmp_path):
    path, ready = tmp_path / "a", Ready(tree)
    path.write_bytes(b"a")
    now = settled(path)
    ready.keep(KEY, content(tree, "/a"), now)
    assert find(ready, KEY, now - 3600) is None


def test_what_has_just_changed_is_not_kept(tree, tmp_path):
    """It may change again within the same tick, which nobody would see."""
    path, ready = tmp_path / "a", Ready(tree)
    path.write_bytes(b"a")
    os.utime(path, (1, 1))  # whoever sets its time back cannot set back the time of that
    found, now = content(tree, "/a"), path.stat().st_ctime
    ready.keep(KEY, found, now + 1)
    assert find(ready, KEY, now + 1) is None
    ready.keep(KEY, found, now + 3.1)
    assert find(ready, KEY, now + 3.1) is found


def _append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def _replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    os.replace(other, path)


def _relink(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.with_name("decoy").write_bytes(path.with_name("moved").read_bytes())
    path.symlink_to("decoy")


@pytest.mark.parametrize("change", [_append, _replace, _relink, Path.unlink, lambda path: path.chmod(0o600)])
def test_what_changed_since_is_found_out(tree, tmp_path, change: Callable[[Path], None]):
    path, ready = tmp_path / "a", Ready(tree)
    path.write_bytes(b"a")
    now = settled(path)
    ready.keep(KEY, content(tree, "/a"), now)
    change(path)
    assert find(ready, KEY, now) is None


@pytest.mark.parametrize("changed", ["a.html", "a.html.gz"])
@pytest.mark.parametrize("change", [_append, _replace, Path.unlink])
def test_a_sibling_is_kept_as_long_as_both_files_are_what_they_were(tree, tmp_path, changed, change):
    ready = Ready(tree)
    (tmp_path / "a.html").write_bytes(b"a")
    (tmp_path / "a.html.gz").write_bytes(gzip.compress(b"a"))
    now, found = settled(tmp_path / "a.html.gz"), content(tree, "/a.html", "gzip")
    assert found.coding == "gzip"
    ready.keep(KEY, found, now)
    assert find(ready, KEY, now) is found
    change(tmp_path / changed)
    assert find(ready, KEY, now) is None


def test_what_must_not_be_shown_any_more_is_not(tmp_path):
    shut: list[str] = []
    tree = Tree(tmp_path, forbidden=lambda path, facts: path in shut)
    path, ready = tmp_path / "a", Ready(tree)
    path.write_bytes(b"a")
    now = settled(path)
    ready.keep(KEY, content(tree, "/a"), now)
    shut.append(str(path.resolve()))
    assert find(ready, KEY, now) is None


def test_a_big_file_is_not_kept(tree, tmp_path):
    path, ready = tmp_path / "a", Ready(tree)
    path.write_bytes(b"a" * 65_537)
    now = settled(path)
    ready.keep(KEY, content(tree, "/a"), now)
    assert find(ready, KEY, now) is None


@pytest.mark.parametrize(("size", "said"), [(65_536, ""), (1, "x" * 30_000), (1, "x")])
def test_memory_is_bounded(tree, tmp_path, size, said):
    """Of content as of what visitors say."""
    path, ready = tmp_path / "a", Ready(tree)
    path.write_bytes(b"a" * size)
    found, now = content(tree, "/a"), settled(path)
    keys = [(f"/a?{number}{said}", said) for number in range(5000)]
    for key in keys:
        ready.keep(key, found, now)
    kept = sum(find(ready, key, now) is not None for key in keys)
    assert 0 < kept <= 4096
    assert kept * (size + 2 * len(said)) <= 8 << 20
