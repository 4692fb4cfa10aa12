"""A clock for "soon enough": it goes only as fast as this machine lets anybody go.

A thread sleeps a hundredth of a second again and again, and counts.  On a machine that is busy or slow it wakes late,
as the code under test does, and its clock goes slower by as much.  So `beats() - began < 2` says what
`time.monotonic() - began < 2` means, and never fails because somebody else had the processor.
"""

from __future__ import annotations

import threading
import time

_BEAT = 0.01  # seconds


class _Heart(threading.Thread):
    def __init__(self) -> None:
        super().__init__(name="beats", daemon=True)
        self.count = 0

    def run(self) -> None:
        while True:
            time.sleep(_BEAT)
            self.count += 1


_heart: _Heart | None = None


def beats() -> float:
    """Seconds, at most as many as have passed; the first call starts it."""
    global _heart
    if _heart is None or not _heart.is_alive():
        _heart = _Heart()
        _heart.start()
    return _heart.count * _BEAT
