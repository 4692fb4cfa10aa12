"""How many packets are read, in all and of one source, without I/O.

Reading a packet costs more than sending it: what comes faster than this is dropped unread.
Source: docs/PROTOCOL.md, section 6.5.
"""

from __future__ import annotations

from collections import OrderedDict

_TABLE = 1024


class Rate:
    """A bucket that holds `burst` and gains `per_second`; `now` is seconds on any monotonic clock."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_second, self._burst = per_second, burst
        self._tokens, self._counted = burst, float("-inf")

    def takes(self, now: float) -> bool:
        """There is room for one more."""
        self._tokens = min(self._burst, self._tokens + (now - self._counted) * self._per_second)
        self._counted = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Rates:
    """One bucket for everybody, and one for each source, which is a `share` of it."""

    def __init__(self, per_second: float, burst: float, *, share: float) -> None:
        self._per_second, self._burst, self._share = per_second, burst, share
        self._all = Rate(per_second, burst)
        self._sources: OrderedDict[str, Rate] = OrderedDict()

    def takes(self, source: str, now: float) -> bool:
        """There is room for one more of `source`."""
        rate = self._sources.pop(source, None) or Rate(self._per_second * self._share, self._burst * self._share)
        self._sources[source] = rate
        if len(self._sources) > _TABLE:
            self._sources.popitem(last=False)
        return rate.takes(now) and self._all.takes(now)
