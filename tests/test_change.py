"""`hardline change`, `pause`, `resume`: another target, title or visitors, and the same URL."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hardline.control import ControlServer
from tests.support.node import SCRIPTS, Node
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


def test_row_17_it_leads_elsewhere_by_the_same_url_while_a_download_runs(there, tmp_path: Path) -> None:
    host, visitor, _, other = there
    label, size = host.label("wiki"), 30_000_000
    with Download(visitor.url_of(label, f"bytes/{size}"), tmp_path / "got", "--limit-rate", "10M") as download:
        download.has_received(1_000_000)
        assert done(host, "change", "Wiki", str(other.port)) == host.url_of(label)
        assert curl(visitor.url_of(label)).text == "hello from other\n"
        assert download.running
        assert download.exit_code() == 0
    [before] = visitor.sessions("visiting")
    done(host, "change", "wiki", "--title", "Papers")
    wait_until(lambda: visitor.sessions("visiting")[0]["title"] == "Papers", "whoever is there hears of it")
    wait_until(lambda: visitor.status()["peers"][0]["title"] == "Papers", "and remembers it")
    [session] = visitor.sessions("visiting")
    assert session["since_s"] > before["since_s"], "it is the same session"
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


def test_a_mistake_changes_nothing(there) -> None:
    host, *_ = there
    file = host.services / "wiki.ini"
    before = file.read_bytes()
    mistakes = ("nothing", "8000"), ("wiki", "Musik"), ("wiki", "/does/not/exist"), ("wiki", "7x:a")
    for wrong in (*mistakes, ("wiki", "--listed", "--unlisted")):
        ran = host.hardline("change", *wrong)
        assert (ran.returncode, ran.stdout) == (2, ""), wrong
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


def test_shared_again_for_fewer_it_is_for_fewer_and_never_for_more(there) -> None:
    host, visitor, one, _ = there
    label, file = host.label("wiki"), host.services / "wiki.ini"

    def is_for_fewer() -> bool:
        row = host.service("wiki")
        return row is not None and row["listed"] is False and "clients = invited\n" in file.read_text()

    assert done(host, "share", str(one.port), "--unlisted", "--invited") == host.url_of(label)
    assert is_for_fewer()
    wait_until(lambda: curl(visitor.url_of(label)).status == 403, "nobody is on its list")
    assert done(host, "share", str(one.port)) == host.url_of(label)
    assert is_for_fewer()
    done(host, "change", "wiki", "--everyone", "--listed")
    done(host, "pause", "wiki")
    done(host, "remove", "wiki")
    assert done(host, "share", str(one.port), "--unlisted", "--invited") == host.url_of(label)
    assert is_for_fewer()
    assert "paused" not in file.read_text()
    wait_until(lambda: curl(visitor.url_of(label)).status == 403, "nobody is on its list")


def test_a_file_that_is_broken_is_meant_before_a_title(there) -> None:
    host, *_ = there
    (host.services / "Wiki.ini").write_text("nonsense")
    wait_until(lambda: host.service("Wiki", "broken") is not None, "it is known to be broken")
    for command in (("pause", "Wiki"), ("change", "Wiki", "--unlisted"), ("invite", "Wiki", "--to", "Anna")):
        ran = host.hardline(*command)
        assert ran.returncode == 2, command
        assert "before any section" in ran.stderr
    done(host, "remove", "Wiki")
    assert not (host.services / "Wiki.ini").exists()
    assert host.service("wiki", "serving") is not None


def test_changes_at_once_are_all_written(there) -> None:
    host, *_ = there
    asked = [("pause", "wiki"), ("change", "wiki", "--title", "New"), ("change", "wiki", "--unlisted")]
    with ThreadPoolExecutor() as pool:
        for ran in pool.map(lambda words: host.hardline(*words), asked):
            assert ran.returncode == 0, ran.stderr
    text = (host.services / "wiki.ini").read_text()
    assert ("paused = yes" in text, 'title = "New"' in text, "listed = no" in text) == (True, True, True)


def test_an_earlier_hardlined_shares_nothing_with_everybody_that_was_for_few(tmp_path: Path) -> None:
    heard = list[str]()

    async def share(request: Mapping[str, object]) -> object:
        heard.append(str(request["target"]))
        return {"url": "http://x/"}

    async def story() -> None:
        server = ControlServer({"share": share})
        await server.open(tmp_path)
        command = SCRIPTS / "hardline", "--datadir", tmp_path, "share", "8000"
        for few in ("--invited", "--unlisted"):
            ran = await asyncio.create_subprocess_exec(*command, few, stderr=asyncio.subprocess.PIPE)
            _, said = await ran.communicate()
            assert ran.returncode == 1
            assert b"version" in said
        await server.aclose()

    asyncio.run(story())
    assert heard == []
