"""Where no hardlined runs: a terminal becomes it until Ctrl-C, a pipe is told, and others that run are named."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import needs
from tests.support.node import SCRIPTS, free_port
from tests.support.programs import curl
from tests.support.typed import Typed
from tests.support.waiting import wait_until

pytestmark = [needs.root(), needs.linux(), needs.tools("unshare", "curl")]

# A user who is not root, on a computer where nobody else's hardlined has left a note.
_ALONE = 'mount -t tmpfs none /run && exec unshare --user --map-user=1000 "$@"'


class Home:
    """A user's home, with settings that reach nobody."""

    def __init__(self, place: Path) -> None:
        self.place, self.localport = place, free_port()
        self.shared = place / "photos"
        self.shared.mkdir()
        (self.shared / "a.txt").write_text("found")
        config = place / ".config" / "hardline" / "hardline.ini"
        config.parent.mkdir(parents=True)
        lines = ["[Node]", f"localport = {self.localport}", f"p2pport = {free_port()}", "bind = 127.0.0.1"]
        config.write_text(
            "\n".join([*lines, "[LAN]", "enabled = no", "[DHT]", "enabled = no", "[UPnP]", "enabled = no"])
        )
        (place / "run").mkdir()

    def command(self, *words: str) -> list[str]:
        return ["unshare", "--mount", "sh", "-c", _ALONE, "sh", *words]

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        return {**kept, "HOME": str(self.place), "XDG_RUNTIME_DIR": str(self.place / "run"), "TERM": "dumb"}

    def piped(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = self.command(str(SCRIPTS / "hardline"), *words)
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("h"))  # short: a socket's path has 108 bytes


@pytest.fixture
def typed(home: Home) -> Iterator[Typed]:
    command = home.command(str(SCRIPTS / "hardline"), "share", str(home.shared))
    running = Typed(command, home.environment)
    yield running
    running.close()


def test_row_24_a_terminal_becomes_it_until_ctrl_c_and_then_there_is_none(home: Home, typed: Typed) -> None:
    wait_until(lambda: typed.says("  who  "), "it is shared")
    assert "no hardlined runs, so this terminal is it until Ctrl-C; to keep it running: hardline service" in typed.text
    url = next(line for line in typed.text.splitlines() if line.startswith("http://"))
    assert curl(f"{url}a.txt").text == "found"
    again = home.piped("share", str(home.shared))
    assert (again.returncode, again.stdout.strip()) == (0, url), "others ask it as any hardlined"
    elsewhere = home.piped("ls", "--datadir", str(home.place / "elsewhere"))
    assert elsewhere.returncode == 3
    there = home.place / ".local" / "share" / "hardline"
    assert f"one runs on another data directory; to ask that one: --datadir {there}\n" in elsewhere.stderr
    typed.type(b"\x03")
    assert typed.ended() == 0
    assert "Traceback" not in typed.text
    assert not os.listdir(home.place / "run" / "hardline")
    piped = home.piped("share", str(home.shared))
    assert (piped.returncode, piped.stdout) == (3, "")
    assert "no hardlined runs on the data directory" in piped.stderr


def test_row_24_the_systems_daemon_is_named(home: Home) -> None:
    """Its note is in /run/hardline; process 1 stands for it, which belongs to whoever wrote the note."""
    leave = "mount -t tmpfs none /run && mkdir /run/hardline && echo /var/lib/hardline > /run/hardline/1.node"
    script = f'{leave} && exec unshare --user --map-user=1000 "$@"'
    words = ["unshare", "--mount", "sh", "-c", script, "sh", str(SCRIPTS / "hardline"), "share", str(home.shared)]
    typed = Typed(words, home.environment)
    try:
        assert typed.ended() == 3
        assert "--datadir /var/lib/hardline" in typed.text
        assert "so this terminal is it" not in typed.text
    finally:
        typed.close()


def test_what_cannot_be_done_ends_the_terminals_daemon_with_its_reason(home: Home) -> None:
    taken = home.command(str(SCRIPTS / "hardline"), "share", str(home.shared), "--name", "///")
    typed = Typed(taken, home.environment)
    try:
        code = typed.ended()
        assert code == 2, typed.text
        assert "is no name for a file" in typed.text
        assert "Traceback" not in typed.text
    finally:
        typed.close()
