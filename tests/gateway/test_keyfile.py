"""The file of keys on a disk: who may read it, and two commands at once."""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from pathlib import Path

import pytest

from hardline.errors import ConfigError, WrongArgument
from hardline.gateway import keyfile
from hardline.gateway.keyfile import FILE_NAME, KeyFile
from tests.support import needs

DAY = 86_400


def test_what_is_added_at_once_is_all_there(tmp_path: Path) -> None:
    """Each reads the file and writes it whole."""
    adding = [threading.Thread(target=keyfile.add, args=(tmp_path, f"k{number}", 0, DAY, ())) for number in range(20)]
    for thread in adding:
        thread.start()
    for thread in adding:
        thread.join()
    assert {key.name for key in keyfile.read(tmp_path).all} == {f"k{number}" for number in range(20)}
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_what_an_owner_wrote_into_it_stays(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("# mine\nno key")
    (tmp_path / FILE_NAME).chmod(0o644)
    keyfile.add(tmp_path, "one", 0, DAY, ("nas",))
    keyfile.add(tmp_path, "two", 0, DAY, ())
    keyfile.remove(tmp_path, "one")
    lines = (tmp_path / FILE_NAME).read_text().splitlines()
    assert lines[:2] == ["# mine", "no key"]
    assert [line.split()[0] for line in lines[2:]] == ["two"]
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600


@needs.root()
def test_what_root_makes_is_the_daemons_who_has_to_read_it() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as made:  # where other users get to
        os.chown(made, 1234, 1234)
        keyfile.add(Path(made), "one", 0, DAY, ())
        assert {path.stat().st_uid for path in Path(made).iterdir()} == {1234}


def test_what_cannot_be_written_or_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no data directory"):
        keyfile.add(tmp_path / "away", "one", 0, DAY, ())
    with pytest.raises(WrongArgument, match="there is no key one"):
        keyfile.remove(tmp_path, "one")
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(ConfigError, match="plain file"):
        keyfile.add(tmp_path, "one", 0, DAY, ())


def test_a_file_that_cannot_be_read_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyfile, "_EVERY", 0.0)

    async def story() -> None:
        file = KeyFile(tmp_path)
        assert (await file.keys()).all == ()
        said = keyfile.add(tmp_path, "one", 0, DAY, ())
        assert (await file.keys()).find(said) is not None
        path = tmp_path / FILE_NAME
        text = path.read_text()
        path.write_bytes(b"#" * (2 << 20))
        assert (await file.keys()).find(said) is not None, "it is too big to be read"
        path.write_text(text)
        assert (await file.keys()).find(said) is not None
        path.unlink()
        assert (await file.keys()).find(said) is None

    asyncio.run(story())
