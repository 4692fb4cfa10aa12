"""Is the other end still there? without I/O.

A ping goes out after `interval` seconds without traffic, and 1 s after something was sent that nothing answered.
Whatever arrives is a sign of life; `timeout` seconds after an unanswered ping the peer is dead.
Source: docs/PROTOCOL.md, section 5.3.
"""

from __future__ import annotations

import enum

UNANSWERED = 1.0


class Due(enum.Enum):
    """What `Liveness.tick` wants done."""

    NOTHING = enum.auto()
    PING = enum.auto()
    DEAD = enum.auto()


class Liveness:
    """Call `heard` and `sent` for all traffic, and `tick` when `deadline` passes (it moves: ask again afterwards)."""

    __slots__ = ("_asked", "_heard", "_interval", "_pinged", "_timeout")

    def __init__(self, now: float, interval: float, timeout: float) -> None:
        self._interval, self._timeout = interval, timeout
        self._heard = now
        self._asked: float | None = None  # since when something sent is without an answer
        self._pinged: float | None = None

    def heard(self, now: float) -> None:
        """Bytes arrived."""
        self._heard = now
        self._asked = None
        self._pinged = None

    def sent(self, now: float) -> bool:
        """Data or credit went out, which the peer answers.  Pings and pongs do not count: they would never end.

        True when `deadline` may have come closer.
        """
        if self._asked is not None:
            return False
        self._asked = now
        return True

    def doubt(self, now: float) -> None:
        """Something else says that the peer may be gone: ask at once."""
        if self._pinged is None:
            self._asked = now - UNANSWERED

    def wait_on(self, now: float) -> None:
        """Give the answer to the ping another `timeout` seconds."""
        self._pinged = now

    @property
    def heard_at(self) -> float:
        """When bytes arrived last."""
        return self._heard

    def owes(self, now: float) -> bool:
        """The peer has answered nothing for UNANSWERED seconds, though it was asked."""
        since = self._asked if self._asked is not None else self._pinged
        return since is not None and now - since > UNANSWERED

    @property
    def deadline(self) -> float:
        """When `tick` has something to do, unless something is heard before."""
        if self._pinged is not None:
            return self._pinged + self._timeout
        idle = self._heard + self._interval
        return idle if self._asked is None else min(idle, self._asked + UNANSWERED)

    def tick(self, now: float) -> Due:
        """What is due at `now`."""
        if now < self.deadline:
            return Due.NOTHING
        if self._pinged is not None:
            return Due.DEAD
        self._pinged = now
        return Due.PING
