"""Whether a peer sends frames that serve something, without I/O.

Honest peers ping once in seconds, and open, end and credit streams in which data moves.  A flood of such frames without
data costs us more than its sender.  Source: docs/PROTOCOL.md, sections 5.1 and 5.3.
"""

from __future__ import annotations

PINGS = 200  # a second
SPARE = 10_000  # frames without payload that anybody may send
PER_SECOND = 20  # more of them
PER_FRAME = 8  # more for each frame with payload
PER_BYTES = 4096  # one more for so many bytes that moved, either way


class Conduct:
    """Call `judge` when more than `pings_due` pings or `frames_due` frames without payload have come in all."""

    __slots__ = ("_began", "_since", "frames_due", "pings_due")

    def __init__(self, now: float) -> None:
        self._began = self._since = now
        self.pings_due = PINGS
        self.frames_due = SPARE

    def judge(self, now: float, *, pings: int, empty: int, full: int, moved: int) -> str:
        """What the peer did wrong; "" for nothing.

        So many `pings` have come in all, `empty` frames without payload for an open stream, and `full` ones with;
        `moved` are bytes both ways.
        """
        if pings > self.pings_due:
            if now - self._since < 1.0:
                return f"more than {PINGS} pings a second"
            self._since, self.pings_due = now, pings + PINGS
        allowed = SPARE + int(PER_SECOND * (now - self._began)) + PER_FRAME * full + moved // PER_BYTES
        if empty > allowed:
            return f"{empty} frames without payload, and hardly any with"
        self.frames_due = max(allowed, empty)
        return ""
