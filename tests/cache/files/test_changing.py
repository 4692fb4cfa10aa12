"""Files that change while they are sent, disks that fail, and visitors that leave or take their time."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import itertools
import os
import random
import resource
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import uvloop

from tests.cache.serving import Serving, serving
from tests.support import needs
from tests.support.beats import beats
from tests.support.programs import CUT, Download, curl
from tests.support.waiting import wait_until

pytestmark = [needs.linux(), needs.tools("curl")]

SIZE = 20_000_000
SLOW = ("--limit-rate", "4M")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Serving]:
    root = tmp_path / "site"
    root.mkdir()
    (root / "big.bin").write_bytes(random.Random(1).randbytes(SIZE))
    (root / "small.txt").write_bytes(b"small")
    with serving(root) as running:
        yield running
        running.has_closed_everything()


def digest(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


# ── files that change ────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_that_is_removed_while_it_is_sent_arrives_whole(site, tmp_path):
    expected = digest(site.root / "big.bin")
    with Download(site.url("/big.bin"), tmp_path / "got", *SLOW) as download:
        download.has_received(1_000_000)
        (site.root / "big.bin").unlink()
        assert site.get("/big.bin").status == 404
        assert download.exit_code() == 0
    assert digest(tmp_path / "got") == expected


def test_a_file_that_is_replaced_while_it_is_sent_arrives_as_it_was(site, tmp_path):
    expected = digest(site.root / "big.bin")
    with Download(site.url("/big.bin"), tmp_path / "got", *SLOW) as download:
        download.has_received(1_000_000)
        (site.root / "new").write_bytes(b"new")
        os.replace(site.root / "new", site.root / "big.bin")
        assert site.get("/big.bin").body == b"new"
        assert download.exit_code() == 0
    assert digest(tmp_path / "got") == expected


def test_of_a_file_that_grows_what_was_promised_is_sent(site, tmp_path):
    expected = digest(site.root / "big.bin")
    with Download(site.url("/big.bin"), tmp_path / "got", *SLOW) as download:
        download.has_received(1_000_000)
        with (site.root / "big.bin").open("ab") as file:
            file.write(b"more" * 1000)
        assert download.exit_code() == 0
    assert digest(tmp_path / "got") == expected


def test_a_file_that_shrinks_while_it_is_sent_is_cut_and_never_padded(site, tmp_path):
    whole = (site.root / "big.bin").read_bytes()
    with Download(site.url("/big.bin"), tmp_path / "got", *SLOW) as download:
        download.has_received(1_000_000)
        os.truncate(site.root / "big.bin", 1_000_000)
        assert download.exit_code() in CUT
    got = (tmp_path / "got").read_bytes()  # what was under way when it happened is right, too
    assert 1_000_000 <= len(got) < SIZE
    assert got == whole[: len(got)]
    wait_until(lambda: site.cut, "it was cut")
    assert "became shorter" in site.cut[0]
    assert site.get("/big.bin").body == whole[:1_000_000]


@pytest.mark.parametrize("more", [0, 1_000_000])
def test_a_file_that_is_written_anew_in_its_place_while_it_is_sent_is_cut_and_never_mixed(site, tmp_path, more):
    """As `cp` does it.  With the name stays the file, and who has it open reads on in the new one."""
    whole = (site.root / "big.bin").read_bytes()
    with Download(site.url("/big.bin"), tmp_path / "got", *SLOW) as download:
        download.has_received(1_000_000)
        (site.root / "big.bin").write_bytes(random.Random(3).randbytes(SIZE + more))
        assert download.exit_code() in CUT
    got = (tmp_path / "got").read_bytes()
    assert 1_000_000 <= len(got) < SIZE
    assert got == whole[: len(got)]
    wait_until(lambda: site.cut, "it was cut")
    assert site.get("/big.bin").body == random.Random(3).randbytes(SIZE + more)


def test_a_file_that_has_grown_while_it_was_sent_and_gets_its_own_date_then_arrives_as_promised(site, tmp_path):
    """As `cp -p` does it to what a visitor asks for too early."""
    expected = digest(site.root / "big.bin")
    with Download(site.url("/big.bin"), tmp_path / "got", *SLOW) as download:
        download.has_received(1_000_000)
        with (site.root / "big.bin").open("ab") as file:
            file.write(b"more" * 1000)
        download.has_received(8_000_000)
        os.utime(site.root / "big.bin", (1_700_000_000, 1_700_000_000))
        assert download.exit_code() == 0
    assert digest(tmp_path / "got") == expected


def test_several_ranges_of_a_file_that_is_written_anew_are_cut(site):
    request = f"GET /big.bin HTTP/1.1\r\nHost: x\r\nRange: bytes=0-9,100000-{SIZE - 1000}\r\n\r\n"
    with site.connection(request.encode()) as sock:
        assert sock.recv(100)
        (site.root / "big.bin").write_bytes(random.Random(3).randbytes(SIZE))
        with contextlib.suppress(ConnectionResetError):
            while sock.recv(1 << 20):
                pass
    wait_until(lambda: site.cut, "it was cut")


def test_several_ranges_of_a_file_that_shrinks_are_cut(site):
    size = (site.root / "big.bin").stat().st_size
    request = f"GET /big.bin HTTP/1.1\r\nHost: x\r\nRange: bytes=0-9,100000-{size - 1000}\r\n\r\n"
    with site.connection(request.encode()) as sock:
        assert sock.recv(100)
        os.truncate(site.root / "big.bin", 5_000_000)
        with contextlib.suppress(ConnectionResetError):
            while sock.recv(1 << 20):
                pass
    wait_until(lambda: site.cut, "it was cut")


def test_a_sparse_file_is_what_it_says(site):
    path = site.root / "sparse"
    with path.open("wb") as file:
        file.write(b"begin")
        file.truncate(5_000_000_000)
        file.seek(4_999_999_000)
        file.write(b"end")
    assert curl(site.url("/sparse"), "-I").text.count("5000000000") == 1
    assert curl(site.url("/sparse"), "-r", "4999999000-4999999002").body == b"end"
    assert curl(site.url("/sparse"), "-r", "0-6").body == b"begin\0\0"
    assert curl(site.url("/sparse"), "-r", "2000000000-2000999999").body == bytes(1_000_000)


def test_every_answer_of_a_file_that_is_replaced_all_the_time_is_one_of_its_versions(site):
    """Whole, and each with a tag of its own."""
    path, over = site.root / "busy.txt", threading.Event()
    path.write_bytes(b"0" * 5000)

    def replace() -> None:
        for number in itertools.count():
            if over.is_set():
                return
            draft = site.root / "draft"
            draft.write_bytes(b"%d" % (number % 10) * (5000 + number % 7))
            os.replace(draft, path)

    writer = threading.Thread(target=replace)
    writer.start()
    try:
        known: dict[str, bytes] = {}
        for _ in range(300):
            reply = site.get("/busy.txt")
            assert reply.status == 200
            assert len(set(reply.body)) == 1
            assert 5000 <= len(reply.body) < 5007
            assert known.setdefault(reply.headers["etag"], reply.body) == reply.body
    finally:
        over.set()
        writer.join()
    assert len(known) > 50


def test_a_file_that_is_written_in_place_all_the_time_is_served_without_wrong_lengths(site):
    path, over = site.root / "busy.txt", threading.Event()
    path.write_bytes(b"x" * 3000)

    def rewrite() -> None:
        for number in itertools.count(1):
            if over.is_set():
                return
            with path.open("wb") as file:
                file.write(b"x" * (number % 3000))

    writer = threading.Thread(target=rewrite)
    writer.start()
    answered = 0
    try:
        for _ in range(300):
            answer = site.raw(b"GET /busy.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            head, _, body = answer.partition(b"\r\n\r\n")
            told = [line.split(b": ")[1] for line in head.split(b"\r\n") if line.startswith(b"Content-Length")]
            if told and int(told[0]) == len(body):
                answered += 1
            else:
                assert site.cut  # it became shorter, which the visitor was not kept from seeing
    finally:
        over.set()
        writer.join()
    assert answered > 100


# ── disks that fail ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_disk_that_fails_is_told_and_the_next_request_is_served(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"a")
    wrong = [errno.EIO, errno.EMFILE, errno.ETIMEDOUT]

    def forbidden(path: str, facts: os.stat_result) -> bool:
        if wrong:
            raise OSError(wrong[0], os.strerror(wrong.pop(0)))
        return False

    with serving(tmp_path, forbidden=forbidden) as site:
        for _ in range(3):
            reply = site.get("/a.txt")
            assert (reply.status, reply.headers["retry-after"]) == (503, "5")
            assert "has a problem" in reply.text
        assert site.get("/a.txt").body == b"a"
        site.has_closed_everything()


def test_running_out_of_descriptors_is_told_and_over_when_it_is_over(site):
    with site.connection() as sock:
        sock.sendall(b"GET /small.txt HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(65536).endswith(b"small")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) - 1, hard))
        try:
            with contextlib.ExitStack() as stack:
                with contextlib.suppress(OSError):
                    while True:
                        stack.callback(os.close, os.open("/dev/null", os.O_RDONLY))
                sock.sendall(b"GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n")
                answer = sock.recv(65536)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"too many open files" in answer
    assert site.get("/big.bin", "HEAD").status == 200


# ── visitors ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_visitors_that_leave_leave_nothing_open(site):
    for taken in (0, 1, 1000, 300_000):
        for path in ("/big.bin", "/big.bin", "/small.txt"):
            with site.connection(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()) as sock:
                left = taken
                while left > 0 and (data := sock.recv(65536)):
                    left -= len(data) if path == "/big.bin" else left
    site.has_closed_everything()
    for _ in range(100):
        with site.connection(b"GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n"):
            pass
    site.has_closed_everything()
    assert site.get("/small.txt").body == b"small"


def test_fifty_visitors_of_whom_one_is_slow_are_served_at_full_speed(site, tmp_path):
    expected = digest(site.root / "big.bin")

    def fetch(_: int) -> bytes:
        return hashlib.sha256(site.get("/big.bin").body).digest()

    began = beats()
    assert fetch(0) == expected
    alone = beats() - began
    with Download(site.url("/big.bin"), tmp_path / "slow", "--limit-rate", "1k") as slow:
        slow.has_received(1)
        began = beats()
        with ThreadPoolExecutor(10) as pool:
            assert set(pool.map(fetch, range(49))) == {expected}
        together = beats() - began
        assert slow.running
    assert together < 49 * alone * 3 + 30


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_visitor_who_takes_his_time_gets_the_right_bytes(tmp_path, run):
    """On every event loop: they differ in what they keep of what could not leave yet."""
    whole = random.Random(2).randbytes(SIZE)
    (tmp_path / "big.bin").write_bytes(whole)
    with serving(tmp_path, run=run) as site:
        for field in ("", "Range: bytes=1000-15000000\r\n", "Range: bytes=0-5000000,6000000-12000000\r\n"):
            request = f"GET /big.bin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{field}\r\n"
            received = bytearray()
            with socket.socket() as sock:
                sock.settimeout(100)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)  # before the window is told
                sock.connect(("127.0.0.1", site.port))
                sock.sendall(request.encode())
                while data := sock.recv(30_000):
                    received += data
            body = bytes(received).partition(b"\r\n\r\n")[2]
            if "," in field:
                assert whole[:5_000_001] in body
                assert whole[6_000_000:12_000_001] in body
            else:
                assert body == (whole[1000:15_000_001] if field else whole)


def test_pages_are_for_people_and_text_for_programs(site):
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    for path, method, status in (("/nothing<b>", "GET", 404), ("/small.txt", "POST", 405)):
        page, text = (
            site.get(path, method, Accept=accept, Content_Length="0"),
            site.get(path, method, Content_Length="0"),
        )
        assert page.status == text.status == status
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        assert text.headers["content-type"] == "text/plain; charset=utf-8"
        assert text.text.startswith(f"{status} ")
        assert text.text.splitlines()[2] in page.text
        assert page.headers["vary"] == text.headers["vary"] == "Accept"
        assert page.headers["cache-control"] == text.headers["cache-control"] == "no-store"
