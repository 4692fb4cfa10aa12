"""Which candidate is tried when, without I/O or a clock.

Candidates come in while others are being tried.  The next attempt starts at once when one failed or when none runs,
else `stagger` seconds after the last start; one by a better kind of path than all that run does not wait at all, so
that a LAN answer that comes 3 ms after a remembered address is not 250 ms late.

Nobody may fill the field: a neighbour who answers every search with a hundred lies must not keep out what others know.

    who answered when asked alone   before who only claims to be there, with places of its own, and never waits for it
    one kind of path                better ones first, but after two candidates of one finder it is another's turn
    one address                     one candidate, until every other address has had one
    places                          given back by whoever fails: so many at a time, and an end to it all

Source: RFC 8305, section 5; docs/PROTOCOL.md, section 7.1.
"""

from __future__ import annotations

from collections import Counter

from hardline.routes import Candidate, Endpoint, Via

MAX_CANDIDATES = 16  # waiting or running; of those that answered as many again
MAX_OF_ONE_FINDER = 12
MAX_ATTEMPTS = 64  # of those that answered as many again
_TURN = 2

_Group = tuple[str, bool]  # the finder, and whether what it found has answered


class Race:
    """Call `found` and `ended` as things happen, then `start` until it returns None, then wait until `wake_at`.

    `now` is seconds on any monotonic clock.
    """

    def __init__(self, stagger: float) -> None:
        self._stagger = stagger
        self._waiting: list[Candidate] = []
        self._running: list[Candidate] = []
        self._tried: set[object] = set()
        self._remembered: set[Endpoint] = set()
        self._attempts: Counter[bool] = Counter()
        self._started: Counter[_Group] = Counter()
        self._addresses: Counter[str] = Counter()  # attempts at each
        self._next_start: float | None = None

    def found(self, candidate: Candidate) -> None:
        """A finder yielded `candidate`; the same once more, or more than there is room for, is ignored."""
        if candidate.via is Via.REMEMBERED and len(self._remembered) < MAX_CANDIDATES:
            self._remembered.add(candidate.endpoint)
        if _key(candidate) in self._tried:
            return
        for waiting in self._waiting:
            if _key(waiting) == _key(candidate):
                if self._trust(candidate) <= self._trust(waiting):
                    return
                self._waiting.remove(waiting)
                break
        if not self._has_room(candidate) and not self._makes_room(candidate):
            return
        self._waiting.append(candidate)

    def start(self, now: float) -> Candidate | None:
        """The candidate to try now, if any; it counts as running."""
        waiting = self._startable
        if not waiting:
            return None
        best = min(waiting, key=self._order)  # the first of equals
        due = self._next_start is None or now >= self._next_start
        if not (due or self._kind(best) < min(map(self._kind, self._running), default=(Via.RELAY + 1, 0))):
            return None
        self._waiting.remove(best)
        self._tried.add(_key(best))
        self._attempts[self._trust(best)] += 1
        self._started[self._group(best)] += 1
        self._addresses[best.endpoint.host] += 1
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
        return self._next_start if self._startable else None

    @property
    def idle(self) -> bool:
        """Nothing runs, and nothing that waits will."""
        return not self._running and not self._startable

    @property
    def running(self) -> tuple[Candidate, ...]:
        """The attempts under way, in the order they started."""
        return tuple(self._running)

    # The order.

    @property
    def _startable(self) -> list[Candidate]:
        return [one for one in self._waiting if self._attempts[self._trust(one)] < MAX_ATTEMPTS]

    def _trust(self, one: Candidate) -> bool:
        """It was asked and answered, or worked before."""
        return one.answered or (one.via is Via.LAN and one.endpoint in self._remembered)

    def _kind(self, one: Candidate) -> tuple[int, bool]:
        return one.via, one.via is Via.LAN and not self._trust(one)

    def _group(self, one: Candidate) -> _Group:
        return one.found_by, self._trust(one)

    def _order(self, one: Candidate) -> tuple[object, ...]:
        tries = self._addresses[one.endpoint.host]
        return self._started[self._group(one)] // _TURN, *self._kind(one), tries

    # The places.

    def _has_room(self, candidate: Candidate) -> bool:
        alive = [one for one in (*self._waiting, *self._running) if self._trust(one) == self._trust(candidate)]
        of_finder = sum(one.found_by == candidate.found_by for one in alive)
        return len(alive) < MAX_CANDIDATES and of_finder < MAX_OF_ONE_FINDER

    def _makes_room(self, candidate: Candidate) -> bool:
        """An address with several places gives the newest of them to one that has none."""
        alive = [one for one in (*self._waiting, *self._running) if self._group(one) == self._group(candidate)]
        places = Counter(one.endpoint.host for one in alive)
        if places[candidate.endpoint.host]:
            return False
        for one in reversed(self._waiting):
            if places[one.endpoint.host] > 1 and self._group(one) == self._group(candidate):
                self._waiting.remove(one)
                return True
        return False


def _key(candidate: Candidate) -> object:
    return candidate.endpoint, candidate.plain, candidate.day
