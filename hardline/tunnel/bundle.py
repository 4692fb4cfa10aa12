"""When one more session to a host is of use, without I/O.

One TCP connection moves a window in a round trip, however fast the way is: on a long one that is less than there is.
A visitor sees nothing of the host's window.  What it sees is how much comes:

    two streams or more of one session move, and ENOUGH comes in a round trip, and no more than before
        ─▶ one more session ─ new streams take it ─┬─▶ more comes: it stays, and another may follow
                                                   └─▶ no more: the way is full; it goes, and RESTS

Only the trial tells a window that is full from a way that is.  What brought more is opened again without one.
Source: docs/PROTOCOL.md, section 7.7.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

LONG = 0.02  # seconds: a way whose round trip is shorter needs no second session
ENOUGH = 262_144  # bytes in a round trip, which no new connection has under way soon
EVEN = 1.25  # times what came before, at most: the windows have done growing
GAIN = 1.1  # times what came with one session less, at least
SETTLED = 3  # looks one after the other in which the new one brings no more than before, until it is judged
TRIES = 25  # looks with the new one in use, after which it is judged in any case
RESTS = 600.0  # seconds after one that was of no use
SHORTLY = 60.0  # seconds after one that could not be opened, or ended before it was judged
_PERIOD, _TRIPS = 0.25, 4.0  # seconds between two looks: so many, and so many round trips


class Step(enum.Enum):
    """What `Bundle.look` wants done."""

    NOTHING = enum.auto()
    OPEN = enum.auto()  # one more session
    SHED = enum.auto()  # the newest takes no more streams


@dataclass(frozen=True, slots=True)
class Look:
    """What is seen of all sessions to one host: seconds on any monotonic clock, bytes so far both ways, and how many
    streams moved since the last look, by session, the newest last."""

    now: float
    moved: tuple[int, ...]
    busy: tuple[int, ...]


def period(round_trip: float) -> float:
    """Seconds from one look to the next."""
    return max(_PERIOD, _TRIPS * round_trip)


@dataclass(slots=True)
class _Trial:
    """A session that is to show its use: what came without it, from how many sessions, and for how many streams."""

    rate: float
    sessions: int
    busy: int
    looks: int = 0
    settled: int = 0  # looks in which it brought no more than before
    newest: float = 0.0  # what it brought, bytes per second


class Bundle:
    """The sessions to one host, at `most` so many."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._last: Look | None = None
        self._rate = 0.0  # bytes per second, as of the last look
        self._trial: _Trial | None = None
        self._proven = 1  # so many sessions were of use
        self._rest_until = 0.0

    def look(self, look: Look, round_trip: float) -> Step:
        """What to do now."""
        last, self._last = self._last, look
        if self._trial is not None and len(look.busy) <= self._trial.sessions:
            self.failed(look.now)  # it is gone, for whatever reason
        if last is None or look.now <= last.now or len(look.moved) != len(last.moved):
            return Step.NOTHING
        seconds = look.now - last.now
        rates = [(now - before) / seconds for now, before in zip(look.moved, last.moved, strict=True)]
        before, self._rate = self._rate, sum(rates)
        if self._trial is not None:
            return self._judge(self._trial, look, rates[-1])
        sessions, rate = len(look.busy), self._rate
        if sessions >= self._most or round_trip < LONG or max(look.busy, default=0) < 2 or rate * round_trip < ENOUGH:
            return Step.NOTHING
        if sessions < self._proven:
            return Step.OPEN
        if rate > EVEN * before or look.now < self._rest_until:
            return Step.NOTHING
        self._trial = _Trial((rate + before) / 2, sessions, sum(look.busy))
        return Step.OPEN

    def failed(self, now: float) -> None:
        """The session that was to be opened is not there."""
        self._trial, self._rest_until, self._proven = None, now + SHORTLY, 1

    def idle(self) -> None:
        """Nothing is asked for: what is seen next is a new beginning."""
        self._last, self._trial, self._rate = None, None, 0.0

    def _judge(self, trial: _Trial, look: Look, newest: float) -> Step:
        if not look.busy[-1] or sum(look.busy) < trial.busy:
            return Step.NOTHING  # no new stream has taken it, or less is asked for than before
        trial.looks += 1
        trial.settled = trial.settled + 1 if newest <= EVEN * trial.newest else 0
        trial.newest = newest
        if trial.looks > 1 and self._rate >= GAIN * trial.rate:
            self._trial, self._proven = None, len(look.busy)
        elif trial.settled >= SETTLED or trial.looks >= TRIES:
            self._trial, self._rest_until = None, look.now + RESTS
            return Step.SHED
        return Step.NOTHING
