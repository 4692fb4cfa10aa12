"""How far two clocks are apart of which one tells no more than its day, without I/O."""

from __future__ import annotations

from collections.abc import Sequence

_DAY = 24.0  # hours


def at_least_apart(day: int, now: float) -> float:
    """By how many hours at least a clock with this UTC day is ahead of `now`, seconds since 1970; below 0: behind."""
    today, hour = int(now // 86_400), now % 86_400 / 3600
    ahead = day - today
    if ahead > 0:
        return ahead * _DAY - hour
    return (ahead + 1) * _DAY - hour if ahead < 0 else 0.0


def most_against(apart: Sequence[float]) -> list[float]:
    """Of hours that others are apart those that agree against this clock; none where these are not most of several."""
    for sign in (1, -1):
        off = [hours for hours in apart if sign * hours >= 1]
        if len(off) >= 2 and 2 * len(off) > len(apart):
            return off
    return []


def in_words(hours: float) -> str:
    """`2 h`, `3 d`."""
    return f"{hours:.0f} h" if hours < 3 * _DAY else f"{hours / _DAY:.0f} d"
