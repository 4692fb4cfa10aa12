"""Tab behind `hardline open`: what the daemon that is asked there knows, in every shell; nothing where none runs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import needs
from tests.support.node import SCRIPTS, Node

COMPLETIONS = Path(__file__).parents[1] / "hardline" / "cli" / "completions"
ELSEWHERE = "http://bb89bb334524f65f872eb6c1fc21edd0f0c42ec3.localhost:7009/"
HOSTILE = "$(touch owned)"  # what a shell would run if it read it

BASH = """
    source "$1"; shift
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"
    _shtab_hardline; printf '%s\\n' "${COMPREPLY[@]}"
"""
ZSH = """
    compdef() { : }
    compadd() { print -rl -- $names }
    eval "$(<$1)"
    typeset -A opt_args; opt_args=(--datadir $2)
    _hardline_$3
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = Node(tmp_path_factory.mktemp("n"), settings="[LAN]\nenabled = no\n")
    for name in ("photos", "printer"):
        node.share(name, 8000)
    node.share(HOSTILE, 8001)
    node.write("broken", "[Service]\nport = http\n")
    with node:
        assert node.hardline("name", ELSEWHERE, "nas").returncode == 0
        yield node


def told(directory: Path, *command: str | Path) -> list[str]:
    """What is printed with the program on the path; nothing may be said besides, and nothing run."""
    environment = {**os.environ, "PATH": f"{SCRIPTS}:{os.environ['PATH']}", "HOME": str(directory)}
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, timeout=60, env=environment, cwd=directory, check=False
    )
    assert done.stderr == ""
    assert not (directory / "owned").exists()
    return sorted(done.stdout.split())


def in_bash(directory: Path, *words: str) -> list[str]:
    return told(directory, "bash", "-c", BASH, "bash", COMPLETIONS / "hardline", *words)


def in_fish(directory: Path, line: str) -> list[str]:
    script = f"source {COMPLETIONS / 'hardline.fish'}; complete -C '{line}' | string replace -r '\\t.*' ''"
    return told(directory, "fish", "--no-config", "-c", script)


@needs.tools("bash")
def test_bash_completes_what_the_daemon_knows(node: Node, tmp_path: Path) -> None:
    at = "hardline", "--datadir", str(node.data)
    assert in_bash(tmp_path, *at, "open", "") == ["broken", "nas", "photos", "printer"]
    assert in_bash(tmp_path, *at, "ping", "p") == ["photos", "printer"]
    assert in_bash(tmp_path, *at, "pause", "") == ["broken", "photos", "printer"]
    assert in_bash(tmp_path, *at, "forget", "") == ["nas"]
    assert in_bash(tmp_path, str(SCRIPTS / "hardline"), *at[1:], "forget", "n") == ["nas"], "by its whole path, too"


@needs.tools("zsh")
def test_zsh_completes_what_the_daemon_knows(node: Node, tmp_path: Path) -> None:
    for kind, names in (("mine", ["broken", "photos", "printer"]), ("named", ["nas"])):
        assert told(tmp_path, "zsh", "-f", "-c", ZSH, "zsh", COMPLETIONS / "_hardline", node.data, kind) == names
    script = (COMPLETIONS / "_hardline").read_text()
    assert ':_hardline_known"' in script.partition("_shtab_hardline_open_options=(")[2].partition("\n)")[0]


@needs.tools("fish")
def test_fish_completes_what_the_daemon_knows(node: Node, tmp_path: Path) -> None:
    at = f"hardline --datadir {node.data}"
    assert in_fish(tmp_path, f"{at} open ") == ["broken", "nas", "photos", "printer"]
    assert in_fish(tmp_path, f"{at} revoke p") == ["photos", "printer"]
    assert in_fish(tmp_path, f"{at} forget ") == ["nas"]


@needs.tools("bash", "fish")
def test_where_no_daemon_runs_nothing_is_said(tmp_path: Path) -> None:
    assert in_bash(tmp_path, "hardline", "--datadir", str(tmp_path), "open", "") == []
    assert in_fish(tmp_path, f"hardline --datadir {tmp_path} open ") == []


def test_a_name_that_a_shell_would_read_as_more_than_a_word_is_left_out(node: Node) -> None:
    assert HOSTILE in {row["name"] for row in node.status()["services"]}
    assert node.hardline("ls", "--names", "mine").stdout.split() == ["broken", "photos", "printer"]
