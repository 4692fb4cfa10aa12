"""Whether joins go to a relay as they are, or inside TLS because a firewall passes nothing else; without I/O.

    as they are ──no answer twice, while the control connection stands──▶ inside TLS
         ▲── a line of our own was answered as it is, another network, or no answer twice ──┘

Source: docs/PROTOCOL.md, section 9.4.
"""

from __future__ import annotations

MISSES = 2  # joins in a row without an answer
FIRST_LOOK, LONGEST = 60.0, 3600.0  # seconds until it is tried whether lines pass as they are; twice as long each time


class JoinWay:
    """To one relay.  `inside` is how the next join goes."""

    def __init__(self) -> None:
        self.inside = False
        self._proven = False  # inside TLS one was answered
        self._missed = 0
        self.look_after = FIRST_LOOK

    def answered(self, *, inside: bool) -> None:
        """A line was, whatever the answer is."""
        if inside == self.inside:
            self._missed, self._proven = 0, inside

    def unanswered(self, *, inside: bool) -> bool:
        """One was not: closed, reset or silent.  Returns whether the way is another from now on."""
        if inside != self.inside:
            return False
        self._missed += 1
        if self._missed < MISSES:
            return False
        self._go(inside=not inside)
        return True

    def looked(self, *, passes: bool) -> None:
        """A line that means nothing was said as it is, and answered if it passes."""
        if passes:
            self._go(inside=False)
        else:
            self.look_after = min(2 * self.look_after, LONGEST)

    def parted(self) -> None:
        """The control connection is gone: what was not answered proves nothing of the way."""
        self._missed = 0
        if not self._proven:
            self._go(inside=False)

    def network_changed(self) -> None:
        """This machine is in another network."""
        self._go(inside=False)

    def _go(self, *, inside: bool) -> None:
        self.inside, self._missed, self._proven, self.look_after = inside, 0, False, FIRST_LOOK
