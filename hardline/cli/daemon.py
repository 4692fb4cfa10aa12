"""Asking the daemon that runs on a data directory, and talking about it to whoever typed the command."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from hardline import terminal

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

ANOTHER_VERSION = "the hardlined that runs is of another version"
RESTART = "restart it"

_NAMED = 3  # others


def add_datadir(parser: terminal.Parser) -> None:
    """The argument by which it is told which daemon."""
    parser.add_argument(
        "--datadir",
        type=terminal.whole_path,
        metavar="DIR",
        default=argparse.SUPPRESS,
        help="data directory of the daemon to talk to",
    )


def ask(options: argparse.Namespace, do: str, *, patience: float | None = None, **arguments: object) -> Any:
    """What the daemon answers.  Raises NoDaemon, which names others that run, and what it could not do."""
    from hardline.asking import ask as asked
    from hardline.errors import NoDaemon

    try:
        return asked(place(options), do, patience=patience, **arguments)
    except NoDaemon as nobody:
        raise NoDaemon(nobody.message, others(options) or nobody.hint) from None


def follow(
    options: argparse.Namespace, do: str, *, patience: float | None = None, **arguments: object
) -> Generator[Any, None, None]:
    """The same, and then news as they come, as asking.follow has them."""
    from hardline.asking import follow as followed

    return followed(place(options), do, patience=patience, **arguments)


def place(options: argparse.Namespace) -> Path:
    """Where the daemon that is meant is asked: the one of the data directory, or, where that has none and nobody has
    named it, the computer's, for who may ask it."""
    from hardline.asking import SOCKET_NAME, is_served
    from hardline.places import SYSTEM

    mine = datadir(options)
    if getattr(options, "datadir", None) is None and os.geteuid() and os.access(SYSTEM / SOCKET_NAME, os.W_OK):
        return mine if is_served(mine) else SYSTEM
    return mine


def others(options: argparse.Namespace) -> str:
    """Which other daemons run, and how they are reached; "" where none does."""
    from hardline.asking import how_to_join
    from hardline.running import running
    from hardline.showable import as_escapes

    ours, user = os.path.realpath(datadir(options)), os.geteuid()
    lines = list[str]()
    for one in running():
        flag = f"--datadir {as_escapes(one.datadir)}"
        if os.path.realpath(one.datadir) == ours or len(lines) == _NAMED:
            continue
        if user in (0, one.user):
            lines.append(f"one runs on another data directory; to ask that one: {flag}")
        else:
            lines.append(f"one of the user {one.user_name} runs; to ask that one: sudo hardline {flag} …")
            if joining := how_to_join():
                lines[-1] += f"; {joining}"
    return "\nhardline: hint: ".join(lines)


def datadir(options: argparse.Namespace) -> Path:
    """Of the daemon that is meant."""
    from pathlib import Path

    from hardline.places import default_places

    named: str | None = getattr(options, "datadir", None)
    return Path(named) if named else default_places().datadir


def write_told(text: str) -> None:
    """Write what the daemon said as a line of the result: root may ask one of a user whom he does not trust."""
    from hardline.showable import as_escapes

    terminal.write(as_escapes(text))


def talk(text: str) -> None:
    """Say something that is no result."""
    terminal.say("hardline", text)
