"""Whether joins go to a relay as they are, or inside TLS because a firewall passes nothing else; without I/O.

    as they are ──no answer twice, while the control connection stands──▶ inside TLS
         ▲── a line of our own was answered as it is, another network, or no answer twice ──┘

A relay that ends closes its joins and its control connections at about the same time, in any order: what was not
answered just before the control connection was gone is no reason.

Source: docs/PROTOCOL.md, section 9.4.
"""

from __future__ import annotations

MISSES = 2  # joins in a row without an answer
AT_ONCE = 2.0  # seconds in which all that a relay's end closes is closed
FIRST_LOOK, LONGEST = 60.0, 3600.0  # seconds until it is tried whether lines pass as they are; twice as long each time


class JoinWay:
    """To one relay.  `inside` is how the next join goes."""

    def __init__(self) -> None:
        self.inside = False
        self._proven = False  # inside TLS one was answered
        self._missed = 0
        self.look_after = FIRST_LOOK
        self._left: tuple[float, bool, float] | None = None  # the other way: when, and what was known of it

    @property
    def only_tls(self) -> bool:
        """Whether inside TLS a line was answered, and as they are none."""
        return self.inside and self._proven

    def answered(self, *, inside: bool) -> bool:
        """A line was, whatever the answer is.  Returns whether this has shown that only TLS passes."""
        if inside != self.inside:
            return False
        news = inside and not self._proven
        self._missed, self._proven, self._left = 0, inside, None
        return news

    def unanswered(self, *, inside: bool, now: float) -> bool:
        """One was not: closed, reset or silent.  Returns whether the way is another from now on.

        `now` is seconds by the clock of `parted`.
        """
        if inside != self.inside:
            return False
        self._missed += 1
        if self._missed < MISSES:
            return False
        left = now, self._proven, self.look_after
        self._go(inside=not inside)
        self._left = left
        return True

    def looked(self, *, passes: bool) -> None:
        """A line that means nothing was said as it is, and answered if it passes."""
        if passes:
            self._go(inside=False)
        else:
            self.look_after = min(2 * self.look_after, LONGEST)

    def parted(self, now: float) -> None:
        """The control connection is gone: what was not answered proves nothing of the way."""
        if self._left is not None and now - self._left[0] <= AT_ONCE:
            self.inside = not self.inside
            _, self._proven, self.look_after = self._left
        self._missed, self._left = 0, None
        if not self._proven:
            self._go(inside=False)

    def network_changed(self) -> None:
        """This machine is in another network."""
        self._go(inside=False)

    def _go(self, *, inside: bool) -> None:
        self.inside, self._missed, self._proven, self.look_after = inside, 0, False, FIRST_LOOK
        self._left = None
