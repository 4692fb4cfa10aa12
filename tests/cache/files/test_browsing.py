"""Directories over HTTP, large and small, and visitors that take their time."""

from __future__ import annotations

import contextlib
import gc
import http.client
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest

from hardline.cache.files.browsing import Browsing
from tests.cache.files.test_listing import NAMES, Page
from tests.cache.serving import Serving, serving
from tests.support import needs
from tests.support.beats import beats
from tests.support.programs import curl
from tests.support.waiting import wait_until

pytestmark = [needs.linux(), needs.tools("curl")]

MANY = 100_000


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Serving]:
    root = tmp_path / "site"
    root.mkdir()
    with serving(root, hidden=True) as running:
        yield running
        running.has_closed_everything()


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of 100,000 files, and a small one beside them."""
    root = tmp_path_factory.mktemp("crowd")
    (root / "many").mkdir()
    directory = os.open(root / "many", os.O_DIRECTORY)
    for number in range(MANY):
        os.close(os.open(f"file {number}.txt", os.O_CREAT | os.O_WRONLY, dir_fd=directory))
    os.close(directory)
    (root / "small.txt").write_bytes(b"small")
    return root


def test_every_entry_is_listed_and_its_link_fetches_it(site):
    for name in NAMES:
        (site.root / name).write_bytes(name.encode("utf-8", "surrogateescape"))
    (site.root / "dir <b>").mkdir()
    answer = curl(site.url("/"), "-H", "Accept: text/html")
    links = Page(answer.text).links
    assert len(links) == len(NAMES) + 1
    bodies = set()
    for href, _ in links:
        fetched = curl(urljoin(site.url("/"), href))
        assert fetched.status == 200
        if not href.endswith("/"):
            bodies.add(fetched.body)
    assert bodies == {name.encode("utf-8", "surrogateescape") for name in NAMES}


def test_a_program_gets_json(site):
    (site.root / "src").mkdir()
    (site.root / "src" / "main.rs").write_bytes(b"fn main() {}")
    for path, fields in (("/src/", {"Accept": "application/json"}), ("/api/v1/dir/src/", {})):
        reply = site.get(path, **fields)
        assert reply.headers["content-type"] == "application/json"
        assert reply.headers["vary"] == "Accept"
        answer = json.loads(reply.body)
        assert answer["path"] == "/src/"
        assert [(entry["name"], entry["is_dir"], entry["size"]) for entry in answer["entries"]] == [
            ("main.rs", False, 12)
        ]
    for accept in ("text/html,application/json;q=0.9", "*/*", "text/html"):
        assert site.get("/src/", Accept=accept).headers["content-type"] == "text/html; charset=utf-8"


def test_programs_written_for_ptth_get_what_they_know(site):
    (site.root / "src").mkdir()
    (site.root / "src" / "a").write_bytes(b"x")
    for path in ("/api/v1/dir/src/", "/api/v1/dir/"):
        assert {"is_dir", "name", "size"} <= set(curl(site.url(path)).json["entries"][0])
    assert site.get("/api/v1/dir/src").headers["location"] == "src/"
    for path in ("/api/v1/dir/nothing/", "/api/v1/dir/src/a", "/api/v1/", "/api/v1/dir/src/a/"):
        assert site.get(path).status == 404


def test_a_file_of_the_owner_goes_before_the_interface_for_programs(site):
    (site.root / "api" / "v1" / "dir" / "src").mkdir(parents=True)
    (site.root / "api" / "v1" / "dir" / "src" / "index.html").write_bytes(b"mine")
    (site.root / "src").mkdir()
    assert site.get("/api/v1/dir/src/").body == b"mine"


def test_what_a_link_leads_to_is_listed_as_what_it_is(site):
    (site.root / "real").mkdir()
    (site.root / "real" / "x").write_bytes(b"12345")
    (site.root / "folder").symlink_to("real")
    (site.root / "file").symlink_to("real/x")
    (site.root / "out").symlink_to("/etc")
    (site.root / "broken").symlink_to("nowhere")
    entries = json.loads(site.get("/", Accept="application/json").body)["entries"]
    assert [(entry["name"], entry["is_dir"], entry["size"]) for entry in entries] == [
        ("folder", True, 0),
        ("real", True, 0),
        ("file", False, 5),
    ]
    assert site.get("/folder/x").body == b"12345"
    assert "x" in site.get("/folder/").text


def test_a_directory_that_vanishes_while_it_is_listed_ends_in_order(site):
    doomed = site.root / "doomed"
    doomed.mkdir()
    for number in range(6000):
        (doomed / f"{number:05}").touch()
    with site.connection() as sock:
        sock.sendall(b"GET /doomed/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = sock.recv(1000)
        shutil.rmtree(doomed)
        received += b"".join(iter(lambda: sock.recv(65536), b""))
    assert received.endswith(b"</html>\n\r\n0\r\n\r\n")
    assert site.get("/doomed/").status == 404


# ── very many ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_hundred_thousand_files_are_all_listed_in_order(crowd):
    with serving(crowd) as site:
        answer = curl(site.url("/many/"), "-H", "Accept: application/json")
        names = [entry["name"] for entry in answer.json["entries"]]
        assert names == [f"file {number}.txt" for number in range(MANY)]
        assert answer.json["complete"] is True
        page = curl(site.url("/many/"))
        assert page.body.count(b"<li>") == MANY
        site.has_closed_everything()


def test_a_very_long_list_begins_at_once_and_stops_nobody(crowd):
    with serving(crowd) as site:
        os.utime(crowd / "small.txt", (1, 1))
        other = http.client.HTTPConnection("127.0.0.1", site.port, timeout=100)
        with contextlib.closing(other), site.connection() as sock:
            began = beats()
            sock.sendall(b"GET /many/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            seen, first, waits = bytearray(), 0.0, []
            sock.setblocking(False)
            while not seen.endswith(b"0\r\n\r\n"):
                with contextlib.suppress(BlockingIOError):
                    seen += sock.recv(1 << 20)
                if not first and b"file 0.txt" in seen:
                    first = beats() - began
                asked = beats()
                other.request("GET", "/small.txt")
                assert other.getresponse().read() == b"small"
                waits.append(beats() - asked)
            took = beats() - began
    assert seen.count(b"<li>") == MANY
    assert first < took / 2
    assert len(waits) > 50
    assert max(waits) < took / 4


def test_a_slow_reader_of_a_long_list_costs_little_memory(crowd):
    """Five of them take nothing: a page has 15 MB, and none is ever made as a whole."""
    with serving(crowd) as site, contextlib.ExitStack() as stack:
        curl(site.url("/many/"))
        gc.collect()
        before = _resident()
        for _ in range(5):
            sock = stack.enter_context(site.connection())
            sock.sendall(b"GET /many/ HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: site.browsing.held >= 5 * MANY * 50, "five lists were read", 60)
        assert curl(site.url("/small.txt")).body == b"small"
        assert _resident() - before < 5 * 25_000_000
        stack.close()
        wait_until(lambda: site.browsing.held == 0, "all was given back", 20)
        site.has_closed_everything()


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_what_is_too_much_is_cut_and_said_so(tmp_path):
    for number in range(1800):
        (tmp_path / f"{number}").touch()
    with serving(tmp_path, browsing=Browsing(most=1000)) as site:
        answer = json.loads(site.get("/", Accept="application/json").body)
        assert len(answer["entries"]) == 1000
        assert answer["complete"] is False
        assert "There is more in it" in site.get("/").text


def test_too_many_long_lists_at_once_wait_for_better_times(tmp_path):
    for number in range(1800):
        (tmp_path / f"{number}").touch()
    with serving(tmp_path, browsing=Browsing(most_held=100_000)) as site:
        assert "Too many long lists" in site.get("/").text
        assert json.loads(site.get("/", Accept="application/json").body)["complete"] is False
        assert site.browsing.held == 0


def test_a_visitor_who_leaves_a_list_leaves_nothing_open(crowd):
    with serving(crowd) as site:
        for taken in (0, 1, 1000, 1_000_000):
            for _ in range(3):
                with site.connection(b"GET /many/ HTTP/1.1\r\nHost: x\r\n\r\n") as sock:
                    left = taken
                    while left > 0:
                        left -= len(sock.recv(65536))
        site.has_closed_everything()
        wait_until(lambda: site.browsing.held == 0, "all was given back")
        assert site.get("/small.txt").body == b"small"
