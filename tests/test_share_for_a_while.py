"""`hardline share --once` and `--for`, `remove --forget-url`: what is shared for a while, what never comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.support.node import SCRIPTS, Node
from tests.support.programs import Download, RunningOrigin, curl, running_origin
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("while")) as running:
        yield running


@pytest.fixture(scope="module")
def web() -> Iterator[RunningOrigin]:
    with running_origin() as origin:
        yield origin


def started(node: Node, *words: str) -> tuple[subprocess.Popen[str], str]:
    """A command that runs on, and the first line of its result."""
    command = [str(SCRIPTS / "hardline"), "--datadir", str(node.data), *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def names(node: Node) -> list[str]:
    return [row["name"] for row in node.status()["services"]]


def test_row_16_once_ends_with_the_command_however_that_ends(node: Node, web: RunningOrigin, tmp_path_factory) -> None:
    place = tmp_path_factory.mktemp("got")
    for number in (signal.SIGKILL, signal.SIGINT):
        process, url = started(node, "share", str(web.port), "--once", "--name", "guest")
        wait_until(lambda url=url: curl(url).status == 200, "it is served, also to who has just found nobody")
        assert "guest" in names(node)
        with Download(f"{url}bytes/50000000", place / number.name, "--limit-rate", "5M") as download:
            download.has_received(1_000_000)
            killed = time.monotonic()
            process.send_signal(number)
            assert download.exit_code() in (18, 56), "who was there is cut"
        assert curl(url).status == 503
        took = time.monotonic() - killed
        process.communicate()
        assert process.returncode == (-9 if number == signal.SIGKILL else 130)
        wait_until(lambda: "guest" not in names(node), "it is put aside")
        assert not (node.services / "guest.ini").exists()
        assert took < 30, "and not by some timeout"
    again = node.hardline("share", str(web.port))
    assert again.stdout.strip() == url, "the same, and now for good"
    assert "once" not in (node.services / "guest.ini").read_text()
    wait_until(lambda: curl(url).status == 200, "it is served, also to who has just found nobody")
    refused = node.hardline("share", str(web.port), "--once")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "guest is shared already" in refused.stderr
    assert curl(url).status == 200
    assert node.hardline("remove", "guest", "--forget-url").returncode == 0


def test_row_16_what_is_shared_for_a_time_is_gone_after_it(node: Node, web: RunningOrigin) -> None:
    done = node.hardline("share", str(web.port), "--for", "2h", "--name", "brief")
    url = done.stdout.strip()
    assert "\n  until         2" in done.stderr
    row = node.serves("brief")
    assert 7_000 < row["until"] - time.time() <= 7_201
    assert "until " in node.hardline("ls").stdout
    assert node.hardline("change", "brief", "--for", "forever").returncode == 0
    assert node.serves("brief")["until"] is None
    assert node.hardline("change", "brief", "--for", "2s").returncode == 0
    assert curl(url).status == 200 or "brief" not in names(node)
    wait_until(lambda: "brief" not in names(node), "its time is over")
    assert curl(url).status == 503
    assert (node.services / "brief.ini.removed").exists()
    back = node.hardline("share", str(web.port))
    assert back.stdout.strip() == url
    assert node.serves("brief")["until"] is None
    assert node.hardline("share", str(web.port), "--for", "1h").stdout.strip() == url
    assert node.serves("brief")["until"] is not None, "for less long, since that is what was asked for"
    assert node.hardline("remove", "brief", "--forget-url").returncode == 0


@pytest.mark.parametrize("wrong", ["0s", "2", "h", "-1h", "1y", "forever", "99999999d"])
def test_a_time_that_is_none_is_wrong(node: Node, wrong: str) -> None:
    done = node.hardline("share", "8000", f"--for={wrong}")
    assert (done.returncode, done.stdout) == (2, "")
    assert "expected a number with d, h, m or s" in done.stderr


def test_row_16_after_a_restart_what_ended_meanwhile_is_served_to_nobody(web: RunningOrigin, tmp_path) -> None:
    with Node(tmp_path / "host") as host:
        process, once = started(host, "share", str(web.port), "--once", "--name", "once")
        brief = host.hardline("share", f"http://localhost:{web.port}", "--for", "1d", "--name", "brief").stdout.strip()
        host.share("stays", web.port)
        stays = host.url("stays")
        host.kill()
        process.communicate(timeout=60)
        assert process.returncode == 1, "the daemon has ended, and says so"
        file = host.services / "brief.ini"
        lines = [line for line in file.read_text().splitlines() if "until" not in line]
        file.write_text("\n".join(lines).replace("[Access]", "[Access]\nuntil = 2026-01-01T00:00:00Z") + "\n")
        host.start()
        assert curl(stays).status == 200
        for url in (once, brief):
            assert curl(url).status == 503, "not for a moment"
        wait_until(lambda: names(host) == ["stays"], "they are put aside")


def test_what_is_once_removed_ends_the_command(node: Node, web: RunningOrigin) -> None:
    process, _ = started(node, "share", str(web.port), "--once", "--name", "guest")
    assert node.hardline("remove", "guest").returncode == 0
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "guest is not shared any more" in said


def test_a_url_that_is_forgotten_never_comes_back(node: Node, web: RunningOrigin) -> None:
    first = node.hardline("share", str(web.port), "--name", "old").stdout
    assert node.hardline("remove", "old", "--forget-url").returncode == 0
    assert not [one for one in os.listdir(node.services) if one.startswith("old.")]
    second = node.hardline("share", str(web.port), "--name", "old").stdout
    assert second != first
    assert node.hardline("remove", "old").returncode == 0
    done = node.hardline("remove", "old", "--forget-url")
    assert (done.returncode, done.stderr) == (0, ""), "of what was removed before, too"
    assert node.hardline("remove", "old", "--forget-url").returncode != 0
    assert node.hardline("share", str(web.port), "--name", "old").stdout not in (first, second)
    assert node.hardline("remove", "old", "--forget-url").returncode == 0
    assert node.hardline("remove", "../old", "--forget-url").returncode != 0


def test_hidden_names_and_a_host_are_said_when_it_is_shared(node: Node, web: RunningOrigin, tmp_path) -> None:
    (tmp_path / ".env").write_text("secret")
    shown = node.hardline("share", str(tmp_path), "--hidden").stdout.strip()
    assert curl(f"{shown}.env").text == "secret"
    assert node.hardline("share", "8000", "--hidden").returncode == 2
    assert node.hardline("share", str(tmp_path), "--host", "x").returncode == 2
    url = node.hardline("share", str(web.port), "--host", "wiki.lan", "--name", "wiki").stdout.strip()
    assert "wiki.lan" in curl(f"{url}echo").text
    wrong = node.hardline("share", "8001", "--host", "a b")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "8001" not in names(node)
