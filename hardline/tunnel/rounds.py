"""When it is tried again, without I/O: at once three times, then after 1, 5 and 15 minutes, then every hour.

    lost(now) ──▶ at: when the next try may begin          network_changed() ──▶ now

A round is up to three tries, each from other ports: a router keeps what it has seen of the last one for two minutes.
Source: docs/PROTOCOL.md, section 10.4.
"""

from __future__ import annotations

from collections import deque

TRIES = 3  # of a round
PAUSES = (60.0, 300.0, 900.0, 3600.0)  # seconds between rounds, the last one again and again
BUSY = 60.0  # seconds until it is asked again where there was no room for a try
MOST_AN_HOUR = 8  # rounds
_HOUR = 3600.0


class Rounds:
    """Those of one visitor with one host; times are seconds on any monotonic clock."""

    def __init__(self) -> None:
        self.at = 0.0
        self._tries, self._paused = 0, 0
        self._begun: deque[float] = deque()

    def takes(self, now: float) -> bool:
        """The host begins a try, which begins a round where none is under way: whether there may be one."""
        if self._tries:
            return True
        while self._begun and now - self._begun[0] >= _HOUR:
            self._begun.popleft()
        if len(self._begun) >= MOST_AN_HOUR:
            self.at = self._begun[0] + _HOUR
            return False
        self._begun.append(now)
        self._tries = 1
        return True

    def lost(self, now: float) -> None:
        """A try came to nothing."""
        if 0 < self._tries < TRIES:
            self._tries += 1
            self.at = now
            return
        self._tries = 0
        self.at = max(self.at, now + PAUSES[min(self._paused, len(PAUSES) - 1)])
        self._paused += 1

    def won(self) -> None:
        """A path came of it: when that is gone, it begins anew, and what came to something counts for nothing."""
        self._tries = self._paused = 0
        if self._begun:
            self._begun.pop()

    def busy(self, now: float) -> None:
        """There was no room for a try."""
        self.at = max(self.at, now + BUSY)

    def network_changed(self, now: float) -> None:
        """What did not work may work now."""
        self._tries = self._paused = 0
        self.at = now
