"""Which candidate is tried when, without I/O or a clock.

Candidates come in while others are being tried.  The next attempt starts at once when one failed or when none runs,
else `stagger` seconds after the last start; one by a better kind of path than all that run does not wait at all, so
that a LAN answer that comes 3 ms after a remembered address is not 250 ms late.  Better kinds of paths come first, but
after two candidates of one finder it is another's turn, and none may fill the field: a neighbour who answers every
search with a dozen lies must not keep out what others know.
Source: RFC 8305, section 5; docs/PROTOCOL.md, section 7.1.
"""

from __future__ import annotations

from collections import Counter

from hardline.routes import Candidate, Via

MAX_CANDIDATES = 16
MAX_OF_ONE_FINDER = 12
_TURN = 2


class Race:
    """Call `found` and `ended` as things happen, then `start` until it returns None, then wait until `wake_at`.

    `now` is seconds on any monotonic clock.
    """

    def __init__(self, stagger: float) -> None:
        self._stagger = stagger
        self._waiting: list[Candidate] = []
        self._running: list[Candidate] = []
        self._seen: set[object] = set()
        self._found: Counter[str] = Counter()
        self._started: Counter[str] = Counter()
        self._next_start: float | None = None

    def found(self, candidate: Candidate) -> None:
        """A finder yielded `candidate`; the same once more, or more than there is room for, is ignored."""
        key = (candidate.endpoint, candidate.plain, candidate.day)
        full = len(self._seen) >= MAX_CANDIDATES or self._found[candidate.found_by] >= MAX_OF_ONE_FINDER
        if key in self._seen or full:
            return
        self._seen.add(key)
        self._found[candidate.found_by] += 1
        self._waiting.append(candidate)

    def start(self, now: float) -> Candidate | None:
        """The candidate to try now, if any; it counts as running."""
        if not self._waiting:
            return None
        best = min(
            self._waiting, key=lambda one: (self._started[one.found_by] // _TURN, one.via)
        )  # the first of equals
        due = self._next_start is None or now >= self._next_start
        if not (due or best.via < min((running.via for running in self._running), default=Via.RELAY + 1)):
            return None
        self._waiting.remove(best)
        self._started[best.found_by] += 1
        self._running.append(best)
        self._next_start = now + self._stagger
        return best

    def ended(self, candidate: Candidate) -> None:
        """The attempt at `candidate` failed: the next may start at once."""
        self._running.remove(candidate)
        self._next_start = None

    @property
    def wake_at(self) -> float | None:
        """When `start` would return the next candidate by itself; None when only an event can change that."""
        return self._next_start if self._waiting else None

    @property
    def idle(self) -> bool:
        """Nothing runs and nothing waits."""
        return not self._waiting and not self._running

    @property
    def running(self) -> tuple[Candidate, ...]:
        """The attempts under way, in the order they started."""
        return tuple(self._running)
