"""A directory as one zip file, read by unzip and by Python; its length by what zipfile writes."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardline.cache.files import zipping, zips
from hardline.cache.files.tree import Tree
from hardline.cache.files.zipping import Gathering, length, pieces
from hardline.errors import ConnectionLost, LimitReached
from tests.cache.serving import serving


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    root = tmp_path_factory.mktemp("zipped")
    (root / "a/b/empty").mkdir(parents=True)
    (root / "a/one.txt").write_text("one")
    (root / "a/b/ü.bin").write_bytes(os.urandom(700_000))
    (root / "a/.hidden").write_text("x")
    (root / "a/key.pem").write_text(
        "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\n-----END PRIVATE KEY-----\n"
    )
    (root / "a/up").symlink_to(root / "a", target_is_directory=True)
    (root / "a/out").symlink_to("/etc")
    os.utime(root / "a/one.txt", (1_000_000_000, 1_000_000_000))
    with serving(root) as serves:
        yield serves


def members(tree: Tree, top: tuple[str, ...] = ()) -> list[zipping.Member]:
    gathering = Gathering(tree, top)
    while gathering.some():
        pass
    return gathering.members


def test_unzip_reads_it_whole(site, tmp_path):
    answer = site.get("/a/?zip")
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''a.zip"
    assert site.get("/a/?zip", method="HEAD").headers["content-length"] == str(len(answer.body))
    (tmp_path / "z.zip").write_bytes(answer.body)
    with zipfile.ZipFile(tmp_path / "z.zip") as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
        assert archive.getinfo("a/one.txt").date_time[0] == 2001
    assert names == {"a/one.txt", "a/b/ü.bin", "a/b/empty/"}
    if shutil.which("unzip"):
        subprocess.run(["unzip", "-t", str(tmp_path / "z.zip")], check=True, capture_output=True)


def test_the_whole_has_the_name_of_what_is_shared(site):
    answer = site.get("/?zip")
    assert {name.partition("/")[0] for name in zipfile.ZipFile(io.BytesIO(answer.body)).namelist()} == {"Files"}


def test_names_lead_nowhere_on_any_system_and_differ(tmp_path):
    odd = [b"..\\..\\up.txt", b".._.._up.txt", b"a\nb", b"\x1b[31mred", b"\xff", b"\xfe", b"plain"]
    for name in odd:
        (tmp_path / os.fsdecode(name)).write_bytes(name)
    with serving(tmp_path, hidden=True) as site:
        archive = zipfile.ZipFile(io.BytesIO(site.get("/?zip").body))
    names = archive.namelist()
    assert len(set(names)) == len(odd)
    assert not any("\\" in name or not name.isprintable() for name in names)
    assert sorted(archive.read(name) for name in names) == sorted(odd)
    assert archive.read("Files/.._.._up.txt") == b".._.._up.txt"


def test_one_visitor_keeps_nobody_from_zip_files(tmp_path):
    with (tmp_path / "large").open("wb") as file:
        file.truncate(64 << 20)
    with serving(tmp_path) as site, contextlib.ExitStack() as held:
        for _ in range(zips.MOST_OF_ONE):
            held.enter_context(site.connection(b"GET /?zip HTTP/1.1\r\nHost: x\r\n\r\n")).recv(10)
        assert site.get("/?zip").status == 503
    assert zips.MOST_OF_ONE < zips.MOST


def test_where_nothing_is_listed_there_is_no_zip_file(tmp_path):
    (tmp_path / "x.txt").write_text("x")
    with serving(tmp_path, allow_listing=False) as closed:
        assert closed.get("/?zip").status == 404


@settings(max_examples=40, deadline=None)
@given(
    files=st.lists(st.tuples(st.integers(0, 300), st.integers(1, 12)), max_size=12),
    large=st.integers(1, 400),
    limit=st.integers(200, 3000),
    count=st.integers(1, 14),
)
def test_the_length_is_what_zipfile_writes(tmp_path_factory, files, large, limit, count):
    root = tmp_path_factory.mktemp("z")
    for number, (size, name) in enumerate(files):
        (root / f"{'ü' * name}{number}").write_bytes(b"x" * size)
    (root / "empty").mkdir()
    tree = Tree(root, forbidden=lambda path, facts: False)
    with (
        pytest.MonkeyPatch.context() as patched
    ):  # the bounds from which sizes have 64 bits, where tests can reach them
        patched.setattr(zipfile, "ZIP64_LIMIT", limit)
        patched.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", count)
        patched.setattr(zipping, "_LARGE", min(large, int(limit / 1.06)))
        found = members(tree)
        assert length(found, 0, "top") == sum(map(len, pieces(tree, found, 0, "top")))


def test_a_file_that_changes_its_size_cuts_it(tmp_path):
    (tmp_path / "x").write_bytes(b"x" * 100)
    tree = Tree(tmp_path, forbidden=lambda path, facts: False)
    found = members(tree)
    (tmp_path / "x").write_bytes(b"x" * 99)
    with pytest.raises(ConnectionLost):
        list(pieces(tree, found, 0, "top"))


def test_there_are_bounds(tmp_path, monkeypatch):
    monkeypatch.setattr(zipping, "MOST", 20)
    monkeypatch.setattr(zipping, "DEEPEST", 5)
    tree = Tree(tmp_path, forbidden=lambda path, facts: False)
    deep = tmp_path / "/".join("d" * 7)
    deep.mkdir(parents=True)
    with pytest.raises(LimitReached, match="directories in each other"):
        members(tree)
    shutil.rmtree(tmp_path / "d")
    for number in range(21):
        (tmp_path / str(number)).write_text("x")
    with pytest.raises(LimitReached, match="more than 20 files"):
        members(tree)


@pytest.mark.full
def test_five_gigabytes_in_ten_thousand_files_take_no_memory(tmp_path):
    for number in range(9_995):
        (tmp_path / f"{number}.txt").write_text("x")
    for number in range(5):
        with (tmp_path / f"large {number}").open("wb") as file:
            file.truncate(1 << 30)
    with serving(tmp_path) as site:
        before = _resident()
        count = int(
            subprocess.run(
                ["sh", "-c", f"curl -sS '{site.url('/?zip')}' | wc -c"], check=True, capture_output=True
            ).stdout
        )
        assert count == int(site.get("/?zip", method="HEAD").headers["content-length"]) > 5 << 30
        assert _resident() - before < 20 << 20


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
