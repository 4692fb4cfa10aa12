"""Writes what is made of the command line, below this tree or DIR: completions for shells, and manuals.

    python scripts/generate.py [DIR]        tests/test_generated.py says when it is due

Source: man(7), as mandoc has it; what bash, zsh and fish look for is shtab's to know.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import textwrap
from collections.abc import Iterator
from datetime import date
from pathlib import Path

os.environ |= {"COLUMNS": "76", "NO_COLOR": "1"}  # before argparse asks how wide a line is

import shtab
from argparse_manpage.manpage import Manpage

from hardline import hardlined
from hardline.cli.arguments import whole_parser

ROOT = Path(__file__).parent.parent
COMPLETIONS = {"bash": "hardline", "zsh": "_hardline", "fish": "hardline.fish"}
_FILES = {"TARGET": shtab.FILE, "FILE": shtab.FILE, "DIR": shtab.DIRECTORY}
_NAMES = {
    "mine": "change pause resume remove invite who revoke inspect",
    "known": "open ping phone log doctor name nc forward",
    "named": "forget",
}
# What prints them is asked where the line has been typed, of the daemon that is named there.
_ASK = {
    "bash": """
_hardline_names() {  # KIND WORD
  local at=() number
  for ((number = 1; number < COMP_CWORD; number++)); do
    [[ ${COMP_WORDS[number]} == --datadir ]] && at=(--datadir "${COMP_WORDS[number + 1]}")
  done
  compgen -W "$("${COMP_WORDS[0]}" ls --names "$1" "${at[@]}" 2>/dev/null </dev/null)" -- "$2"
}
_hardline_mine() { _hardline_names mine "$1"; }
_hardline_known() { _hardline_names known "$1"; }
_hardline_named() { _hardline_names named "$1"; }
""",
    "zsh": """
_hardline_names() {  # KIND
  local -a at names
  [[ -n ${opt_args[--datadir]} ]] && at=(--datadir ${(Q)opt_args[--datadir]})
  names=(${(f)"$(hardline ls --names $1 $at 2>/dev/null </dev/null)"})
  compadd -a names
}
_hardline_mine() { _hardline_names mine }
_hardline_known() { _hardline_names known }
_hardline_named() { _hardline_names named }
""",
    "fish": """
function _hardline_names  # KIND
  set -l at
  set -l words (commandline -opc)
  if set -l place (contains -i -- --datadir $words)
    set at --datadir $words[(math $place + 1)]
  end
  $words[1] ls --names $argv[1] $at 2>/dev/null </dev/null
end
""",
}
_LONGEST = 80  # bytes of a line of a manual's source
_DATE = re.compile(r"^(\.TH \S+ \S+ )\"([^\"]*)\"")

_CODES = """
.SH EXIT STATUS
.TP
0
done
.TP
1
failed: what is said on the standard error tells why
.TP
2
wrong arguments
.TP
3
no hardlined runs on that data directory
.TP
4
ping: nobody could be reached
"""
_FILES_OF_IT = """
.SH FILES
Of a user
.IR ~/.config/hardline/services/NAME.ini ,
.I ~/.config/hardline/hardline.ini
and
.IR ~/.local/share/hardline ;
of root
.IR /etc/hardline/services/NAME.ini ,
.I /etc/hardline/hardline.ini
and
.IR /var/lib/hardline .
"""


def generated() -> Iterator[tuple[str, str]]:
    """Every file that there should be: its path below the tree, and what is in it."""
    for shell, name in COMPLETIONS.items():
        script = shtab.complete(_with_names(_with_files(whole_parser())), shell=shell)
        yield f"hardline/cli/completions/{name}", "".join(f"{line.rstrip()}\n" for line in script.splitlines())
    yield "man/hardline.1", _manual(whole_parser(), "share services, and open those of others", _CODES, "hardlined")
    yield "man/hardlined.1", _manual(hardlined.parser(), "the daemon that shares services", "", "hardline")


def is_same(one: str, other: str) -> bool:
    """But for the day on which a manual was made."""
    return _DATE.sub(r"\1", one) == _DATE.sub(r"\1", other)


def _with_files(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in set(action.choices.values()):
                _with_files(each)
        elif isinstance(action.metavar, str) and action.metavar in _FILES:
            action.complete = _FILES[action.metavar]  # type: ignore[attr-defined]
    return parser


def _with_names(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    commands = next(one for one in parser._actions if isinstance(one, argparse._SubParsersAction)).choices
    for kind, names in _NAMES.items():
        how = {"bash": f"_hardline_{kind}", "zsh": f"_hardline_{kind}", "fish": f"(_hardline_names {kind})"}
        for name in names.split():
            first = next(one for one in commands[name]._actions if not one.option_strings)
            first.complete = {**how, "preamble": _ASK}
    return parser


def _manual(parser: argparse.ArgumentParser, what: str, more: str, also: str) -> str:
    parser.man_short_description = what  # type: ignore[attr-defined]
    data = {"date": date.today().isoformat(), "manual_title": "hardline", "project_name": "hardline"}
    text = str(Manpage(parser, _data=data)).replace("\n.SH\nPOSITIONAL ARGUMENTS\n", "\n.SH COMMANDS\n")
    text = re.sub(r"\\fBhardline\\fR \\fI\\,(\S+)\\/\\fR", r"\\fBhardline \1\\fR", text)
    text = re.sub(r"\.SH COMMAND \\fI\\,'([^']+)'\\/\\fR", r".SH \1", text)
    text = re.sub(r"\.SH OPTIONS \\fI\\,'[^']+'\\/\\fR\n", "", text)
    text = re.sub(r"^usage: (.*?)\n\n", r".nf\n\1\n.fi\n\n", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"\n+(?=\.)", "\n", text)  # before a macro there is room anyway
    text = re.sub(r"\n\n+", "\n.PP\n", text.strip("\n"))
    lines = [wrapped for line in text.splitlines() for wrapped in _wrapped(line)]
    whole = "\n".join(lines) + (more or "\n") + _FILES_OF_IT.lstrip("\n") + f".SH SEE ALSO\n.BR {also} (1)\n"
    return _DATE.sub(lambda found: found[0].replace("\\-", "-"), whole)


def _wrapped(line: str) -> list[str]:
    if line.startswith("."):
        return [line]
    short = line.startswith(" ") or len(line.encode()) <= _LONGEST
    lines = [line] if short else textwrap.wrap(line, _LONGEST - 10, break_long_words=False, break_on_hyphens=False)
    return [f"\\&{one}" if one.startswith(("'", ".")) else one for one in lines]  # or it would be a macro


def main(place: Path) -> None:
    """Write those that are not as they should be."""
    for name, text in generated():
        file = place / name
        if not file.exists() or not is_same(file.read_text(), text):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            sys.stdout.write(f"{file}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
