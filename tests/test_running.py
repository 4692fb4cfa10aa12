"""Notes of hardlineds that run, where others of the machine may write: nothing is followed, waited for or believed."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from hardline.places import runtime_directory
from hardline.running import leave_note, of_users, running
from tests.support import needs

pytestmark = needs.linux()

_LIST = "from hardline.running import running; print([one.datadir for one in running()])"


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this process leaves its note, whoever it is."""
    directory = tmp_path / "hardline"
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(directory))
    return directory


def seen() -> list[str]:
    return [one.datadir for one in running() if one.pid == os.getpid()]


def test_a_note_is_seen_while_it_is_there(notes: Path) -> None:
    note = leave_note(Path("/var/lib/mine"))
    assert note is not None
    assert (note.parent, stat.S_IMODE(note.stat().st_mode)) == (notes, 0o644)
    assert seen() == ["/var/lib/mine"]
    note.unlink()
    assert seen() == []


@needs.root()
def test_root_sees_those_that_users_run_for_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardline.running._USERS", tmp_path)
    for user, writable in (("54321", 0o700), ("54322", 0o777)):
        place = tmp_path / user / "hardline"
        place.mkdir(parents=True)
        place.chmod(writable)
        asleep = subprocess.Popen(["sleep", "100"], user=int(user), group=int(user))
        try:
            note = place / f"{asleep.pid}.node"
            note.write_text("/home/ada/hardline\n")
            os.chown(note, int(user), int(user))
            seen = [(one.pid, one.user, one.user_name, one.datadir) for one in of_users()]
            expected = [(asleep.pid, int(user), user, "/home/ada/hardline")]
            assert seen == (expected if writable == 0o700 else []), "where others write nobody's word counts"
        finally:
            asleep.kill()
            asleep.wait()


def test_a_link_in_the_place_of_the_note_is_not_followed(notes: Path, tmp_path: Path) -> None:
    notes.mkdir()
    precious = tmp_path / "precious"
    precious.write_text("mine")
    precious.chmod(0o600)
    (notes / f"{os.getpid()}.node").symlink_to(precious)
    assert leave_note(Path("/d")) is not None
    assert (precious.read_text(), stat.S_IMODE(precious.stat().st_mode)) == ("mine", 0o600)


def test_a_pipe_in_the_place_of_a_note_is_not_waited_for(notes: Path) -> None:
    notes.mkdir()
    os.mkfifo(notes / "1.node")
    done = subprocess.run([sys.executable, "-c", _LIST], capture_output=True, text=True, timeout=60, check=True)
    assert str(notes) not in done.stdout


def test_a_directory_in_which_others_write_is_not_used(notes: Path) -> None:
    note = leave_note(Path("/d"))
    assert note is not None
    notes.chmod(0o777)
    assert seen() == []
    note.unlink()
    assert leave_note(Path("/d")) is None


@needs.root()
def test_a_directory_of_somebody_else_is_not_used(notes: Path) -> None:
    note = leave_note(Path("/d"))
    assert note is not None
    os.chown(notes, 1000, 1000)
    assert seen() == []
    note.unlink()
    assert leave_note(Path("/d")) is None


@pytest.mark.parametrize("named", ["relative", "", "/" + "a" * 300])
def test_a_runtime_directory_that_cannot_be_one_is_none(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    """Asked whether it is there, the system gives an error instead of an answer: a node must not end of it."""
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", named)
    monkeypatch.setattr(os, "geteuid", lambda: 54_321)
    assert runtime_directory(54_321) == Path(named if named.startswith("/") else "/run/user/54321")
    assert seen() == []
    assert leave_note(Path("/d")) is None
