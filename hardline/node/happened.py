"""What happened lately, in plain sentences: the newest rows, in memory only; without I/O.

    add("came", "Anna came to Photos by relay", now) ──▶ Happening(number=7, …)
    the same once more within ten minutes            ──▶ Happening(number=8, count=2, …) in its place

Strangers make things happen as often as they like: what repeats itself is one row with a count, and no kind of row
pushes out all others.  Whoever follows asks for what is `after` the last number that he has seen.
Sentences name people and services as their owner does, never by a key hash: that is the right to visit.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

MOST = 400
MOST_OF_A_KIND = 100
SAME_WITHIN = 600.0  # seconds

SOMEBODY = "somebody"
_KINDS = {"LAN": "from this network", "DIRECT": "directly", "PUNCHED": "directly", "RELAYED": "by relay"}


@dataclass(frozen=True, slots=True)
class Happening:
    """One row: `number` grows with each change, `when` is seconds since 1970, `count` how often it was so."""

    number: int
    when: float
    kind: str
    count: int
    sentence: str


class Happened:
    """The rows; `now` is seconds since 1970."""

    def __init__(self, most: int = MOST, of_a_kind: int = MOST_OF_A_KIND) -> None:
        self._most, self._of_a_kind = most, of_a_kind
        self._rows: OrderedDict[tuple[str, str], Happening] = OrderedDict()  # the newest last
        self._kinds: Counter[str] = Counter()
        self._number = 0
        self.counts: Counter[str] = Counter()  # of all that happened, by kind

    def add(self, kind: str, sentence: str, now: float, count: int = 1) -> Happening:
        """It happened, `count` times."""
        self._number += 1
        self.counts[kind] += count
        key = (kind, sentence)
        before = self._rows.get(key)
        if before is not None and now - before.when < SAME_WITHIN:
            count += before.count
        self._forget(key)
        while self._kinds[kind] >= self._of_a_kind:
            self._forget(next(one for one in self._rows if one[0] == kind))
        while len(self._rows) >= self._most:
            self._forget(next(iter(self._rows)))
        row = self._rows[key] = Happening(self._number, now, kind, count, sentence)
        self._kinds[kind] += 1
        return row

    def after(self, number: int = 0) -> tuple[Happening, ...]:
        """What is newer than `number`, the newest last.  A number of another run of this program is no number: all."""
        if number > self._number:
            number = 0
        return tuple(row for row in self._rows.values() if row.number > number)

    def _forget(self, key: tuple[str, str]) -> None:
        if (row := self._rows.pop(key, None)) is not None:
            self._kinds[row.kind] -= 1


def came(who: str, title: str, kind: str) -> str:
    """Somebody visits a service of ours by a path of that `kind` (routes.PathKind)."""
    return f"{who} came to {title} {_KINDS.get(kind, 'directly')}"


def left(who: str, title: str, moved: int) -> str:
    """He is gone, and has read so many bytes."""
    return f"{who} left {title}, {size(moved)} read"


def guessed(title: str) -> str:
    """A password was wrong."""
    return f"password refused for {title}"


def kept_out(title: str) -> str:
    """Somebody who is not on the list of those who may visit."""
    return f"{SOMEBODY} without an invitation was kept out of {title}"


def let_in(who: str, title: str) -> str:
    """An invitation was shown by the computer that accepted it."""
    return f"{who} accepted the invitation to {title}"


def revoked(who: Iterable[str], title: str, *, for_invited: bool = True) -> str:
    """They may visit no more; or are off its list, which counts `for_invited` visitors only."""
    names = " and ".join(who) or SOMEBODY
    if for_invited:
        return f"{names} may not visit {title} any more"
    return f"{names} may visit {title} like everybody who has its address, and is on its list no more"


def unreached(called: str, reason: str) -> str:
    """A service of somebody else's, as its visitor calls it."""
    return f"{called} was not reachable: {reason}"


def offered(title: str, state: str, problem: str) -> str:
    """A service of ours is in another state (snapshot.ServiceState)."""
    match state:
        case "serving":
            return f"{title} is shared"
        case "paused":
            return f"{title} is paused"
        case "gone":
            return f"{title} is not shared any more"
        case _:
            return f"{title}: {problem}"


def size(count: int) -> str:
    """So many bytes, as people read them."""
    value, unit = float(count), "bytes"
    for bigger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, bigger
    return f"{value:.0f} {unit}" if unit == "bytes" or value >= 10 else f"{value:.1f} {unit}"
