"""When it is tried again, without I/O: at once three times, then after 1, 5 and 15 minutes, then every hour.

    lost(now) ──▶ at: when the next try may begin          network_changed() ──▶ now

A round is up to three tries, each from other ports: a router keeps what it has seen of the last one for two minutes.
Source: docs/PROTOCOL.md, section 10.4.
"""

from __future__ import annotations

from collections import deque

TRIES = 3  # of a round
PAUSES = (60.0, 300.0, 900.0, 3600.0)  # seconds between rounds, the last one again and again
MOST_AN_HOUR = 8  # rounds
_HOUR = 3600.0


class Rounds:
    """Those of one visitor with one host; the first try begins by itself at `now`, seconds on any monotonic clock."""

    def __init__(self, now: float) -> None:
        self.at = now
        self._tries, self._paused = 0, 0
        self._begun = deque([now])

    def lost(self, now: float) -> None:
        """A try came to nothing."""
        self._tries += 1
        if self._tries < TRIES:
            self.at = now
            return
        self._next(now + PAUSES[min(self._paused, len(PAUSES) - 1)])
        self._paused += 1

    def network_changed(self, now: float) -> None:
        """What did not work may work now."""
        self._paused = 0
        self._next(now)

    def _next(self, at: float) -> None:
        """A round begins then, or as soon as there may be one."""
        while self._begun and at - self._begun[0] >= _HOUR:
            self._begun.popleft()
        if len(self._begun) >= MOST_AN_HOUR:
            at = self._begun.popleft() + _HOUR
        self._tries, self.at = 0, at
        self._begun.append(at)
