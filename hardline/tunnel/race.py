"""Which candidate is tried when, without I/O or a clock.

Candidates come in while others are being tried.  The next attempt starts at once when one failed or when none runs,
else `stagger` seconds after the last start; one by a better kind of path than all that run does not wait at all, so
that a LAN answer that comes 3 ms after a remembered address is not 250 ms late.  Relayed attempts run beside the
others, the first one a `stagger` after the first of those: a relay need not wait for many dead addresses.
The first that is verified wins, and the race goes on among better kinds of path only.

Nobody may fill the field: a neighbour who answers every search with a hundred lies must not keep out what others know.

    who answered when asked alone   before who only claims to be there, with places of its own, and never waits for it
    one kind of path                better ones first, but after two candidates of one finder it is another's turn
    one address                     one candidate, until every other address has had one
    places                          given back by whoever fails: so many at a time, and an end to it all

Source: RFC 8305, section 5; docs/PROTOCOL.md, section 7.1.
"""

from __future__ import annotations

from collections import Counter

from hardline.routes import Candidate, Endpoint, PathKind, ServerName, Trust

MAX_CANDIDATES = 16  # waiting or running; of those that answered as many again
MAX_OF_ONE_FINDER = 12
MAX_ATTEMPTS = 64  # of those that answered as many again
_TURN = 2

_Group = tuple[str, bool]  # the finder, and whether what it found has answered
_Key = tuple[Endpoint, ServerName]


class Race:
    """Call `found` and `ended` as things happen, then `start` until it returns None, then wait until `wake_at`.

    `now` is seconds on any monotonic clock.  With `better_than`, only better kinds of path take part.
    """

    def __init__(self, stagger: float, better_than: PathKind | None = None) -> None:
        self._stagger = stagger
        self._better_than = better_than
        self._waiting: list[Candidate] = []
        self._running: list[Candidate] = []
        self._tried: dict[_Key, Candidate] = {}  # as the finder saw them that knew best
        self._remembered: set[Endpoint] = set()
        self._attempts: Counter[bool] = Counter()
        self._started: Counter[_Group] = Counter()
        self._addresses: Counter[str] = Counter()  # attempts at each
        self._next_start: dict[bool, float | None] = {False: None, True: None}  # relayed?

    def found(self, candidate: Candidate) -> None:
        """A finder yielded `candidate`; the same once more, or more than there is room for, is ignored."""
        if candidate.found_by.trust is Trust.WORKED and len(self._remembered) < MAX_CANDIDATES:
            self._remembered.add(candidate.endpoint)
        if (tried := self._tried.get(_key(candidate))) is not None:
            if candidate.kind < tried.kind:
                self._tried[_key(candidate)] = candidate
            return
        if not self._is_wanted(candidate):
            return
        known = next((waiting for waiting in self._waiting if _key(waiting) == _key(candidate)), None)
        if known is not None:
            if self._rank(candidate) >= self._rank(known):
                return
            self._waiting.remove(known)
        if self._has_room(candidate) or self._makes_room(candidate):
            self._waiting.append(candidate)
        elif known is not None:
            self._waiting.append(known)

    def start(self, now: float) -> Candidate | None:
        """The candidate to try now, if any; it counts as running."""
        for relayed in (False, True):
            waiting = [one for one in self._startable if _is_relayed(one) == relayed]
            if not waiting:
                continue
            best = min(waiting, key=self._order)  # the first of equals
            if self._may_start(best, now):
                self._begin(best, now)
                return best
        return None

    def _may_start(self, best: Candidate, now: float) -> bool:
        due_at = self._next_start[_is_relayed(best)]
        if due_at is None or now >= due_at:
            return True
        beside = [one for one in self._running if _is_relayed(one) == _is_relayed(best)]
        if not beside:
            return not (_is_relayed(best) and self._running)
        return self._rank(best) < min(map(self._rank, beside))

    def _begin(self, best: Candidate, now: float) -> None:
        self._waiting.remove(best)
        self._tried[_key(best)] = best
        self._attempts[self._trust(best)] += 1
        self._started[self._group(best)] += 1
        self._addresses[best.endpoint.host] += 1
        self._running.append(best)
        self._next_start[_is_relayed(best)] = now + self._stagger
        if self._next_start[True] is None:
            self._next_start[True] = now + self._stagger

    def ended(self, candidate: Candidate) -> None:
        """The attempt at `candidate` failed: the next may start at once."""
        self._running.remove(candidate)
        self._next_start[_is_relayed(candidate)] = None

    def won(self, candidate: Candidate) -> list[Candidate]:
        """The attempt at `candidate` led there: returns those under way that are no better, to be broken off."""
        self._running.remove(candidate)
        self._better_than = self.best_known(candidate).kind
        given_up = [one for one in self._running if not self._is_wanted(one)]
        self._running = [one for one in self._running if self._is_wanted(one)]
        self._waiting = [one for one in self._waiting if self._is_wanted(one)]
        return given_up

    @property
    def wake_at(self) -> float | None:
        """When `start` would return the next candidate by itself; None when only an event can change that."""
        lanes = {_is_relayed(one) for one in self._startable}
        return min((at for lane in lanes if (at := self._next_start[lane]) is not None), default=None)

    @property
    def idle(self) -> bool:
        """Nothing runs, and nothing that waits will."""
        return not self._running and not self._startable

    @property
    def running(self) -> tuple[Candidate, ...]:
        """The attempts under way, in the order they started."""
        return tuple(self._running)

    def best_known(self, candidate: Candidate) -> Candidate:
        """The same attempt as the finder saw it that knows of the best kind of path, whoever was faster."""
        return self._tried.get(_key(candidate), candidate)

    # The order.

    def _is_wanted(self, one: Candidate) -> bool:
        return self._better_than is None or self.best_known(one).kind < self._better_than

    @property
    def _startable(self) -> list[Candidate]:
        return [one for one in self._waiting if self._attempts[self._trust(one)] < MAX_ATTEMPTS]

    def _trust(self, one: Candidate) -> bool:
        """It was asked and answered, or worked before."""
        heard_again = one.found_by.trust is Trust.HEARD and one.endpoint in self._remembered
        return heard_again or one.found_by.trust is Trust.ANSWERED

    def _rank(self, one: Candidate) -> tuple[int, int]:
        """The better the smaller: in the own network who is there now comes before who was there once, elsewhere what
        worked before what is told."""
        if one.found_by.seen:
            return one.kind, 0 if self._trust(one) else 1
        return one.kind, 2 if one.found_by.trust in (Trust.OWNER, Trust.WORKED) else 3

    def _group(self, one: Candidate) -> _Group:
        return one.found_by.name, self._trust(one)

    def _order(self, one: Candidate) -> tuple[object, ...]:
        tries = self._addresses[one.endpoint.host]
        return self._started[self._group(one)] // _TURN, *self._rank(one), tries

    # The places.

    def _has_room(self, candidate: Candidate) -> bool:
        alive = [one for one in (*self._waiting, *self._running) if self._trust(one) == self._trust(candidate)]
        of_finder = sum(one.found_by.name == candidate.found_by.name for one in alive)
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


def _is_relayed(one: Candidate) -> bool:
    return one.kind is PathKind.RELAYED


def _key(candidate: Candidate) -> _Key:
    return candidate.endpoint, candidate.server_name
