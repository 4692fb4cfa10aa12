"""A directory over HTTP, as curl, Python's client and raw sockets see it."""

from __future__ import annotations

import contextlib
import email
import email.message
import hashlib
import http.client
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cache.serving import Reply, Serving, serving
from tests.support import needs
from tests.support.programs import Download, curl
from tests.support.waiting import wait_until

pytestmark = [needs.linux(), needs.tools("curl")]

TEXT = "".join(f"line {number}\n" for number in range(200)).encode()
OLD = 1_600_000_000  # Sun, 13 Sep 2020 12:26:40 GMT
HTML = {"Accept": "text/html,*/*;q=0.8"}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Serving]:
    root = tmp_path / "site"
    root.mkdir()
    (root / "a.txt").write_bytes(TEXT)
    os.utime(root / "a.txt", (OLD, OLD))
    (root / "sub").mkdir()
    (root / "sub" / "b.bin").write_bytes(bytes(range(256)))
    (root / "empty").write_bytes(b"")
    with serving(root) as running:
        yield running
        running.has_closed_everything()


@pytest.fixture
def big(site: Serving) -> Path:
    """A file that no buffer holds: 20 MB."""
    path = site.root / "big.bin"
    path.write_bytes(random.Random(1).randbytes(20_000_000))
    return path


# ── whole files ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_comes_with_all_that_is_known_of_it(site):
    reply = site.get("/a.txt")
    assert (reply.status, reply.body) == (200, TEXT)
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert reply.headers["content-length"] == str(len(TEXT))
    assert reply.headers["last-modified"] == "Sun, 13 Sep 2020 12:26:40 GMT"
    assert reply.headers["accept-ranges"] == "bytes"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["cache-control"] == "no-cache"
    assert reply.headers["server"] == "hardline"
    assert reply.headers["etag"].startswith('"')
    assert "date" in reply.headers
    assert "transfer-encoding" not in reply.headers


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 262_144, 262_145, 5_000_000])
def test_a_file_of_any_size_arrives_whole(site, size):
    content = random.Random(size).randbytes(size)
    (site.root / "x.bin").write_bytes(content)
    for _ in range(3):
        reply = site.get("/x.bin")
        assert (reply.status, reply.headers["content-length"]) == (200, str(size))
        assert hashlib.sha256(reply.body).digest() == hashlib.sha256(content).digest()


def test_the_head_is_the_same_without_the_body(site, big):
    for path in (
        "/a.txt",
        "/sub/b.bin",
        "/empty",
        "/big.bin",
        "/",
        "/sub/",
        "/sub",
        "/nothing",
        "/a.txt?as_markdown=1",
    ):
        whole, head = site.get(path), site.get(path, "HEAD")
        assert (head.status, head.body) == (whole.status, b"")
        kept = {name: value for name, value in whole.headers.items() if name not in ("date", "transfer-encoding")}
        assert {name: value for name, value in head.headers.items() if name != "date"} == kept


def test_requests_follow_each_other_on_one_connection(site):
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=100)
    with contextlib.closing(connection):
        for method, path, status in [
            ("GET", "/a.txt", 200),
            ("HEAD", "/a.txt", 200),
            ("GET", "/nothing", 404),
            ("HEAD", "/sub", 301),
            ("GET", "/sub/", 200),
            ("HEAD", "/sub/", 200),
            ("POST", "/a.txt", 405),
            ("OPTIONS", "/a.txt", 204),
            ("GET", "/a.txt", 200),
        ]:
            connection.request(method, path, body=b"x" * 100 if method == "POST" else None)
            response = connection.getresponse()
            body = response.read()
            assert response.status == status, path
            assert (body == TEXT) == (path == "/a.txt" and method == "GET")


def test_a_client_of_http_1_0_is_served(site):
    answer = site.raw(b"GET /a.txt HTTP/1.0\r\n\r\n")
    assert answer.endswith(b"\r\n\r\n" + TEXT)
    assert b"Content-Length: %d" % len(TEXT) in answer
    listed = site.raw(b"GET / HTTP/1.0\r\n\r\n")
    assert b"chunked" not in listed
    assert listed.endswith(b"</html>\n")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.html", "<p>é".encode(), "text/html; charset=utf-8"),
        ("a.html", "<p>é".encode("latin-1"), "text/html"),  # its own <meta> says what it is
        ("a.js", b"1", "text/javascript; charset=utf-8"),
        ("a.json", b"{}", "application/json"),
        ("a.svg", b"<svg/>", "image/svg+xml"),
        ("a.wasm", b"\0asm", "application/wasm"),
        ("a.png", b"x", "image/png"),
        ("a.md", b"# x", "text/markdown; charset=utf-8"),
        ("README", b"x", "text/plain; charset=utf-8"),
        ("unknown", b"x", "application/octet-stream"),
        ("a.txt.gz", b"x", "application/gzip"),
        ("a.txt", b"x" * 65_535 + "é".encode(), "text/plain; charset=utf-8"),  # the letter is cut where looking ends
        ("a.txt", b"x" * 65_535 + b"\xe9" + b"x" * 10, "text/plain; charset=utf-8"),
        ("a.txt", b"x" * 100 + b"\xe9" + b"x" * 100_000, "text/plain"),
    ],
)
def test_the_type_is_told_and_the_charset_where_it_is_true(site, name, content, expected):
    (site.root / name).write_bytes(content)
    for fields in ({}, {"Range": "bytes=0-0"}):
        assert site.get(f"/{name}", **fields).headers["content-type"] == expected


def test_a_file_that_has_been_touched_since_is_seen_at_once(site):
    """Even one that is kept ready: its time is set back, its size is the same."""
    path = site.root / "a.txt"
    change_back = lambda: os.utime(path, (OLD, OLD))  # noqa: E731
    _age(path)
    for number in range(5):
        before = site.get("/a.txt")
        assert before.body == path.read_bytes()
        path.write_bytes(TEXT[:-2] + b"%d\n" % number)
        change_back()
        assert site.get("/a.txt").body.endswith(b"%d\n" % number)


def test_a_file_that_is_replaced_moved_or_removed_is_seen_at_once(site):
    path = site.root / "a.txt"
    _age(path)
    assert site.get("/a.txt").body == site.get("/a.txt").body == TEXT
    other = site.root / "other"
    other.write_bytes(b"other")
    os.replace(other, path)
    assert site.get("/a.txt").body == b"other"
    path.rename(other)
    assert site.get("/a.txt").status == 404
    other.rename(path)
    assert site.get("/a.txt").body == b"other"
    path.unlink()
    assert site.get("/a.txt").status == 404


def _age(path: Path) -> None:
    """Wait until a file is kept ready: until its last change is some seconds ago."""
    wait_until(lambda: time.time() - path.stat().st_ctime > 3.1, "the file has settled", 10, 0.1)


# ── methods ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"])
@pytest.mark.parametrize("path", ["/a.txt", "/", "/nothing"])
def test_files_can_only_be_read(site, method, path):
    reply = site.get(path, method, Content_Length="0")
    assert reply.status == 405
    assert reply.headers["allow"] == "GET, HEAD, OPTIONS"
    assert (site.root / "a.txt").read_bytes() == TEXT


def test_an_upload_is_told_at_once_that_it_is_in_vain(site, tmp_path):
    upload = tmp_path / "upload"
    upload.write_bytes(b"x" * 5_000_000)
    answer = curl(site.url("/a.txt"), "-T", upload, "-H", "Expect: 100-continue")
    assert answer.status == 405
    assert "GET, HEAD" not in answer.text
    assert "Files can be read here" in answer.text


def test_whoever_asks_is_told_what_can_be_done(site):
    for path in ("/a.txt", "*", "/nothing"):
        reply = site.get(path, "OPTIONS")
        assert (reply.status, reply.headers["allow"]) == (204, "GET, HEAD, OPTIONS")


# ── ranges ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [("100-199", 100, 199), ("-5", 9_999_995, 9_999_999), ("5-", 5, 9_999_999), ("0-", 0, 9_999_999), ("0-0", 0, 0)],
)
def test_curl_gets_a_range(site, wanted, first, last):
    content = random.Random(2).randbytes(10_000_000)
    (site.root / "r.bin").write_bytes(content)
    answer = curl(site.url("/r.bin"), "-r", wanted, "-D", site.root / "head")
    assert (answer.status, answer.body) == (206, content[first : last + 1])
    head = (site.root / "head").read_text().lower()
    assert f"content-range: bytes {first}-{last}/10000000" in head
    assert f"content-length: {last - first + 1}\n" in head


def test_a_range_beyond_the_end_is_refused_with_the_size(site):
    for path, size in (("/a.txt", len(TEXT)), ("/empty", 0)):
        reply = site.get(path, Range="bytes=999999999-")
        assert (reply.status, reply.headers["content-range"]) == (416, f"bytes */{size}")
        assert site.get(path).status == 200


@pytest.mark.parametrize("field", ["bytes=9-1", "lines=1-2", "bytes=x", "bytes=", "bytes=0-1,9-1", ","])
def test_a_range_that_is_none_gets_the_whole(site, field):
    reply = site.get("/a.txt", Range=field)
    assert (reply.status, reply.body) == (200, TEXT)
    assert "content-range" not in reply.headers


def test_of_an_empty_file_the_last_bytes_are_nothing(site):
    reply = site.get("/empty", Range="bytes=-5")
    assert (reply.status, reply.body) == (200, b"")


@pytest.mark.parametrize("path", ["/a.txt", "/big.bin"])
def test_several_ranges_come_in_one_body(site, big, path):
    content = (site.root / path[1:]).read_bytes()
    reply = site.get(path, Range="bytes=0-9,500-599,-7")
    assert reply.status == 206
    assert reply.headers["content-length"] == str(len(reply.body))
    assert "content-range" not in reply.headers
    parts = _parts(reply)
    assert [part["content-range"] for part in parts] == [
        f"bytes 0-9/{len(content)}",
        f"bytes 500-599/{len(content)}",
        f"bytes {len(content) - 7}-{len(content) - 1}/{len(content)}",
    ]
    assert [part.get_payload(decode=True) for part in parts] == [content[:10], content[500:600], content[-7:]]
    assert {part["content-type"] for part in parts} == {site.get(path).headers["content-type"]}


def _parts(reply: Reply) -> list[email.message.Message]:
    """The parts of a multipart body, as a program for mail reads them."""
    whole = f"Content-Type: {reply.headers['content-type']}\r\n\r\n".encode() + reply.body
    boundary = email.message_from_bytes(whole).get_boundary()
    assert boundary
    pieces = reply.body.split(f"\r\n--{boundary}".encode())
    assert pieces[0] == b""
    assert pieces[-1] == b"--\r\n"
    parts = []
    for piece in pieces[1:-1]:
        head, _, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        part = email.message_from_bytes(head + b"\r\n\r\n")
        part.set_payload(content)
        parts.append(part)
    return parts


def test_overlapping_and_very_many_ranges_are_no_way_to_get_more_than_the_whole(site, big):
    size = big.stat().st_size
    for field in (
        "0-," * 30 + "0-",
        ",".join(f"{n}-{size}" for n in range(32)),
        ",".join(f"{n * 2}-{n * 2}" for n in range(500)),
    ):
        reply = site.get("/big.bin", Range=f"bytes={field}")
        assert len(reply.body) <= size + 10_000
        assert reply.status in (200, 206)


def test_a_download_that_was_cut_is_resumed(site, big, tmp_path):
    to = tmp_path / "download"
    with Download(site.url("/big.bin"), to, "--limit-rate", "2M") as first:
        first.has_received(1_000_000)
    assert 0 < to.stat().st_size < big.stat().st_size
    with Download(site.url("/big.bin"), to, "-C", "-") as second:
        assert second.exit_code() == 0
    assert hashlib.sha256(to.read_bytes()).digest() == hashlib.sha256(big.read_bytes()).digest()


def test_a_log_is_followed_by_its_length_and_a_range(site):
    log = site.root / "app.log"
    log.write_bytes(b"one\n")
    known = int(site.get("/app.log", "HEAD").headers["content-length"])
    assert known == 4
    seen = b""
    for number in range(20):
        line = b"entry %d\n" % number
        with log.open("ab") as file:
            file.write(line)
        size = int(site.get("/app.log", "HEAD").headers["content-length"])
        assert size == known + len(line)
        reply = site.get("/app.log", Range=f"bytes={known}-")
        assert (reply.status, reply.body) == (206, line)
        known, seen = size, seen + line
    assert site.get("/app.log", Range=f"bytes={known}-").status == 416


# ── conditions ───────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_known_is_not_sent_again(site):
    first = site.get("/a.txt")
    for fields in (
        {"If_None_Match": first.headers["etag"]},
        {"If_None_Match": f'"x", W/{first.headers["etag"]}'},
        {"If_None_Match": "*"},
        {"If_Modified_Since": first.headers["last-modified"]},
    ):
        for method in ("GET", "HEAD"):
            reply = site.get("/a.txt", method, **fields)
            assert (reply.status, reply.body) == (304, b"")
            assert reply.headers["etag"] == first.headers["etag"]
            assert reply.headers["cache-control"] == first.headers["cache-control"]
            assert "content-length" not in reply.headers


def test_a_touched_file_is_sent_again(site):
    first = site.get("/a.txt")
    (site.root / "a.txt").touch()
    second = site.get("/a.txt", If_None_Match=first.headers["etag"])
    assert (second.status, second.body) == (200, TEXT)
    assert second.headers["etag"] != first.headers["etag"]
    assert site.get("/a.txt", If_Modified_Since=first.headers["last-modified"]).status == 200


def test_curl_keeps_an_etag(site, tmp_path):
    kept = tmp_path / "etag"
    options = ("--etag-save", kept, "--etag-compare", kept)
    assert [curl(site.url("/a.txt"), *options).status for _ in range(3)] == [200, 304, 304]


def test_a_condition_that_fails_says_so(site):
    etag = site.get("/a.txt").headers["etag"]
    assert site.get("/a.txt", If_Match=etag).status == 200
    assert site.get("/a.txt", If_Match='"x"').status == 412
    assert site.get("/a.txt", If_Unmodified_Since="Sun, 13 Sep 2020 12:26:39 GMT").status == 412
    assert site.get("/a.txt", If_Unmodified_Since="Sun, 13 Sep 2020 12:26:40 GMT").status == 200


def test_a_range_of_something_else_than_what_is_there_is_the_whole(site):
    first = site.get("/a.txt")
    ranged = {"Range": "bytes=0-3"}
    assert site.get("/a.txt", **ranged, If_Range=first.headers["etag"]).status == 206
    assert site.get("/a.txt", **ranged, If_Range=first.headers["last-modified"]).status == 206
    for stale in ('"x"', f"W/{first.headers['etag']}", "Sun, 13 Sep 2020 12:26:39 GMT", "nonsense"):
        reply = site.get("/a.txt", **ranged, If_Range=stale)
        assert (reply.status, reply.body) == (200, TEXT)
    (site.root / "a.txt").write_bytes(TEXT[::-1])
    reply = site.get("/a.txt", **ranged, If_Range=first.headers["etag"])
    assert (reply.status, reply.body) == (200, TEXT[::-1])


def test_a_file_from_the_future_was_not_modified_after_now(site):
    os.utime(site.root / "a.txt", (4_000_000_000, 4_000_000_000))
    reply = site.get("/a.txt")
    assert reply.headers["last-modified"] == reply.headers["date"]
    assert site.get("/a.txt", If_Modified_Since=reply.headers["last-modified"]).status == 200


@pytest.mark.parametrize("seconds", [-5, 2**33])
def test_a_file_from_another_age_is_served(site, seconds):
    os.utime(site.root / "a.txt", (seconds, seconds))
    assert site.get("/a.txt").body == TEXT
    assert b"a.txt" in site.get("/").body
