"""What is made of the command line: completions that shells take, manuals that mandoc finds nothing wrong with."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from hardline.cli import COMMANDS, main
from tests.support import needs

ROOT = Path(__file__).parent.parent
COMPLETIONS = ROOT / "hardline" / "cli" / "completions"
MADE_BY = (3, 11)  # another Python words some of it differently


def generator() -> ModuleType:
    """scripts/generate.py, which is no part of the program."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "scripts" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_made_is_as_it_would_be_made_now(monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.version_info[:2] != MADE_BY:
        needs.cannot(f"Python {'.'.join(map(str, MADE_BY))} and another one")
    monkeypatch.setenv("COLUMNS", "76")
    monkeypatch.setenv("NO_COLOR", "1")
    made = generator()
    for name, text in made.generated():
        assert made.is_same((ROOT / name).read_text(), text), f"{name} is old: make generated"


@pytest.mark.parametrize(("shell", "name"), [("bash", "hardline"), ("zsh", "_hardline"), ("fish", "hardline.fish")])
def test_the_command_prints_what_completes_it(shell: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert capsys.readouterr().out == (COMPLETIONS / name).read_text()


def told(*command: str | Path) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    return done.stdout


BEGIN_SO = sorted(name for name in COMMANDS if name.startswith("re"))


@needs.tools("bash")
def test_row_25_bash_completes_commands_and_their_options() -> None:
    script = """
        source "$1"; shift
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"
        _shtab_hardline; printf '%s\\n' "${COMPREPLY[@]}"
    """
    completed = ("bash", "-c", script, "bash", COMPLETIONS / "hardline", "hardline")
    assert sorted(told(*completed, "re").split()) == BEGIN_SO
    assert "--once" in told(*completed, "share", "--o").split()


@needs.tools("fish")
def test_row_25_fish_completes_commands_and_their_options() -> None:
    script = f"source {COMPLETIONS / 'hardline.fish'}; complete -C"
    found = told("fish", "--no-config", "-c", f"{script} 'hardline re'").splitlines()
    assert sorted(line.split("\t")[0] for line in found) == BEGIN_SO
    assert "--once" in told("fish", "--no-config", "-c", f"{script} 'hardline share --o'")


@needs.tools("zsh")
def test_row_25_zsh_takes_it_and_knows_every_command() -> None:
    script = """
        compdef() { registered=$3 }
        _describe() { print -rl -- ${(P)2} }
        eval "$(<$1)" && print -r -- $registered && _shtab_hardline_commands
    """
    name, *commands = told("zsh", "-f", "-c", script, "zsh", COMPLETIONS / "_hardline").splitlines()
    assert name == "hardline"
    assert sorted(line.partition(":")[0] for line in commands) == sorted(COMMANDS)


@needs.tools("mandoc")
@pytest.mark.parametrize("name", ["hardline.1", "hardlined.1"])
def test_row_25_mandoc_finds_nothing_wrong(name: str) -> None:
    assert told("mandoc", "-Tlint", ROOT / "man" / name) == ""
    text = told("mandoc", "-Tascii", ROOT / "man" / name).replace("\b", "")
    assert "SEE ALSO" in text.replace("SSEEEE AALLSSOO", "SEE ALSO")
