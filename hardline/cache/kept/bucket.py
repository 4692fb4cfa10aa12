"""How fast a cache may download, as a token bucket without I/O.

full at first: an hour's worth at once, then the rate         bytes until t  ≤  an hour's worth + rate × t
"""

from __future__ import annotations

_HOUR = 3600.0


class TokenBucket:
    """Bytes that may be downloaded: `rate_per_hour` of them each hour, and as many at once after an hour of rest.

    `now` is seconds on any monotonic clock; this class never reads one itself.
    """

    def __init__(self, rate_per_hour: int, now: float) -> None:
        if rate_per_hour <= 0:
            raise ValueError("a rate is at least 1 byte per hour")
        self._burst = self._left = float(rate_per_hour)
        self._per_second = rate_per_hour / _HOUR
        self._counted = now

    def take(self, count: int, now: float) -> float:
        """Take `count` bytes, of any number; return the seconds to wait before they may be downloaded.

        Who comes while others wait has its turn after them.
        """
        self._fill(now)
        self._left -= count
        return max(-self._left / self._per_second, 0.0)

    def wait_for(self, count: int, now: float) -> float:
        """The seconds until `count` bytes are there to be taken; for more than there can be, until it is full."""
        self._fill(now)
        return max((min(count, self._burst) - self._left) / self._per_second, 0.0)

    def _fill(self, now: float) -> None:
        self._left = min(self._burst, self._left + max(now - self._counted, 0.0) * self._per_second)
        self._counted = max(now, self._counted)
