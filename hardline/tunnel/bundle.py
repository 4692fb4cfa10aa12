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
TRIES = 4  # looks with the new session in use, before it is judged
RESTS = 600.0  # seconds
_PERIOD, _TRIPS = 0.25, 4.0  # seconds between two looks: so many, and so many round trips


class Step(enum.Enum):
    """What `Bundle.look` wants done."""

    NOTHING = enum.auto()
    OPEN = enum.auto()  # one more session
    SHED = enum.auto()  # the newest takes no more streams


@dataclass(frozen=True, slots=True)
class Look:
    """What is seen of all sessions to one host: seconds on any monotonic clock, bytes so far both ways, and how many
    streams moved since the last look, in each session, the newest last."""

    now: float
    moved: int
    busy: tuple[int, ...]


def period(round_trip: float) -> float:
    """Seconds from one look to the next."""
    return max(_PERIOD, _TRIPS * round_trip)


class Bundle:
    """The sessions to one host, at `most` so many."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._last: Look | None = None
        self._rate = 0.0  # bytes per second, as of the last look
        self._before: tuple[float, int, int] | None = None  # rate, busy streams, sessions: until the newest is judged
        self._tried = 0
        self._proven = 1  # so many sessions were of use
        self._rest_until = 0.0

    def look(self, look: Look, round_trip: float) -> Step:
        """What to do now."""
        last, self._last = self._last, look
        if last is None or look.now <= last.now or look.moved < last.moved:
            return Step.NOTHING
        before, self._rate = self._rate, (look.moved - last.moved) / (look.now - last.now)
        even, sessions = self._rate <= EVEN * before, len(look.busy)
        if self._before is not None:
            return self._judge(look, even)
        if sessions >= self._most or round_trip < LONG or max(look.busy, default=0) < 2:
            return Step.NOTHING
        if self._rate * round_trip < ENOUGH:
            return Step.NOTHING
        if sessions < self._proven:
            return Step.OPEN
        if not even or look.now < self._rest_until:
            return Step.NOTHING
        self._before, self._tried = (self._rate, sum(look.busy), sessions), 0
        return Step.OPEN

    def failed(self, now: float) -> None:
        """The session that was to be opened could not be."""
        self._before, self._rest_until, self._proven = None, now + RESTS, 1

    def _judge(self, look: Look, even: bool) -> Step:
        assert self._before is not None, "there is one to judge"
        rate, busy, sessions = self._before
        if len(look.busy) <= sessions:
            self.failed(look.now)  # it is gone, for whatever reason
            return Step.NOTHING
        if not look.busy or not look.busy[-1] or sum(look.busy) < busy:
            return Step.NOTHING  # no new stream has taken it, or less is asked for than before
        self._tried += 1
        if self._rate >= GAIN * rate and self._tried >= 2:
            self._before, self._proven = None, len(look.busy)
        elif self._tried >= TRIES and even:
            self._before, self._rest_until = None, look.now + RESTS
            return Step.SHED
        return Step.NOTHING

    def idle(self) -> None:
        """Nothing is asked for: what is seen next is a new beginning."""
        self._last, self._before, self._rate = None, None, 0.0
