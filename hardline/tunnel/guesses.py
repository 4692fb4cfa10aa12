"""How often a password may be guessed, and what is said of it in the log, without I/O.

    a hello with a password ──wait──▶ 0: it is judged; right, or `wrong`        so many seconds: it is refused unread

A source has five wrong guesses, and then one every ten seconds; all sources that ever guessed wrong have sixty a minute
of one service together.  A source that has not is never refused, whatever others do.  What is remembered is bounded:
those that guessed last stay.  `now` is seconds on any monotonic clock.  Source: docs/PROTOCOL.md, section 4.3.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

OF_A_SOURCE, SOURCE_EVERY = 5, 10.0  # guesses at once, and seconds until there is one more
OF_A_SERVICE, SERVICE_EVERY = 60, 1.0
REMEMBERED = 3600.0  # seconds after its last wrong guess that a source is known by
MAX_SOURCES = 16_384
MAX_SERVICES = 1024
TELL_AFTER = 5  # wrong guesses: somebody who mistypes is no news
TELL_EVERY = 3600.0


class Guesses:
    """Those of all services.  A service and a source are any keys."""

    def __init__(self) -> None:
        self._sources: OrderedDict[tuple[Hashable, str], _Bucket] = OrderedDict()
        self._services: OrderedDict[Hashable, _Service] = OrderedDict()

    def wait(self, service: Hashable, source: str, now: float) -> float:
        """Seconds until a guess of `source` is judged; 0: now."""
        bucket = self._sources.get((service, source))
        if bucket is None or now - bucket.filled >= REMEMBERED:
            return 0.0
        return max(bucket.wait(now), self._service(service, now).bucket.wait(now))

    def wrong(self, service: Hashable, source: str, now: float) -> int:
        """`source` guessed wrong.  How many wrong guesses the owner is to be told of now; 0: none."""
        bucket = self._sources.pop((service, source), None) or _Bucket(OF_A_SOURCE, SOURCE_EVERY, now)
        self._sources[service, source] = bucket
        bucket.take(now)
        if len(self._sources) > MAX_SOURCES:
            self._sources.popitem(last=False)
        all_of_it = self._service(service, now)
        all_of_it.bucket.take(now)
        all_of_it.untold += 1
        return self.untold(service, now) if all_of_it.untold >= TELL_AFTER else 0

    def untold(self, service: Hashable, now: float) -> int:
        """How many the owner has not been told of and may be told of now, which this counts as done."""
        known = self._services.get(service)
        if known is None or now < known.tell_at:
            return 0
        count, known.untold = known.untold, 0
        if count:
            known.tell_at = now + TELL_EVERY
        return count

    def _service(self, service: Hashable, now: float) -> _Service:
        known = self._services.pop(service, None) or _Service(_Bucket(OF_A_SERVICE, SERVICE_EVERY, now))
        self._services[service] = known
        if len(self._services) > MAX_SERVICES:
            self._services.popitem(last=False)
        return known


class _Bucket:
    """Holds `most`, and gains one every `every` seconds."""

    __slots__ = ("_every", "_left", "_most", "filled")

    def __init__(self, most: int, every: float, now: float) -> None:
        self._most, self._every = most, every
        self._left = float(most)
        self.filled = now

    def wait(self, now: float) -> float:
        left = self._left_at(now)
        return 0.0 if left >= 1 else (1 - left) * self._every

    def take(self, now: float) -> None:
        self._left = max(self._left_at(now) - 1, 0.0)
        self.filled = now

    def _left_at(self, now: float) -> float:
        return min(float(self._most), self._left + (now - self.filled) / self._every)


@dataclass(slots=True)
class _Service:
    bucket: _Bucket
    untold: int = 0
    tell_at: float = -math.inf
