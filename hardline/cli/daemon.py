"""Asking the daemon that runs on a data directory, and talking about it to whoever typed the command."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from hardline import terminal

if TYPE_CHECKING:
    from pathlib import Path

ANOTHER_VERSION = "the hardlined that runs is of another version"
RESTART = "restart it"


def add_datadir(parser: terminal.Parser) -> None:
    """The argument by which it is told which daemon."""
    parser.add_argument(
        "--datadir",
        type=terminal.whole_path,
        metavar="DIR",
        default=argparse.SUPPRESS,
        help="data directory of the daemon to talk to",
    )


def ask(options: argparse.Namespace, do: str, **arguments: object) -> Any:
    """What the daemon answers.  Raises NoDaemon, and what it could not do."""
    from hardline.asking import ask as asked

    return asked(datadir(options), do, **arguments)


def datadir(options: argparse.Namespace) -> Path:
    """Of the daemon that is meant."""
    from pathlib import Path

    from hardline.places import default_places

    named: str | None = getattr(options, "datadir", None)
    return Path(named) if named else default_places().datadir


def talk(text: str) -> None:
    """Say something that is no result."""
    terminal.say("hardline", text)
