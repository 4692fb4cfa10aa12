"""When a certificate is renewed, and when one that was refused is asked for again, without I/O.

begins ─────────────── 2/3 ──▶ renewed ─── ends           the authority may want it earlier (RFC 9773)
refused ─ 1 min ─ 3 min ─ 9 min ─ … ─ 12 h ─ 12 h         authorities count what fails, and shut out who insists
"""

from __future__ import annotations

import math

SHARE = 2 / 3  # of its life
SUGGESTED_AFTER = 86_400.0  # seconds of its life before which no suggestion is followed: it may be a mistake
FIRST_PAUSE, LONGEST_PAUSE, FACTOR = 60.0, 12 * 3600.0, 3  # seconds


def renew_at(begins: float, ends: float, suggested: float | None) -> float:
    """When to renew what is good from `begins` to `ends`; `suggested` is the authority's word.  Seconds since 1970."""
    ours = begins + SHARE * (ends - begins)
    return ours if suggested is None else min(ours, max(suggested, begins + SUGGESTED_AFTER))


def pause_after(failures: int) -> float:
    """Seconds until the next attempt, after so many that failed in a row, one at least."""
    return min(FIRST_PAUSE * math.pow(FACTOR, min(failures - 1, 16)), LONGEST_PAUSE)
