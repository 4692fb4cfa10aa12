"""Whether a router forgot what it was told, by the clock that it sends along, without I/O.

Every answer of NAT-PMP and PCP carries the seconds since the router's mappings were last lost.  When that clock falls
behind ours, the router was restarted.  Source: RFC 6887, section 8.5; RFC 6886, section 3.6.
"""

from __future__ import annotations

_SLACK = 2.0  # seconds
_DRIFT = 1 / 16


class Epoch:
    """Follows one router's clock.  `now` is seconds on any monotonic clock."""

    def __init__(self) -> None:
        self._last: tuple[int, float] | None = None

    def restarted(self, epoch: int, now: float) -> bool:
        """Take the clock of an answer; True when the router lost its mappings since the answer before."""
        before, self._last = self._last, (epoch, now)
        if before is None:
            return False
        theirs, ours = epoch - before[0], now - before[1]
        behind = theirs + _SLACK < ours - ours * _DRIFT
        ahead = ours + _SLACK < theirs - theirs * _DRIFT
        return theirs < -1 or behind or ahead
