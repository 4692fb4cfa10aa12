"""For `--faults`: every pair of the six kinds of routers, whose two daemons must connect, and meet where that can be.

The laboratory is tests/punch/lab.py, 100 ms from end to end.  A try is a visitor that was never there before.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Sequence
from pathlib import Path

from daemons import Broken
from faults_lab import Scene, Visitor, is_reached, until
from measures import Row

from hardline.tunnel.rounds import TRIES, Rounds
from tests.punch.nat import TYPES
from tests.punch.test_lab import meets

_PAIRS = tuple(itertools.combinations_with_replacement(TYPES, 2))
_MEET_WITHIN = 8.0  # seconds: by then a try has come and gone
_SOON = 1.0
_OF = 20  # tries, by which shares are told
_HOUR = 3600


def _last(told: Sequence[float]) -> float:
    return told[-1]


ROWS = (
    Row("connected", f"{len(_PAIRS)} pairs of routers: tries that connected, of 100", "", "more", "figure", 100),
    Row("straight", f"  where they can meet: direct, of {_OF} tries", "", "more", "figure", 19),
    Row("worst_pair", f"    in the worst pair, of {_OF}", "", "more", "figure", 19),
    Row("soon", f"    within {_SOON:g} s of the first byte, of {_OF}", "", "more", "figure", 19),
    Row("straight_after", "    after the first byte, median", "s", "less"),
    Row("stayed", "  where they cannot: by the relay, of 100", "", "more", "figure", 100),
    Row("hourly", "  rounds in an hour, in another network every minute: by the rule", "", "less", "figure", 8),
)
OF_ALL_ROUNDS = {row.key: (row.key, _last) for row in ROWS}


class Matrix:
    """The daemons; they end with `stack`."""

    def __init__(self, place: Path, stack: contextlib.ExitStack) -> None:
        self._scene = Scene(place, stack)
        self._lab = self._scene.lab
        self._scene.relay("relay", self._lab.p, "11.22.33.10")
        self._host = self._scene.host("host", self._lab.a)
        self._label = self._host.label("site")
        self._tries: dict[tuple[str, str], list[float | None]] = {pair: [] for pair in _PAIRS}
        self._lost: list[str] = []
        self._strangers = itertools.count()

    def measure(self, number: int) -> dict[str, float]:
        """One round: a try of each pair, the visitor behind the one and the other router in turn."""
        for pair in _PAIRS:
            hosts, visitors = pair if number % 2 == 0 else pair[::-1]
            self._host.stop()
            self._lab.nat(self._lab.ra, hosts)
            self._lab.nat(self._lab.rb, visitors)
            self._host.start()
            until(lambda: is_reached(self._host), f"a host behind {hosts} is reached", 60.0)
            try:
                with self._scene.visitor(f"stranger{next(self._strangers)}", self._lab.b) as stranger:
                    self._tries[pair].append(self._try(stranger))
            except (Broken, OSError) as failure:
                self._lost.append(f"{hosts}, visited from behind {visitors}: {failure}")
                print(self._lost[-1], flush=True)
        return self._told()

    def _told(self) -> dict[str, float]:
        """What came of all tries so far."""
        could = [seen for pair, seen in self._tries.items() if meets(*pair) and seen]
        could_not = [one for pair, seen in self._tries.items() if not meets(*pair) for one in seen]
        all_that_could = [one for seen in could for one in seen]
        direct = sorted(one for one in all_that_could if one is not None)
        done = len(all_that_could) + len(could_not)
        if not direct:
            raise Broken("no pair has met")
        return {
            "connected": 100 * done / (done + len(self._lost)),
            "straight": _OF * len(direct) / len(all_that_could),
            "worst_pair": min(_OF * sum(one is not None for one in seen) / len(seen) for seen in could),
            "soon": _OF * sum(one <= _SOON for one in direct) / len(all_that_could),
            "straight_after": direct[len(direct) // 2],
            "stayed": 100 * could_not.count(None) / len(could_not) if could_not else 0.0,
            "hourly": most_rounds(),
        }

    def _try(self, visitor: Visitor) -> float | None:
        """Seconds from the first byte until new streams take a direct path, None where they do not."""
        visitor.visit(self._label)
        began = time.perf_counter()
        while (took := time.perf_counter() - began) < _MEET_WITHIN:
            if (kind := visitor.goes_by(self._label)) not in ("", "RELAYED"):
                visitor.visit(self._label)
                if visitor.last(self._label)["kind"] == "RELAYED":
                    raise Broken(f"status says {kind}, and a visit went by the relay")
                return took
            time.sleep(0.01)
        return None


def most_rounds() -> int:
    """How many begin in an hour where no try comes to anything and there is another network every minute.

    The rule with a clock of its own: nobody waits for it.
    """
    rounds, begun, left = Rounds(), 0, 0
    for second in range(_HOUR):
        if second % 60 == 0:
            rounds.network_changed(float(second))
            left = 0
        if second % 4 == 0 and second >= rounds.at and rounds.takes(float(second)):
            begun += left == 0
            left = (left or TRIES) - 1
            rounds.lost(second + 4.0)
    return begun
