"""Indexes, slashes and siblings: what stands for what was asked for."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote_from_bytes, urljoin, urlsplit

import pytest

from hardline.cache.files import packed as packed_files
from hardline.cache.files.packed import Packed
from hardline.cache.files.tree import Tree
from tests.cache.serving import Serving, serving
from tests.support import needs
from tests.support.programs import curl

pytestmark = [needs.linux(), needs.tools("curl")]

PAGE = b"<!doctype html><p>a page " + b"of many words " * 100
PACKED = gzip.compress(PAGE)
BROWSER = "gzip, deflate, br, zstd"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Serving]:
    root = tmp_path / "site"
    root.mkdir()
    with serving(root, hidden=True) as running:
        yield running
        running.has_closed_everything()


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Serving]:
    """Without listings."""
    root = tmp_path / "closed"
    root.mkdir()
    with serving(root, allow_listing=False) as running:
        yield running
        running.has_closed_everything()


# ── slashes and indexes ──────────────────────────────────────────────────────────────────────────────────────


def test_a_directory_is_asked_for_with_a_slash(site):
    (site.root / "dir").mkdir()
    reply = site.get("/dir?x=1&y=%2F")
    assert (reply.status, reply.headers["location"]) == (301, "dir/?x=1&y=%2F")
    assert site.get("/dir/").status == 200


ODD_NAMES = [
    *(
        b"a b",
        b"a%b",
        b"a#b",
        b"a?b",
        b"a:b",
        b"http:",
        b"\xc3\xbcn\xc3\xaf",
        b"<b>",
        b"'\"",
        b".hidden",
        b"...",
        b"a\nb",
    ),
    *(b"\xff\xfe", b"\\\\evil.example", b"evil.example", b"x" * 255),
]


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("prefix", ["", "/gateway/some%20service"])
def test_the_way_to_the_slash_is_right_for_every_name_behind_every_prefix(site, name, prefix):
    (site.root / "sub").mkdir()
    os.mkdir(os.path.join(bytes(site.root / "sub"), name))
    with open(os.path.join(bytes(site.root / "sub"), name, b"in it"), "wb"):
        pass
    path = f"/sub/{quote_from_bytes(name)}"
    location = site.get(path).headers["location"]
    led = urlsplit(urljoin(f"https://gate.example{prefix}{path}", location))
    assert (led.scheme, led.netloc) == ("https", "gate.example")
    assert led.path.startswith(f"{prefix}/sub/")
    assert "in it" in site.get(led.path.removeprefix(prefix)).text
    assert curl(site.url(path), "-L").status == 200


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example",
        "///evil.example",
        "/%2Fevil.example",
        "/\\evil.example",
        "/%5Cevil.example",
        "//evil.example/../evil.example",
        "/./evil.example",
        "/x/..//evil.example",
    ],
)
def test_no_redirect_leads_to_another_host(site, path):
    (site.root / "evil.example").mkdir()
    (site.root / "\\evil.example").mkdir()
    reply = site.get(path)
    if reply.status == 301:
        led = urljoin(f"http://here.example{path}", reply.headers["location"])
        assert urlsplit(led.replace("\\", "/")).netloc == "here.example"
        assert not reply.headers["location"].startswith(("/", "\\"))
    else:
        assert reply.status == 404


def test_an_index_stands_for_its_directory(site, closed):
    for each in (site, closed):
        (each.root / "dir").mkdir()
        (each.root / "index.html").write_bytes(PAGE)
        (each.root / "dir" / "index.html").write_bytes(PAGE)
        assert each.get("/").body == each.get("/dir/").body == each.get("/index.html").body == PAGE
        assert each.get("/").headers["content-type"] == "text/html; charset=utf-8"
        assert each.get("/dir").status == 301
        assert each.get("/dir/", Range="bytes=0-8").body == b"<!doctype"
        assert each.get("/", If_None_Match=each.get("/").headers["etag"]).status == 304


def test_a_directory_called_as_an_index_is_none(site):
    (site.root / "index.html").mkdir()
    assert "index.html" in site.get("/").text


def test_what_may_not_be_listed_is_not_there(closed):
    (closed.root / "dir").mkdir()
    (closed.root / "dir" / "x.txt").write_bytes(b"x")
    for path in ("/", "/dir", "/dir/", "/api/v1/dir/", "/api/v1/dir/dir/", "/nothing"):
        reply = closed.get(path)
        assert (reply.status, reply.body) == (404, closed.get("/nothing").body)
    assert closed.get("/dir/x.txt").body == b"x"


# ── siblings ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def packed(tmp_path: Path) -> Iterator[Serving]:
    root = tmp_path / "packed"
    root.mkdir()
    (root / "page.html").write_bytes(PAGE)
    (root / "page.html.gz").write_bytes(PACKED)
    with serving(root, packed=True) as running:
        yield running
        running.has_closed_everything()


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("", None),
        ("identity", None),
        ("gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("GZIP", "gzip"),
        ("br", None),
        (BROWSER, "gzip"),
        ("gzip, br;q=0.5", "gzip"),
        ("gzip;q=0", None),
        ("br;q=0, *", "gzip"),
        ("*;q=0", None),
        ("*;q=0, gzip", "gzip"),
        ("gzip;q=0.5, identity", None),
        ("gzip;q=0.5, identity;q=0.1", "gzip"),
        ("identity;q=0", None),
        ("gzip;q=nonsense", None),
        ("deflate, zstd", None),
    ],
)
def test_what_holds_the_same_is_sent_packed_to_those_who_like_it(packed, accepted, coding):
    fields = {"Accept_Encoding": accepted} if accepted else {}
    reply = packed.get("/page.html", **fields)
    assert reply.headers.get("content-encoding") == coding
    assert reply.headers["vary"] == "Accept-Encoding"
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert reply.body == (PACKED if coding else PAGE)


def test_only_where_the_owner_wants_it(site):
    (site.root / "page.html").write_bytes(PAGE)
    (site.root / "page.html.gz").write_bytes(PACKED)
    reply = site.get("/page.html", Accept_Encoding=BROWSER)
    assert "content-encoding" not in reply.headers
    assert "vary" not in reply.headers
    assert reply.body == PAGE


def test_curl_unpacks_a_sibling(packed):
    assert curl(packed.url("/page.html"), "--compressed").body == PAGE


def test_each_coding_has_a_tag_of_its_own(packed):
    tags = {coding: packed.get("/page.html", Accept_Encoding=coding).headers["etag"] for coding in ("gzip", "identity")}
    assert len(set(tags.values())) == 2
    for coding, other in (("gzip", tags["identity"]), ("identity", tags["gzip"])):
        tag = tags[coding]
        assert packed.get("/page.html", Accept_Encoding=coding, If_None_Match=tag).status == 304
        assert packed.get("/page.html", Accept_Encoding=coding, If_None_Match=other).status == 200
        ranged = packed.get("/page.html", Accept_Encoding=coding, Range="bytes=1-4", If_Range=other)
        assert ranged.status == 200
        ranged = packed.get("/page.html", Accept_Encoding=coding, Range="bytes=1-4", If_Range=tag)
        assert (ranged.status, len(ranged.body)) == (206, 4)


@pytest.mark.parametrize(
    "beside",
    [
        pytest.param(gzip.compress(PAGE + b"more"), id="longer"),
        pytest.param(gzip.compress(PAGE[:-1]), id="shorter"),
        pytest.param(gzip.compress(b"what it was" + PAGE[11:]), id="another"),
        pytest.param(gzip.compress(b""), id="of nothing"),
        pytest.param(gzip.compress(PAGE)[:-1], id="half-written"),
        pytest.param(gzip.compress(PAGE)[:20], id="just begun"),
        pytest.param(gzip.compress(PAGE)[:-8] + bytes(8), id="with a wrong sum"),
        pytest.param(gzip.compress(PAGE) + b"x", id="with something behind it"),
        pytest.param(PAGE, id="no gzip"),
        pytest.param(b"", id="empty"),
    ],
)
def test_what_holds_anything_else_is_never_sent_in_its_place(packed, beside):
    (packed.root / "page.html.gz").write_bytes(beside)
    for _ in range(2):
        reply = packed.get("/page.html", Accept_Encoding=BROWSER)
        assert "content-encoding" not in reply.headers
        assert reply.body == PAGE
    assert packed.get("/page.html.gz").body == beside


def test_a_packed_file_is_looked_at_once_for_each_state_of_the_two(tmp_path, monkeypatch):
    tree, judge, looks = Tree(tmp_path, forbidden=lambda path, facts: False), Packed(), []
    (tmp_path / "a").write_bytes(PAGE)
    (tmp_path / "a.gz").write_bytes(PACKED)
    same = packed_files._is_same
    monkeypatch.setattr(packed_files, "_is_same", lambda *fds: looks.append(fds) or same(*fds))
    for change in (lambda: None, lambda: None, lambda: (tmp_path / "a").write_bytes(b"other"), lambda: None):
        change()
        os.utime(tmp_path / "a.gz")
        os.utime(tmp_path / "a.gz", (1_700_000_000, 1_700_000_000))
        os.utime(tmp_path / "a", (1_600_000_000, 1_600_000_000))
        original, beside = tree.open(("a",)), tree.open(("a.gz",))
        assert original
        assert beside
        judge.holds(beside, original)
        judge.holds(beside, original)
        original.close()
        beside.close()
    assert len(looks) == 4  # each touch is a new state, each second look is none


def test_a_sibling_that_is_older_a_directory_or_outside_is_not_sent(packed):
    gz = packed.root / "page.html.gz"
    now = (packed.root / "page.html").stat().st_mtime
    os.utime(gz, (now - 10, now - 10))
    assert "content-encoding" not in packed.get("/page.html", Accept_Encoding=BROWSER).headers
    gz.unlink()
    gz.mkdir()
    assert "content-encoding" not in packed.get("/page.html", Accept_Encoding=BROWSER).headers
    outside = packed.root.parent / "outside"
    outside.write_bytes(PACKED)
    gz.rmdir()
    gz.symlink_to(outside)
    assert packed.get("/page.html", Accept_Encoding=BROWSER).body == PAGE
    gz.unlink()
    os.mkfifo(gz)
    assert packed.get("/page.html", Accept_Encoding=BROWSER).body == PAGE


def test_a_sibling_alone_is_a_file_of_its_own(packed):
    (packed.root / "page.html").unlink()
    assert packed.get("/page.html", Accept_Encoding=BROWSER).status == 404
    reply = packed.get("/page.html.gz", Accept_Encoding=BROWSER)
    assert reply.headers["content-type"] == "application/gzip"
    assert "content-encoding" not in reply.headers


def test_what_is_packed_already_has_no_siblings(packed):
    (packed.root / "a.png").write_bytes(b"png")
    (packed.root / "a.png.gz").write_bytes(gzip.compress(b"png"))
    reply = packed.get("/a.png", Accept_Encoding=BROWSER)
    assert reply.body == b"png"
    assert "vary" not in reply.headers


def test_an_index_has_siblings(packed):
    (packed.root / "page.html").rename(packed.root / "index.html")
    (packed.root / "page.html.gz").rename(packed.root / "index.html.gz")
    assert packed.get("/", Accept_Encoding="gzip").headers["content-encoding"] == "gzip"


def test_a_sibling_that_was_sent_is_dropped_when_its_file_changes(packed):
    """Also when both are kept ready."""
    for path in ("page.html", "page.html.gz"):
        os.utime(packed.root / path, (1_600_000_000, 1_600_000_000))
    for _ in range(3):
        assert packed.get("/page.html", Accept_Encoding="gzip").headers["content-encoding"] == "gzip"
    (packed.root / "page.html").write_bytes(b"new")
    assert packed.get("/page.html", Accept_Encoding="gzip").body == b"new"
    (packed.root / "page.html").unlink()
    assert packed.get("/page.html", Accept_Encoding="gzip").status == 404
