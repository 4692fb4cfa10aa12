"""Directories, cached sites and templates through two daemons, with curl: as their users have them."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support import needs
from tests.support.beats import beats
from tests.support.node import SCRIPTS, Node, free_port
from tests.support.programs import CUT, Download, RunningOrigin, curl
from tests.support.rebinding import FOREIGN_NAMES
from tests.support.waiting import wait_until

pytestmark = [needs.tools("curl")]


@pytest.fixture
def visitor(tmp_path: Path) -> Iterator[Node]:
    with Node(tmp_path / "visitor") as node:
        yield node


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Node]:
    with Node(tmp_path / "host") as node:
        yield node


def share_directory(host: Node, directory: Path | str, *lines: str, name: str = "files") -> str:
    """The label of a new service."""
    host.write(name, "\n".join(["[Service]", "service =", "[Cache]", f"directory = {directory}", *lines, ""]))
    return host.label(name)


def test_a_directory_is_a_service_with_nothing_else_running(host: Node, visitor: Node, tmp_path: Path) -> None:
    root = tmp_path / "photos"
    root.mkdir()
    content = os.urandom(3_000_000)
    (root / "ünï code & <b>.bin").write_bytes(content)
    label = share_directory(host, root, "allowListing = yes")
    listing = curl(visitor.url_of(label), "-H", "Accept: application/json")
    assert [entry["name"] for entry in listing.json["entries"]] == ["ünï code & <b>.bin"]
    answer = curl(visitor.url_of(label, quote("ünï code & <b>.bin")))
    assert answer.status == 200
    assert answer.body == content
    visit = visitor.last_visit(label)
    assert (visit["via"], visit["protocol"], visit["status"]) == ("LAN", "hardline/2", "ok")


def test_a_text_is_made_into_a_page_in_a_process_that_ends_with_the_daemon(
    host: Node, visitor: Node, tmp_path: Path
) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "a.md").write_text("# A")
    label = share_directory(host, tmp_path / "pages")
    assert "<h1>A</h1>" in curl(visitor.url_of(label, "a.md?as_markdown=1")).text

    def making() -> list[str]:
        command = f"ps -o pid= --ppid {host.process.pid}"
        children = subprocess.run(command.split(), capture_output=True, text=True, check=False).stdout.split()
        return [pid for pid in children if b"markdown_worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    (worker,) = making()
    host.stop()
    wait_until(lambda: not Path(f"/proc/{worker}").exists(), "the process has ended")


def test_a_download_that_was_cut_is_resumed(host: Node, visitor: Node, tmp_path: Path) -> None:
    root = tmp_path / "files"
    root.mkdir()
    content = os.urandom(20_000_000)
    (root / "big").write_bytes(content)
    url = visitor.url_of(share_directory(host, root), "big")
    got = tmp_path / "got"
    with Download(url, got, "--limit-rate", "2M") as download:
        download.has_received(1_000_000)
    assert 0 < got.stat().st_size < len(content)
    assert curl(url, "-C", "-", "-o", str(got)).status == 206
    assert hashlib.sha256(got.read_bytes()).digest() == hashlib.sha256(content).digest()


def test_a_directory_in_the_data_directory_is_made_and_filled_later(host: Node, visitor: Node) -> None:
    label = share_directory(host, "pages")
    assert curl(visitor.url_of(label, "hello.txt")).status == 404
    (host.data / "cache" / "pages" / "hello.txt").write_text("hello")
    assert curl(visitor.url_of(label, "hello.txt")).text == "hello"


def test_a_directory_that_is_not_there_is_told_and_served_when_it_comes(
    host: Node, visitor: Node, tmp_path: Path
) -> None:
    label = share_directory(host, tmp_path / "usb-stick")
    missing = curl(visitor.url_of(label, "a.txt"))
    assert missing.status == 502
    assert "its directory cannot be used" in missing.text
    (tmp_path / "usb-stick").mkdir()
    (tmp_path / "usb-stick" / "a.txt").write_text("here")
    assert curl(visitor.url_of(label, "a.txt")).text == "here"


def test_a_directory_that_goes_away_is_told_from_a_file_that_is_not_there(
    host: Node, visitor: Node, tmp_path: Path
) -> None:
    stick = tmp_path / "usb-stick"
    stick.mkdir()
    (stick / "a.txt").write_text("here")
    url = visitor.url_of(share_directory(host, stick, "allowListing = yes"), "")
    assert (curl(f"{url}a.txt").status, curl(f"{url}b.txt").status) == (200, 404)
    assert host.serves("files")["problem"] is None
    stick.rename(tmp_path / "elsewhere")
    for path in ("", "a.txt", "b.txt"):
        gone = curl(url + path)
        assert gone.status == 503
        assert "The directory is away" in gone.text
        assert str(tmp_path) not in gone.text
    assert "its directory is away" in host.serves("files")["problem"]
    (tmp_path / "elsewhere").rename(stick)
    assert curl(f"{url}a.txt").text == "here"
    assert host.serves("files")["problem"] is None


def test_the_daemons_own_files_are_never_shown(host: Node, visitor: Node, tmp_path: Path) -> None:
    """A directory that holds the node, its keys, and links to them of both kinds."""
    label = share_directory(host, tmp_path, "allowListing = yes")
    key = host.services / "files.ini.cert.private"
    wait_until(key.exists, "the service has its key")
    inside = tmp_path / "innocent"
    inside.mkdir()
    (inside / "soft").symlink_to(key)
    os.link(key, inside / "hard")
    secret = key.read_bytes()
    known = curl(visitor.url_of(label, "host/log"))
    assert known.status == 200, "what is not the daemon's own is served"
    paths = [
        *(f"host/services/files.ini{ending}" for ending in ("", ".cert", ".cert.private", ".cert.hash")),
        *("host/data/node.cert.private", "host/data/control.sock", "host/data/routes.db", "host/data/"),
        *("host/hardline.ini", "innocent/soft", "innocent/hard"),
        *("host/services/../services/files.ini.cert.private", "host/services/%2e%2e/services/files.ini.cert.private"),
        *("host%2fservices%2ffiles.ini.cert.private", "//host/services/files.ini.cert.private"),
    ]
    for path in paths:
        answer = curl(visitor.url_of(label, path), "--path-as-is")
        assert answer.status in (400, 404), path
        assert secret not in answer.body
    assert curl(visitor.url_of(label, "host/services/")).status == 404
    for directory in ("innocent/", "host/"):
        names = {
            e["name"] for e in curl(visitor.url_of(label, directory), "-H", "Accept: application/json").json["entries"]
        }
        assert not names & {
            "services",
            "files.ini",
            "files.ini.cert.private",
            "soft",
            "hard",
            "data",
            "hardline.ini",
        }, directory


def test_a_changed_setting_holds_and_a_running_download_goes_on(host: Node, visitor: Node, tmp_path: Path) -> None:
    root = tmp_path / "files"
    root.mkdir()
    content = os.urandom(50_000_000)  # more than is under way at once
    (root / "big").write_bytes(content)
    label = share_directory(host, root)
    assert curl(visitor.url_of(label)).status == 404
    got = tmp_path / "got"
    with Download(visitor.url_of(label, "big"), got, "--limit-rate", "8M") as download:
        download.has_received(500_000)
        share_directory(host, root, "allowListing = yes")
        wait_until(lambda: curl(visitor.url_of(label)).status == 200, "it is listed now")
        assert download.running
        assert download.exit_code() == 0
    assert got.read_bytes() == content


def test_what_is_cached_is_served_while_the_site_is_down_and_says_so(
    host: Node, visitor: Node, origin: RunningOrigin
) -> None:
    cache = "[Cache]\ndirectory = site\nmaxAge = 1h\n"
    host.write("site", f"[Service]\nservice = localhost\nport = {origin.port}\n{cache}")
    url = visitor.url_of(host.label("site"))
    first = curl(url, "-i")
    assert first.text.endswith("hello from the origin\n")
    again = curl(url, "-i")
    assert "hit" in _field(again.text, "cache-status")
    assert (host.data / "cache" / "site" / "@http").read_text() == "hello from the origin\n"
    origin.kill()
    down = curl(url, "-i", "-H", "Cache-Control: no-cache")
    assert down.text.endswith("hello from the origin\n")
    assert int(_field(down.text, "age")) >= 0
    assert curl(f"{url}never-asked").status in (502, 504)


def test_a_site_without_its_server_shows_what_was_kept(host: Node, visitor: Node, origin: RunningOrigin) -> None:
    host.write("site", f"[Service]\nservice = localhost\nport = {origin.port}\n[Cache]\ndirectory = site\n")
    label = host.label("site")
    assert curl(visitor.url_of(label)).status == 200
    share_directory(host, "site", name="site")
    wait_until(lambda: curl(visitor.url_of(label, "nothing")).status == 404, "the setting holds")
    origin.kill()
    assert curl(visitor.url_of(label)).text == "hello from the origin\n"


def test_what_was_kept_of_a_page_comes_before_the_list_of_what_lies_beside_it(
    host: Node, visitor: Node, origin: RunningOrigin
) -> None:
    host.write("site", f"[Service]\nservice = localhost\nport = {origin.port}\n[Cache]\ndirectory = site\n")
    label = host.label("site")
    page, part = curl(visitor.url_of(label)), curl(visitor.url_of(label, "bytes/5"))
    assert page.status == part.status == 200
    assert curl(visitor.url_of(label, "bytes/5/")).status == 404  # which is kept, too
    directory = host.data / "cache" / "site" / "bytes" / "5"
    directory.mkdir(exist_ok=True)
    (directory / "inside.txt").write_text("inside")
    share_directory(host, "site", "allowListing = yes", name="site")
    wait_until(lambda: curl(visitor.url_of(label, "bytes/5/")).status == 200, "the setting holds")
    origin.kill()
    for accept in ("*/*", "text/html", "application/json"):
        assert curl(visitor.url_of(label), "-H", f"Accept: {accept}").body == page.body
        assert curl(visitor.url_of(label, "bytes/5"), "-H", f"Accept: {accept}").body == part.body
    # Of what nothing was kept there is a list, of what is shared: the cache's own names are not.
    assert "inside.txt" in curl(visitor.url_of(label, "bytes/5/")).text
    assert curl(visitor.url_of(label, "bytes")).status == 301
    listed = curl(visitor.url_of(label, "api/v1/dir/bytes/")).json
    assert [entry["name"] for entry in listed["entries"]] == ["5"]


def test_a_cache_is_not_kept_where_it_could_write_over_the_daemons_own_files(
    host: Node, visitor: Node, origin: RunningOrigin
) -> None:
    host.write("site", f"[Service]\nservice = localhost\nport = {origin.port}\n[Cache]\ndirectory = {host.services}\n")
    assert curl(visitor.url_of(host.label("site"))).status == 502


def test_a_template_is_a_page(host: Node, visitor: Node) -> None:
    label = share_directory(host, "pages", "dynamicContent = yes")
    assert curl(visitor.url_of(label)).status == 404
    page = "<p>${method} ${path} ${__file__}</p>"
    (host.data / "cache" / "pages" / "hello@mako").write_text(page)
    answer = curl(visitor.url_of(label, "hello?a=1"))
    assert answer.text.strip() == f"<p>GET /hello?a=1 {host.data}/cache/pages/hello@mako</p>"
    assert curl(visitor.url_of(label, "hello@mako")).status == 404
    assert curl(visitor.url_of(label, "hello%40mako")).status == 404


def test_an_upload_to_files_is_refused_and_the_visitor_hears_it(host: Node, visitor: Node, tmp_path: Path) -> None:
    root, big = tmp_path / "files", tmp_path / "big"
    root.mkdir()
    with big.open("wb") as file:
        file.truncate(30_000_000)
    answer = curl(visitor.url_of(share_directory(host, root), "x"), "-T", big)
    assert answer.status == 405


def test_a_file_that_shrinks_is_a_cut_download(host: Node, visitor: Node, tmp_path: Path) -> None:
    root = tmp_path / "files"
    root.mkdir()
    (root / "log").write_bytes(bytes(80_000_000))
    url = visitor.url_of(share_directory(host, root), "log")
    with Download(url, tmp_path / "got", "--limit-rate", "8M") as download:
        download.has_received(1_000_000)
        os.truncate(root / "log", 2_000_000)
        assert download.exit_code() in CUT


def test_fifty_visitors_are_not_held_up_by_one_who_reads_a_kilobyte_a_second(
    host: Node, visitor: Node, tmp_path: Path
) -> None:
    root = tmp_path / "files"
    root.mkdir()
    content = os.urandom(2_000_000)
    (root / "part").write_bytes(content)
    (root / "huge").write_bytes(bytes(100_000_000))
    label = share_directory(host, root)
    urls = [visitor.url_of(label, f"part?{number}") for number in range(50)]

    def fetch_all() -> float:
        began = beats()
        parallel = ("--parallel", "--parallel-max", "50", "--parallel-immediate")
        done = subprocess.run(
            ["curl", "-q", "-sS", "--noproxy", "*", *parallel, *(part for url in urls for part in ("-o", "-", url))],
            capture_output=True, timeout=60, check=True,
        )  # fmt: skip
        assert len(done.stdout) == 50 * len(content)
        return beats() - began

    alone = fetch_all()
    with Download(visitor.url_of(label, "huge"), tmp_path / "got", "--limit-rate", "1k") as slow:
        slow.has_received(1000)
        beside = fetch_all()
        assert slow.running
    assert beside < 5 * alone + 10  # all of it at a kilobyte a second takes a day


def test_a_shared_directory_is_one_command(host: Node, visitor: Node, tmp_path: Path) -> None:
    (tmp_path / "my files").mkdir()
    (tmp_path / "my files" / "a.txt").write_text("a")
    done = subprocess.run(
        [SCRIPTS / "hardline", "--datadir", host.data, "share", "./my files"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    label = done.stdout.split("/")[2].partition(".")[0]
    assert curl(visitor.url_of(label, "a.txt")).text == "a"
    assert "a.txt" in curl(visitor.url_of(label)).text
    assert host.service("my-files")["target"] == f"the files of {tmp_path}/my files"


@pytest.mark.parametrize("ending", ["SIGINT", "SIGTERM"])
def test_a_directory_is_served_without_any_tunnel(tmp_path: Path, ending: str) -> None:
    (tmp_path / "a.txt").write_text("a")
    port = free_port()
    serving = subprocess.Popen(
        [SCRIPTS / "hardline", "fileserver", tmp_path, "--port", str(port)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert serving.stdout is not None
        assert f"http://127.0.0.1:{port}/" in serving.stdout.readline()
        assert curl(f"http://127.0.0.1:{port}/a.txt").text == "a"
        assert "a.txt" in curl(f"http://127.0.0.1:{port}/").text
        assert curl(f"http://127.0.0.1:{port}/a.txt", "-r", "0-0").status == 206
        (tmp_path / "a.md").write_text("# A")
        assert "<h1>A</h1>" in curl(f"http://127.0.0.1:{port}/a.md?as_markdown=1").text
        serving.send_signal(getattr(signal, ending))
        assert serving.wait(100) == 0
    finally:
        serving.kill()
        serving.communicate()


def test_a_file_server_answers_to_no_name_that_somebody_else_can_have(tmp_path: Path) -> None:
    """DNS rebinding: a page of evil.com whose name points here must not read the directory."""
    (tmp_path / "a.txt").write_text("a secret")
    port = free_port()
    command = [SCRIPTS / "hardline", "fileserver", tmp_path, "--port", str(port), "--name", "nas.lan"]
    serving = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert serving.stdout is not None
        serving.stdout.readline()
        for path in ("", "a.txt", "api/v1/dir/", "nowhere"):
            for host in (*FOREIGN_NAMES, "localhost:1", "localhost", "[::1]"):
                answer = curl(f"http://127.0.0.1:{port}/{path}", "-H", f"Host: {host}")
                assert answer.status == 421, host
                assert "secret" not in answer.text
                assert "a.txt" not in answer.text
        for host in (f"localhost:{port}", f"127.0.0.1:{port}", "nas.lan", "nas.lan:81"):
            assert curl(f"http://127.0.0.1:{port}/a.txt", "-H", f"Host: {host}").text == "a secret"
        assert curl(f"http://127.0.0.1:{port}/a.txt", "-0", "-H", "Host:").status == 421
    finally:
        serving.kill()
        serving.communicate()


def test_a_directory_that_is_served_without_a_tunnel_hides_what_is_the_running_nodes(tmp_path: Path) -> None:
    """Wherever that node keeps it, and wherever its settings say that certificates are."""
    with Node(tmp_path / "node") as node:
        (tmp_path / "elsewhere").mkdir()
        node.write("site", f"[Service]\nservice = localhost\ncertfile = {tmp_path}/elsewhere/mine.pem\n")
        node.serves("site")
        port = free_port()
        serving = subprocess.Popen(
            [SCRIPTS / "hardline", "--datadir", node.data, "fileserver", tmp_path, "--port", str(port)],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert serving.stdout is not None
            assert serving.stdout.readline()
            (tmp_path / "a.txt").write_text("a")
            assert curl(f"http://127.0.0.1:{port}/a.txt").status == 200
            for hidden in [
                *("node/services/site.ini", "node/data/node.cert.private", "node/data/instance"),
                *(f"elsewhere/mine.pem{suffix}" for suffix in ("", ".private", ".hash")),
            ]:
                assert (tmp_path / hidden).exists()
                assert curl(f"http://127.0.0.1:{port}/{hidden}").status == 404
        finally:
            serving.kill()
            serving.communicate()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["nowhere"], "is no directory"), ([".", "--port", "1", "--bind", "203.0.113.1"], "cannot be used")],
)
def test_a_file_server_that_cannot_begin_says_why(tmp_path: Path, arguments: list[str], said: str) -> None:
    done = subprocess.run(
        [SCRIPTS / "hardline", "fileserver", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def _field(answer: str, name: str) -> str:
    head = answer.partition("\r\n\r\n")[0]
    found = [line.partition(":")[2].strip() for line in head.splitlines() if line.lower().startswith(f"{name}:")]
    assert found, f"no {name} in {head}"
    return found[0]
