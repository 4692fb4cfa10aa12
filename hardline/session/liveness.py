"""Is the other end still there? without I/O.

A ping goes out after `interval` seconds without traffic, and 1 s after something was sent that nothing answered.
Whatever arrives is a sign of life; `timeout` seconds after an unanswered ping the peer is dead.
Source: docs/PROTOCOL.md, section 5.3.
"""

from __future__ import annotations

import enum
import math

from hardline.native.books import Marks

UNANSWERED = 1.0


class Due(enum.Enum):
    """What `Liveness.tick` wants done."""

    NOTHING = enum.auto()
    PING = enum.auto()
    DEAD = enum.auto()


class Liveness(Marks):
    """Call `heard` and `sent` for all traffic, and `tick` when `deadline` passes (it moves: ask again afterwards).

    `heard_at` is when bytes arrived last, `alarm_at` when its owner will call `tick`.
    """

    __slots__ = ()

    def __init__(self, now: float, interval: float, timeout: float) -> None:
        self.interval, self.timeout = interval, timeout
        self.heard_at = now
        self.asked_at = math.inf  # since when something sent is without an answer
        self.pinged_at = math.inf
        self.alarm_at = -math.inf

    def heard(self, now: float) -> None:
        """Bytes arrived."""
        self.heard_at = now
        self.asked_at = self.pinged_at = math.inf

    def sent(self, now: float) -> bool:
        """Data or credit went out, which the peer answers.  Pings and pongs do not count: they would never end.

        True when `deadline` may have come closer.
        """
        if self.asked_at != math.inf:
            return False
        self.asked_at = now
        return True

    def doubt(self, now: float) -> None:
        """Something else says that the peer may be gone: ask at once."""
        if self.pinged_at == math.inf:
            self.asked_at = now - UNANSWERED

    def wait_on(self, now: float) -> None:
        """Give the answer to the ping another `timeout` seconds."""
        self.pinged_at = now

    def owes(self, now: float) -> bool:
        """The peer has answered nothing for UNANSWERED seconds, though it was asked."""
        since = self.asked_at if self.asked_at != math.inf else self.pinged_at
        return now - since > UNANSWERED

    @property
    def deadline(self) -> float:
        """When `tick` has something to do, unless something is heard before."""
        if self.pinged_at != math.inf:
            return self.pinged_at + self.timeout
        return min(self.heard_at + self.interval, self.asked_at + UNANSWERED)

    def tick(self, now: float) -> Due:
        """What is due at `now`."""
        if now < self.deadline:
            return Due.NOTHING
        if self.pinged_at != math.inf:
            return Due.DEAD
        self.pinged_at = now
        return Due.PING
