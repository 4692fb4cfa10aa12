"""How people write amounts: durations, sizes, numbers, yes and no; without I/O.

    10m    ──parse_duration──▶ 600.0 seconds ──format_duration──▶ 10m
    256MB  ──parse_size──────▶ 268435456     ──format_size──────▶ 256MB

Sizes are powers of 1024.  docs/SETTINGS.md tells it to users.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

MAX_LIST = 100

KB, MB, GB, TB = 1 << 10, 1 << 20, 1 << 30, 1 << 40
MINUTE, HOUR, DAY = 60, 3_600, 86_400

# Nine digits hold thirty years of seconds and a million terabytes; more is a slip of the finger.
_AMOUNT = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*([a-z]*)\Z", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]{1,15}\Z")

_DURATIONS = {"d": DAY, "h": HOUR, "m": MINUTE, "s": 1, "": 1}
_SIZES = {"tb": TB, "gb": GB, "mb": MB, "kb": KB, "b": 1, "": 1}
_YES, _NO = ("yes", "true", "on", "1"), ("no", "false", "off", "0")


class Unreadable(ValueError):
    """Text that cannot be meant; `expected` ends the sentence "port is 'http', expected …"."""

    def __init__(self, expected: str, hint: str = "") -> None:
        super().__init__(f"expected {expected}")
        self.expected, self.hint = expected, hint


def parse_duration(text: str) -> float:
    """Seconds from `90`, `0.25`, `10m`, `1.5h` or `7d`."""
    return float(_amount(text, _DURATIONS, "a duration such as 90, 10m, 2h or 7d"))


def format_duration(seconds: float) -> str:
    """The shortest text that `parse_duration` reads as `seconds`, to the millisecond."""
    for unit in ("d", "h", "m"):
        if seconds and seconds % _DURATIONS[unit] == 0:
            return f"{seconds / _DURATIONS[unit]:.0f}{unit}"
    return f"{seconds:.3f}".rstrip("0").rstrip(".")


def parse_size(text: str) -> int:
    """Bytes from `4096`, `64KB`, `1.5MB` or `1GB`."""
    return int(_amount(text, _SIZES, "a size such as 4096, 64KB, 256MB or 1GB"))


def format_size(size: int) -> str:
    """The shortest text that `parse_size` reads as exactly `size`."""
    for unit in ("TB", "GB", "MB", "KB"):
        if size and size % _SIZES[unit.lower()] == 0:
            return f"{size // _SIZES[unit.lower()]}{unit}"
    return str(size)


def parse_number(text: str) -> int:
    """A whole number from 0."""
    if not _NUMBER.match(text):
        raise Unreadable("a number")
    return int(text)


def parse_yes_no(text: str) -> bool:
    """`yes`, `true`, `on`, `1`, or their opposites, in any case."""
    word = text.lower()
    if word in _YES:
        return True
    if word in _NO:
        return False
    raise Unreadable("yes or no")


def number(least: int, most: int) -> Callable[[str], int]:
    """A reader of numbers in a range; so are the next two for their units."""

    def read(text: str) -> int:
        try:
            found = parse_number(text)
        except Unreadable:
            found = -1
        if not least <= found <= most:
            raise Unreadable(f"a number from {least} to {most}")
        return found

    return read


def duration(least: float, most: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        seconds = parse_duration(text)
        if not least <= seconds <= most:
            raise Unreadable(f"a duration from {format_duration(least)} to {format_duration(most)}")
        return seconds

    return read


def size(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        found = parse_size(text)
        if not least <= found <= most:
            raise Unreadable(f"a size from {format_size(least)} to {format_size(most)}")
        return found

    return read


def or_none(read: Callable[[str], T]) -> Callable[[str], T | None]:
    """A reader that takes the word `none` as well."""

    def read_or_none(text: str) -> T | None:
        if text.lower() == "none":
            return None
        try:
            return read(text)
        except Unreadable as wrong:
            raise Unreadable(f"{wrong.expected}, or none", wrong.hint) from None

    return read_or_none


def choice(*words: str) -> Callable[[str], str]:
    """A reader of one word of a few, in any case."""

    def read(text: str) -> str:
        if text.lower() not in words:
            raise Unreadable(f"one of {', '.join(words)}")
        return text.lower()

    return read


def list_of(read: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    """A reader of entries with commas or line ends between them."""

    def read_list(text: str) -> tuple[T, ...]:
        parts = [part.strip() for part in re.split(r"[,\n]", text) if part.strip()]
        if len(parts) > MAX_LIST:
            raise Unreadable(f"at most {MAX_LIST} entries")
        return tuple(read(part) for part in parts)

    return read_list


def _amount(text: str, units: dict[str, int], expected: str) -> float:
    match = _AMOUNT.match(text)
    if not match or (scale := units.get(match[2].lower())) is None:
        raise Unreadable(expected)
    # A whole number stays one: a float would lose the last bytes of a very big size.
    return float(match[1]) * scale if "." in match[1] else int(match[1]) * scale
