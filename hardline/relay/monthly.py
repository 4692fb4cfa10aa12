"""How much a relay has passed this month, in a file, so that a restart does not begin anew.

A month is one of UTC.  What cannot be read counts as nothing passed: a damaged file must not stop a relay.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

from hardline import log
from hardline.files import read_small, replace_whole

SAVE_EVERY = 60.0  # seconds
LOOK_EVERY = 1.0
_MAX_FILE = 1024


class Monthly:
    """At most `limit` bytes a month; 0: no limit.

    `volume` is all that has passed since the start, `used_up` is called with whether the month's is, when that changes;
    `clock` is seconds since 1970.
    """

    def __init__(
        self,
        file: Path,
        limit: int,
        volume: Callable[[], int],
        used_up: Callable[[bool], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._file, self._limit = file, limit
        self._volume, self._used_up, self._clock = volume, used_up, clock
        self._month, self._before, self._counted = "", 0, 0
        self._is_used_up = False

    @property
    def passed(self) -> int:
        """Bytes of this month."""
        return self._before + self._volume() - self._counted

    async def run(self) -> None:
        """Count and keep count, until cancelled."""
        await asyncio.to_thread(self._load)
        self._look()
        loop, saved, due = asyncio.get_running_loop(), self.passed, 0.0
        try:
            while True:
                await asyncio.sleep(LOOK_EVERY)
                self._look()
                if self.passed != saved and loop.time() >= due:
                    saved, due = self.passed, loop.time() + SAVE_EVERY
                    await asyncio.to_thread(self._save, self._month, saved)
        finally:
            if self.passed != saved:
                self._save(self._month, self.passed)

    def _look(self) -> None:
        month = time.strftime("%Y-%m", time.gmtime(self._clock()))
        if month != self._month:
            self._month, self._before, self._counted = month, 0, self._volume()
        used_up = bool(self._limit) and self.passed >= self._limit
        if used_up != self._is_used_up:
            self._is_used_up = used_up
            if used_up:
                log.warning("relay.used_up", passed=self.passed, hint="[Relay] monthly; it goes on next month")
            self._used_up(used_up)

    def _load(self) -> None:
        self._month, self._counted = time.strftime("%Y-%m", time.gmtime(self._clock())), self._volume()
        try:
            kept = json.loads(read_small(self._file, _MAX_FILE).data)
            if kept["month"] == self._month and type(kept["passed"]) is int and kept["passed"] >= 0:
                self._before = kept["passed"]
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError) as failure:
            log.warning("relay.count_lost", file=self._file, reason=str(failure))

    def _save(self, month: str, passed: int) -> None:
        try:
            replace_whole(self._file, json.dumps({"month": month, "passed": passed}).encode())
        except OSError as failure:
            log.warning("relay.count_not_kept", file=self._file, reason=str(failure))
