"""Who could not be reached a moment ago: visits are told at once, while others look again behind them.

    found absent ──▶ told at once, for some seconds ──▶ as if nothing were known
    said to be there, shared here, another network ──▶ as if nothing were known, at once

Source: docs/PROTOCOL.md, section 7.1.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeVar

from hardline.identity import KeyHash
from hardline.routes import NoRoute

T = TypeVar("T")

_LOOK_EVERY = 0.5  # seconds between dials to a host that is known to be absent
# How long a visit waits for one of them: a tenth of how long ago the host was found absent, and this at most.  To a
# host of the LAN that is back it takes 10 ms, on a busy machine a few times that.
_PATIENCE = 0.5


@dataclass(frozen=True, slots=True)
class Absence:
    """A host was not reached, `age` seconds ago."""

    failure: NoRoute
    age: float

    @property
    def look_again(self) -> bool:
        """It is time for another dial."""
        return self.age >= _LOOK_EVERY

    @property
    def patience(self) -> float:
        """For how many seconds a visit may wait for it."""
        return min(self.age / 10, _PATIENCE)


class Absences:
    """The negative cache, of at most `most` hosts; after `lasts` seconds a visit waits for its dial like the first one.

    `now` is seconds on any monotonic clock.
    """

    def __init__(self, lasts: float, most: int) -> None:
        self._lasts, self._most = lasts, most
        self._known: OrderedDict[KeyHash, tuple[NoRoute, float]] = OrderedDict()
        self._heard: OrderedDict[KeyHash, float] = OrderedDict()
        self._sure: OrderedDict[KeyHash, float] = OrderedDict()

    def heard(self, key_hash: KeyHash, now: float, *, sure: bool = False) -> None:
        """It is said to be there: the next visit waits for its dial like the first one.

        Unless that is `sure` it counts once in as long as an absence lasts: whoever said it again and again of a host
        that is not there would have every visit wait.
        """
        if sure:
            _note(self._sure, key_hash, now, self._most)
        elif key_hash not in self._known or now - self._heard.get(key_hash, -math.inf) < self._lasts:
            return
        else:
            _note(self._heard, key_hash, now, self._most)
        self.forget(key_hash)

    def is_there_since(self, key_hash: KeyHash, began: float) -> bool:
        """Since `began` it has surely come: who looked before could not find it."""
        return self._sure.get(key_hash, -math.inf) >= began

    def add(self, key_hash: KeyHash, failure: NoRoute, now: float) -> None:
        """Nobody was reached."""
        _note(self._known, key_hash, (failure, now), self._most)

    def get(self, key_hash: KeyHash, now: float) -> Absence | None:
        """What is known of `key_hash`."""
        if key_hash not in self._known:
            return None
        failure, since = self._known[key_hash]
        return Absence(failure, now - since)

    def counts(self, absence: Absence) -> bool:
        """It is recent enough to be told without a dial of one's own."""
        return absence.age < self._lasts

    def forget(self, key_hash: KeyHash) -> None:
        """It was reached."""
        self._known.pop(key_hash, None)

    def clear(self) -> None:
        """Another network: everybody may be there."""
        self._known.clear()


def _note(table: OrderedDict[KeyHash, T], key_hash: KeyHash, value: T, most: int) -> None:
    table[key_hash] = value
    table.move_to_end(key_hash)
    if len(table) > most:
        table.popitem(last=False)
