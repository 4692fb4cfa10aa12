"""What comes back to one search of the LAN: candidates, and whom to ask once more, without I/O.

    answers of a few ──▶ candidates
    answers of many  ──▶ candidates, and each sender is asked alone ◀── who answers that, is there: `answered`

Whoever can send one packet can send a hundred in the names of others, who are not even there.  So where many claim one
service each is asked by a packet to it alone, with a word that only who gets it can repeat.  It proves no more than
that: whose service it is the certificate says.  Source: docs/PROTOCOL.md, section 6.6.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field

from hardline.discovery.lpd import PORT, VERSION, Answer, Search
from hardline.identity import KeyHash
from hardline.routes import Candidate, Code, Endpoint, FoundBy, PathKind, Plain, Trust

FEW = 4  # endpoints: as many as one host has addresses
MAX_PER_SOURCE = 4
MAX_SOURCES = 256
PATIENCE = 0.05  # seconds until a source that does not answer makes room for another one
USUAL_PORT = 7008
MAX_CANDIDATES = 1024  # of sources that did not answer
_MAX_READ = 4096  # packets of a flood, for one search

Sender = tuple[object, ...]  # as sockets have it


@dataclass(slots=True)
class _Source:
    """An address that answers came from."""

    since: float
    candidates: set[Candidate] = field(default_factory=set)
    answered: set[Candidate] = field(default_factory=set)
    senders: list[Sender] = field(default_factory=list)
    asked: int = 0  # of the senders


class Heard:
    """The answers to a search for `target`; `secret` is random and for this search alone.

    `now` is seconds on any monotonic clock.
    """

    def __init__(self, target: KeyHash, today: int, secret: bytes) -> None:
        self.target = target
        self._today, self._secret = today, secret
        self._sources: OrderedDict[str, _Source] = OrderedDict()
        self._endpoints: set[Endpoint] = set()
        self._unasked: dict[str, None] = {}
        self._read = self._claimed = 0
        days = (day for day in (today - 1, today, today + 1) if day >= 0)
        self._names = tuple(name.encode() for name in (str(target), *map(target.rolling, days)))

    def may_want(self, data: bytes) -> bool:
        """It can still use an answer, and these bytes look like one: worth reading even in a flood."""
        if self._read < _MAX_READ and any(name in data for name in self._names):
            self._read += 1
            return True
        return False

    def answer(
        self, answer: Answer, source: str, endpoint: Endpoint, sender: Sender, now: float
    ) -> tuple[Candidate | None, list[tuple[Sender, Search]]]:
        """An answer about the target came: the candidate that it makes, if any, and what to ask whom alone."""
        answered = answer.to == self._cookie(source)
        is_original = answer.version < VERSION and answer.shows(self.target)
        candidate = Candidate(
            endpoint,
            PathKind.LAN,
            FoundBy("LAN", Trust.ANSWERED if answered else Trust.HEARD),
            Plain() if is_original else Code(answer.fitting_day(self.target, self._today)),
        )
        known = self._source(source, now)
        if known is None:
            return None, []
        mine = known.answered if answered else known.candidates
        # Whoever forges answers of a source can use up its share with wrong ports, but not keep out the usual one.
        used_up = len(mine) >= MAX_PER_SOURCE and endpoint.port != USUAL_PORT
        full = len(mine) > MAX_PER_SOURCE or (not answered and self._claimed >= MAX_CANDIDATES)
        fresh = candidate not in mine and not used_up and not full
        if fresh:
            mine.add(candidate)
            self._claimed += not answered
        if not answered and sender not in known.senders and len(known.senders) < MAX_PER_SOURCE:
            known.senders.append(sender)
            self._unasked[source] = None
        if len(self._endpoints) <= FEW:
            self._endpoints.add(endpoint)
        return candidate if fresh else None, self._questions() if len(self._endpoints) > FEW else []

    def _source(self, source: str, now: float) -> _Source | None:
        known = self._sources.get(source)
        if known is None:
            if len(self._sources) >= MAX_SOURCES:
                oldest, first = next(iter(self._sources.items()))
                if now - first.since < PATIENCE:
                    return None
                del self._sources[oldest]
            known = self._sources[source] = _Source(now)
        return known

    def _questions(self) -> list[tuple[Sender, Search]]:
        """For those who were not asked yet."""
        questions = []
        for source in self._unasked:
            if (known := self._sources.get(source)) is None:
                continue
            fresh = known.senders[known.asked :]
            if fresh and not known.asked:
                fresh.append((fresh[0][0], PORT, *fresh[0][2:]))  # who forges answers of a node can forge its port, too
            known.asked = len(known.senders)
            names = (one.server_name for one in known.candidates)
            day = next((name.day for name in names if isinstance(name, Code) and name.day is not None), self._today)
            search = Search(self.target.rolling(day), self._cookie(source), VERSION)
            questions += [(sender, search) for sender in dict.fromkeys(fresh)]
        self._unasked.clear()
        return questions

    def _cookie(self, source: str) -> str:
        return hashlib.blake2b(source.encode(), digest_size=16, key=self._secret).hexdigest()
