"""`hardline relay --use`: one relay more in the node's own file, and everything else as it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hardline.errors import ConfigError, WrongArgument
from hardline.settings.node import parse_node
from hardline.settings.relays import use_relay

ONE, TWO = f"relay.example:443#{'ab' * 20}", f"[2001:db8::7]:7008#{'cd' * 20}"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "[Relay]\nuse = {}\n"),
        ("", "[Relay]\nuse = {}\n"),
        ("# mine\n[Node]\nlocalport = 7010", "# mine\n[Node]\nlocalport = 7010\n\n[Relay]\nuse = {}\n"),
        ("[Relay]\nenabled = yes\n[Log]\n", "[Relay]\nuse = {}\nenabled = yes\n[Log]\n"),
        (
            f"[Relay]\n# why\nuse = {TWO}\nenabled = yes\n",
            f"[Relay]\n# why\nuse = {TWO}\n    {{}}\nenabled = yes\n",
        ),
        (f"[Relay]\nuse =\n    {TWO}\n", f"[Relay]\nuse =\n    {{}}\n    {TWO}\n"),
    ],
)
def test_it_is_written_once(tmp_path: Path, before: str | None, after: str) -> None:
    file = tmp_path / "hardline" / "hardline.ini"
    if before is not None:
        file.parent.mkdir()
        file.write_text(before)
        file.chmod(0o640)
    assert use_relay(file, f" {ONE}\n")
    assert file.read_text() == after.format(ONE)
    assert file.stat().st_mode & 0o777 == (0o600 if before is None else 0o640)
    assert [str(one) for one in parse_node(file.read_text(), str(file)).relay.use].count(ONE) == 1
    assert not use_relay(file, ONE)
    assert file.read_text() == after.format(ONE)
    assert os.listdir(file.parent) == ["hardline.ini"]


@pytest.mark.parametrize("line", ["", "relay.example:443", f"relay.example#{'ab' * 20}", "a:1#xyz", f"{ONE},{TWO}"])
def test_what_is_no_relay_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(WrongArgument, match="host:port#KEYHASH"):
        use_relay(tmp_path / "hardline.ini", line)
    assert not list(tmp_path.iterdir())


def test_a_file_with_a_mistake_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "hardline.ini"
    file.write_text("[Node]\nlocalport = many\n")
    with pytest.raises(ConfigError, match="localport"):
        use_relay(file, ONE)
    assert file.read_text() == "[Node]\nlocalport = many\n"
