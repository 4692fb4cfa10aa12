"""What the LAN offers, as its answers said, without I/O.

Bounded and fair: one source fills its own share and no more, and junk does not push out what is known before
its time.  What is not heard again is gone after a minute, and at once when its owner says goodbye: that is who knows
what was sealed in the answer that was heard first.  Source: docs/PROTOCOL.md, sections 6.2 and 6.7.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass

from hardline.discovery.lpd import sealed
from hardline.identity import Label
from hardline.routes import Endpoint

LIFETIME = 60.0  # seconds
MAX_OFFERS = 256
MAX_PER_SOURCE = 32


@dataclass(frozen=True, slots=True)
class Offer:
    """A service that somebody on the LAN says it has, on a computer that is called `host`; nothing of it is proven."""

    label: Label
    title: str
    source: str
    endpoint: Endpoint
    seen: float
    end: str = ""  # sealed
    host: str = ""


class Offers:
    """The table; `now` is seconds on any monotonic clock.

    Hearing one costs the same however many there are: who floods the LAN decides how often that is.
    """

    def __init__(self) -> None:
        self._offers: OrderedDict[tuple[Label, Endpoint], Offer] = OrderedDict()  # heard longest ago first
        self._sources: Counter[str] = Counter()

    def heard(
        self, label: Label, title: str, source: str, endpoint: Endpoint, now: float, end: str = "", host: str = ""
    ) -> None:
        """An answer came.  What it has sealed counts only when nobody spoke for that endpoint before."""
        key = (label, endpoint)
        if key in self._offers:
            end = self._offers[key].end
            self._forget(key)
        else:
            self._forget_old(now)
            if len(self._offers) >= MAX_OFFERS or self._sources[source] >= MAX_PER_SOURCE:
                return
        self._offers[key] = Offer(label, title, source, endpoint, now, end, host)
        self._sources[source] += 1

    def ended(self, endpoint: Endpoint, end: str) -> None:
        """A goodbye came: what it ends is what had its word sealed."""
        seal = sealed(end)
        for key in [key for key, offer in self._offers.items() if offer.end == seal and offer.endpoint == endpoint]:
            self._forget(key)

    def current(self, now: float) -> list[Offer]:
        """What was heard lately: one per label, the newest, by title."""
        self._forget_old(now)
        newest: dict[Label, Offer] = {}
        for offer in sorted(self._offers.values(), key=lambda offer: offer.seen):
            newest[offer.label] = offer
        return sorted(newest.values(), key=lambda offer: (offer.title.lower(), offer.label))

    def _forget_old(self, now: float) -> None:
        while self._offers:
            key, oldest = next(iter(self._offers.items()))
            if now - oldest.seen < LIFETIME:
                return
            self._forget(key)

    def _forget(self, key: tuple[Label, Endpoint]) -> None:
        source = self._offers.pop(key).source
        self._sources[source] -= 1
        if not self._sources[source]:
            del self._sources[source]
