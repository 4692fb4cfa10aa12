"""How long an event loop makes everybody wait: what it works from one to the next of a timer's short periods.

    async with LoopLag() as quiet: …     the control: the same load without what is suspected
    async with LoopLag() as lag: …       lag.p99, lag.worst: seconds

That is processor time of its thread, so that nobody else's work counts.  Compare, or allow the larger of a floor and a
few times the control (`harmful`).
"""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Self

from tests.support.costs import slowness

EVERY = 0.002  # seconds
FLOOR, TIMES = 0.025, 3.0


class LoopLag:
    """Watches the running loop while it is entered."""

    def __init__(self) -> None:
        self.drifts: list[float] = []
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self._again()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.sleep(2 * EVERY)  # what was going on as it ended counts, too
        if self._timer is not None:
            self._timer.cancel()

    @property
    def worst(self) -> float:
        """The longest wait, in seconds."""
        return max(self.drifts, default=0.0)

    @property
    def p99(self) -> float:
        """What 99 of 100 waited at most: of moments, so a long wait counts as often as others would have come in it."""
        waited = sorted(drift for drift in self.drifts for _ in range(1 + int(drift / EVERY)))
        return waited[min(len(waited) * 99 // 100, len(waited) - 1)] if waited else 0.0

    def harmful(self, quiet: LoopLag) -> bool:
        """Whether others had to wait longer than without, and longer than anybody notices."""
        return self.p99 > max(FLOOR * slowness(), TIMES * quiet.p99)

    def _again(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(EVERY, self._woken, time.thread_time())

    def _woken(self, before: float) -> None:
        self.drifts.append(time.thread_time() - before)
        self._again()
