"""A debounce: tell at once that something changed, and of somebody who changes all the time less often.

tell() ──▶ say() now, unless BURST were said within WITHIN seconds; then once when that time is over
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

BURST, WITHIN = 4, 12.0  # so many within so many seconds


class Teller:
    """Calls `say` soon after each `tell`, in the running loop, until `close`."""

    def __init__(self, say: Callable[[], None], *, burst: int = BURST, within: float = WITHIN) -> None:
        self._say, self._within = say, within
        self._said: deque[float] = deque(maxlen=burst)
        self._later: asyncio.TimerHandle | None = None

    def tell(self) -> None:
        """Something changed."""
        if self._later is not None:
            return
        loop = asyncio.get_running_loop()
        full = len(self._said) == self._said.maxlen
        wait = self._said[0] + self._within - loop.time() if full else 0.0
        if wait > 0:
            self._later = loop.call_later(wait, self._now)
        else:
            self._now()

    def close(self) -> None:
        """Say no more.  Idempotent."""
        if self._later is not None:
            self._later.cancel()
            self._later = None

    def _now(self) -> None:
        self._later = None
        self._said.append(asyncio.get_running_loop().time())
        self._say()
