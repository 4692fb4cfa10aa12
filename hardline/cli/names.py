"""`hardline ls --names`: what can be typed for NAME, one in a line, for a shell that completes it.

    mine     services here          named    names that the user gave          known    both

Whoever presses Tab waits: the daemon is asked one small thing, and not for long.  Only the user's own words are told,
never what others on the network call theirs, and of those only what a shell reads as one word.
"""

from __future__ import annotations

import argparse
import re

from hardline.cli.daemon import ask
from hardline.terminal import write

_PATIENCE = 1.0  # seconds
_WORD = re.compile(r"\w[\w.@+-]*")


def show(options: argparse.Namespace) -> None:
    """Print them.  Raises as daemon.ask does."""
    told = ask(options, "names", patience=_PATIENCE)
    kinds = ("mine", "named") if options.names == "known" else (options.names,)
    for name in dict.fromkeys(name for kind in kinds for name in told[kind]):
        if _WORD.fullmatch(name):
            write(name)
