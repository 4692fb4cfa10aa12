"""Telling systemd that this process still works (sd_watchdog_enabled(3), WatchdogSec= of systemd.service(5)).

Fed by the event loop, and only after a worker thread has done a job: where either hangs, nothing is told, and systemd
starts the process anew.  Disks that hang have threads of their own (disks.py), and are no reason.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping

from hardline.notify import notify

_TIMES = 3  # within the time that systemd waits
_SHORTEST = 0.01  # seconds


def watchdog_interval(environment: Mapping[str, str], pid: int) -> float | None:
    """Seconds between two feedings; None where nobody waits for them, or for those of another process."""
    text, whose = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", str(pid))
    if not (text.isascii() and text.isdigit()) or whose != str(pid):
        return None
    microseconds = int(text[:18])
    return max(microseconds / 1e6 / _TIMES, _SHORTEST) if microseconds else None


async def feed_watchdog(interval: float) -> None:
    """Feed it every `interval` seconds until cancelled, as long as this process works."""
    while True:
        await asyncio.to_thread(os.getpid)
        notify(WATCHDOG="1")
        await asyncio.sleep(interval)
