"""`hardline` typed where its surroundings are odd: no stdin, no home, a daemon that is deaf, words that steer."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from hardline import asking
from hardline.backup.files import MADE, note_made
from hardline.cli import main
from hardline.control import ControlServer
from hardline.files import as_owner
from hardline.target import refuse_everything
from tests.support import needs

STEERS = "\x1b[2J"
_OTHER = 54_321  # a user


@pytest.fixture
def deaf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The data directory of a daemon that was stopped: it is connected to, and never answers."""
    monkeypatch.setattr(asking, "REQUEST_TIMEOUT", 0.2)
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(data / asking.SOCKET_NAME))
        listening.listen(8)
        yield data


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A directory that every user gets to."""
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.mark.parametrize("words", [["backup", "{0}/copy"], ["restore", "{0}/copy"], ["gateway", "user", "ada"]])
def test_without_a_stdin_there_is_no_passphrase(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    services = tmp_path / "services"
    services.mkdir()
    (services / "web.ini").write_text("[Service]\nservice = 127.0.0.1\nport = 8000\n")
    monkeypatch.setattr("sys.stdin", None)
    if words[0] == "restore":
        (tmp_path / "copy").write_bytes(b"no backup")
    places = [] if words[0] == "gateway" else ["--datadir", str(tmp_path / "d"), "--servicedir", str(services)]
    assert main([*(word.format(tmp_path) for word in words), *places]) in (1, 2)
    assert capsys.readouterr().err.startswith("hardline: error: ")


@pytest.mark.parametrize("words", [["ls", "--datadir", f"/x/{STEERS}"], ["share", "8000", STEERS], [f"--{STEERS}"]])
def test_what_was_typed_steers_no_terminal_when_it_is_repeated(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) != 0
    told = capsys.readouterr().err
    assert r"\x1b[2J" in told
    assert STEERS not in told


def test_what_a_daemon_of_another_version_does_not_tell_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is asked: a key that is not there ends no command with a traceback."""

    async def told(request: Mapping[str, object]) -> object:
        return {"title": "x"}

    async def story() -> None:
        server = ControlServer(dict.fromkeys(("status", "find", "change", "invite", "who", "door", "key"), told))
        await server.open(tmp_path)
        try:
            for words in (
                ["key"],
                ["open", "x"],
                ["pause", "x"],
                ["invite", "x", "--to", "a"],
                ["who", "x"],
                ["nc", "x"],
            ):
                assert await asyncio.to_thread(main, [*words, "--datadir", str(tmp_path)]) == 1
                assert "is of another version: it does not tell" in capsys.readouterr().err
        finally:
            await server.aclose()

    asyncio.run(story())


def test_what_a_daemon_says_steers_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Root may ask one of a user whom he does not trust."""

    async def told(request: Mapping[str, object]) -> object:
        words = dict.fromkeys(("name", "title", "target", "who"), STEERS)
        return words | dict.fromkeys(("url", "link"), "http://x.localhost:7009/") | {"until": 0, "waits": None}

    async def story() -> None:
        server = ControlServer(dict.fromkeys(("change", "invite", "accept", "name"), told))
        await server.open(tmp_path)
        try:
            for words in (
                ["change", "x"],
                ["pause", "x"],
                ["invite", "x", "--to", "a"],
                ["accept", "x"],
                ["name", "x", "y"],
            ):
                assert await asyncio.to_thread(main, [*words, "--datadir", str(tmp_path)]) == 0
                assert STEERS not in "".join(capsys.readouterr())
        finally:
            await server.aclose()

    asyncio.run(story())


def test_a_daemon_that_is_deaf_is_told_from_none(deaf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", "--datadir", str(deaf)]) == 1
    told = capsys.readouterr().err
    assert "gave no answer" in told
    assert "end it and start it again" in told


def test_nothing_is_restored_below_a_daemon_that_is_deaf(deaf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--datadir", str(deaf), "--servicedir", str(deaf / "services")]
    (deaf / "copy").write_bytes(b"")
    assert main(["restore", str(deaf / "copy"), *where]) == 1
    assert "gave no answer" in capsys.readouterr().err


def test_a_backup_does_not_guess_what_a_daemon_that_is_deaf_shares(
    deaf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["backup", str(deaf / "copy"), "--datadir", str(deaf)]) == 1
    assert "gave no answer" in capsys.readouterr().err
    assert not (deaf / "copy").exists()


def test_too_many_who_wait_for_a_deaf_daemon_are_told(deaf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    waiting = []
    try:
        for _ in range(100):
            waiting.append(socket.socket(socket.AF_UNIX))
            waiting[-1].setblocking(False)
            waiting[-1].connect(str(deaf / asking.SOCKET_NAME))
    except BlockingIOError:
        assert main(["ls", "--datadir", str(deaf)]) == 1
        assert "too many wait for an answer" in capsys.readouterr().err
    else:
        pytest.skip("this system has no limit of who waits")
    finally:
        for one in waiting:
            one.close()


def test_who_has_no_home_is_told_and_none_is_made_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nobody(user: int) -> pwd.struct_passwd:
        raise KeyError(user)

    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setattr(os, "geteuid", lambda: 54_321)
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.chdir(tmp_path)
    refuse_everything(str(tmp_path))
    assert main(["service", "install"]) == 1
    assert "has no home directory" in capsys.readouterr().err


@needs.root()
def test_what_root_writes_for_another_user_is_his_and_goes_no_further_than_he(open_path: Path) -> None:
    precious, data = open_path / "precious", open_path / "data"
    data.mkdir()
    os.chown(data, _OTHER, _OTHER)
    for name in ("gateway.keys", MADE):
        (data / name).symlink_to(precious)
    with pytest.raises(PermissionError), as_owner(data):
        precious.write_text("")
    with as_owner(data / "new" / "below"):
        (data / "made").touch()
    assert ((data / "made").stat().st_uid, os.geteuid(), os.getegid()) == (_OTHER, 0, 0)
    note_made(data)
    assert main(["gateway", "key", "add", "nas", "--datadir", str(data)]) == 1
    assert not precious.exists()
