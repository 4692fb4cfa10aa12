"""For `--faults`: what a relay's owner can do with all that his relay holds: memory, data, log, status and packets.

The attack is tests/reach/curious.py; that it would find names, and could visit by them, is seen by giving it the names.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from measures import Row

from tests.reach.curious import has_anywhere
from tests.reach.test_blind import looked
from tests.reach.world import World

_SERVICES = 100

ROWS = (
    Row("guesses", f"a relay's owner, {_SERVICES} services there: names that he finds and tries", "", "more"),
    Row("visited", "  services that he visits", "", "less", "figure", 0),
    Row("named", "    whose name is anywhere in what he has", "", "less", "figure", 0),
    Row("titled", "    whose title is", "", "less", "figure", 0),
    Row("recognized", "    visits of which he knows where they lead", "", "less", "figure", 0),
    Row("read", "    records in the DHT that he can read", "", "less", "figure", 0),
    Row("if_told", "  those that he visits once he is told their names", "", "more", "figure", _SERVICES),
)


class Blind:
    """The daemons are there for one look, which is enough: it takes long, and chance has no part in it."""

    def __init__(self, place: Path, stack: contextlib.ExitStack) -> None:
        place.mkdir()
        world = stack.enter_context(World())
        self._it = stack.enter_context(looked(world, place, "", _SERVICES))

    def measure(self, number: int) -> dict[str, float]:
        """What he gets."""
        it = self._it
        return {
            "guesses": len(it.guesses),
            "visited": len(it.names & it.visits(it.guesses)),
            "named": sum(name in it.guesses or has_anywhere(it.held, name) for name in it.names),
            "titled": it.held.count(b"Nobody's business"),
            "recognized": len(it.recognizes(it.guesses)),
            "read": it.reads(it.guesses),
            "if_told": len(it.names & it.visits(it.names)),
        }
