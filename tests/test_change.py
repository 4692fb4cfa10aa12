"""`hardline change`, `pause`, `resume`: another target, title or visitors, and the same URL."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.node import Node
from tests.support.origin import digest_of_bytes
from tests.support.programs import Download, RunningOrigin, curl, running_origin
from tests.support.waiting import wait_until


@pytest.fixture
def there(tmp_path: Path) -> Iterator[tuple[Node, Node, RunningOrigin, RunningOrigin]]:
    """A host with a service, a visitor, and two programs that could be it."""
    with running_origin(name="one") as one, running_origin(name="other") as other, Node(tmp_path / "host") as host:
        assert host.hardline("share", str(one.port), "--name", "wiki", "--title", "Wiki").returncode == 0
        with Node(tmp_path / "visitor") as visitor:
            yield host, visitor, one, other


def done(node: Node, *arguments: str) -> str:
    ran = node.hardline(*arguments)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_it_leads_elsewhere_by_the_same_url_while_a_download_runs(there, tmp_path: Path) -> None:
    host, visitor, _, other = there
    label, size = host.label("wiki"), 30_000_000
    with Download(visitor.url_of(label, f"bytes/{size}"), tmp_path / "got", "--limit-rate", "10M") as download:
        download.has_received(1_000_000)
        assert done(host, "change", "Wiki", str(other.port)) == host.url_of(label)
        assert curl(visitor.url_of(label)).text == "hello from other\n"
        assert download.running
        assert download.exit_code() == 0
    assert hashlib.sha256((tmp_path / "got").read_bytes()).hexdigest() == digest_of_bytes(size)


def test_what_is_said_of_it_changes_and_the_rest_of_the_file_stays(there) -> None:
    host, _, _, other = there
    file = host.services / "wiki.ini"
    file.write_text(f"# mine\n{file.read_text()}")
    done(host, "change", "wiki", "--title", "Notes [2]; new", "--unlisted")
    row = host.service("wiki")
    assert row is not None
    assert (row["title"], row["listed"]) == ("Notes [2]; new", False)
    assert file.read_text().startswith("# mine\n[Service]\n")
    done(host, "change", host.url("wiki"), f"http://localhost:{other.port}", "--listed", "--title", "")
    row = host.service("wiki")
    assert row is not None
    assert (row["title"], row["listed"], row["target"]) == ("wiki", True, f"localhost:{other.port}")


def test_it_is_for_invited_visitors_and_for_everybody_again(there) -> None:
    host, visitor, *_ = there
    url = visitor.url_of(host.label("wiki"))
    done(host, "change", "wiki", "--invited")
    wait_until(lambda: curl(url).status == 403, "nobody is on its list")
    done(host, "change", "wiki", "--everyone")
    wait_until(lambda: curl(url).status == 200, "everybody may come")


def test_paused_it_is_there_for_nobody_and_comes_back(there, tmp_path: Path) -> None:
    host, visitor, one, _ = there
    label = host.label("wiki")
    url = visitor.url_of(label)
    with Download(visitor.url_of(label, "bytes/50000000"), tmp_path / "got", "--limit-rate", "5M") as download:
        download.has_received(1_000_000)
        assert done(host, "pause", "wiki") == host.url_of(label)
        assert download.exit_code() in (18, 56), "what was cut is no whole"
    assert host.service("wiki", "paused")
    assert "paused" in done(host, "ls")
    assert curl(url).status in (502, 503)
    host.stop()
    host.start()
    assert host.service("wiki", "paused"), "after a start, too"
    assert done(host, "resume", "wiki") == host.url_of(label)
    wait_until(lambda: curl(url).status == 200, "it is served again")
    done(host, "pause", "wiki")
    assert done(host, "share", str(one.port)) == host.url_of(label), "to share it again is to resume it"
    wait_until(lambda: curl(url).status == 200, "it is served again")


@pytest.mark.parametrize(
    "wrong",
    [
        ("nothing", "8000"),
        ("wiki", "Musik"),
        ("wiki", "/does/not/exist"),
        ("wiki", "7x:a"),
        ("wiki", "--listed", "--unlisted"),
    ],
)
def test_a_mistake_changes_nothing(there, wrong: tuple[str, ...]) -> None:
    host, *_ = there
    file = host.services / "wiki.ini"
    before = file.read_bytes()
    ran = host.hardline("change", *wrong)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert file.read_bytes() == before


def test_shared_unlisted_and_invited_from_the_beginning(there) -> None:
    host, _, _, other = there
    done(host, "share", str(other.port), "--name", "secret", "--unlisted", "--invited")
    text = (host.services / "secret.ini").read_text()
    assert "listed = no\n" in text
    assert "clients = invited\n" in text
    row = host.service("secret")
    assert row is not None
    assert row["listed"] is False
