"""Clocks of daemons that are off, by libfaketime: the monotonic clock and the times of files stay the real ones.

clock = Clock(file, library())
Node(…, env=clock.env)             after clock.set("+0") its clock is right, a second after clock.set("+2d") it is not
"""

from __future__ import annotations

from pathlib import Path


def library() -> Path | None:
    """libfaketime, where it is installed."""
    return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


class Clock:
    """One daemon's, which is kept in `file`; without the library it is right for ever."""

    def __init__(self, file: Path, preloaded: Path | None) -> None:
        self._file = file
        self.env: dict[str, str] = {}
        if preloaded is not None:
            self.env = {
                "LD_PRELOAD": str(preloaded),
                "FAKETIME_TIMESTAMP_FILE": str(file),
                "FAKETIME_CACHE_DURATION": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "NO_FAKE_STAT": "1",
            }

    def set(self, offset: str) -> None:
        """How far it is off, as libfaketime writes it; a running daemon sees it within a second."""
        draft = self._file.with_suffix(".draft")
        draft.write_text(f"{offset}\n")
        draft.rename(self._file)
