"""What stands in one cell of a list for people, and rows of cells as lines; without I/O.

table([("nas", "LAN 12 ms"), ("office", "seen 3 days ago")])      "  nas     LAN 12 ms"
                                                                  "  office  seen 3 days ago"
"""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

from hardline.showable import plain

_WIDEST = 40  # columns that one cell keeps free for those above and below it
_NARROWEST = 4  # that are left of one that is cut


def table(rows: Sequence[Sequence[str]], width: int | None = None) -> Iterator[str]:
    """Rows as lines; in a terminal of `width` columns what is longest is cut, so that each row stays one line."""
    if not rows:
        yield "  nothing"
        return
    widths = [min(max(map(columns, cells)), _WIDEST) for cells in zip(*rows, strict=True)]
    if width is not None:
        rows, widths = _fitted(rows, width)
    for row in rows:
        padded = [cell + " " * (wide - columns(cell)) for cell, wide in zip(row, widths, strict=True)]
        yield f"  {'  '.join(padded).rstrip()}"


def fits(rows: Sequence[Sequence[str]], width: int) -> bool:
    """Nothing of these has to be cut."""
    return not rows or sum(max(map(columns, cells)) + 2 for cells in zip(*rows, strict=True)) <= width


def _fitted(rows: Sequence[Sequence[str]], width: int) -> tuple[list[list[str]], list[int]]:
    widths = [max(map(columns, cells)) for cells in zip(*rows, strict=True)]
    while (over := sum(wide + 2 for wide in widths) - width) > 0 and max(widths) > _NARROWEST:
        longest = widths.index(max(widths))
        next_one = max((wide for index, wide in enumerate(widths) if index != longest), default=0)
        widths[longest] = max(_NARROWEST, widths[longest] - over, min(next_one, widths[longest] - 1))
    return [[cut(cell, wide) for cell, wide in zip(row, widths, strict=True)] for row in rows], widths


def columns(text: str) -> int:
    """Columns of a terminal, as nearly as can be told: letters of East Asia take two, accents that stand alone none."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(unicodedata.category(letter) in ("Mn", "Me", "Cf") for letter in text)


def cut(text: str, most: int) -> str:
    """`text` in at most so many columns; what is cut ends in …"""
    if columns(text) <= most:
        return text
    while text and columns(text) > most - 1:
        text = text[:-1]
    return f"{text}…"


def short_key(key_hash: str) -> str:
    """Enough of a key hash to tell two apart, and too little to visit by."""
    return f"{key_hash[:4]}…{key_hash[-4:]}"


def where(offer: dict[str, Any]) -> str:
    """Which computer offers it: as it is called, for who has to tell two apart, and else where it is."""
    return f"on {plain(offer['host'])}" if offer.get("host") else f"at {offer['source']}"


def kind_of(session: dict[str, Any]) -> str:
    """The kind of a path, as people read it."""
    kind = session.get("kind") or session.get("via") or "unknown"  # a daemon that was not restarted yet tells no kind
    return "LAN" if kind == "LAN" else str(kind).lower()


def how_link(link: dict[str, Any], now: float) -> str:
    """`up for 5 min, round trip 12 ms`; `down for 3 s: the other node does not answer`."""
    how = f"{link['state']} for {lasted(now - link['since'])}"
    if link["state"] == "up" and link["round_trip_s"]:
        how += f", round trip {1000 * link['round_trip_s']:.0f} ms"
    if link["reason"]:
        how += f": {plain(link['reason'])}" if link["state"] == "down" else f" (last down: {plain(link['reason'])})"
    return how


def when(moment: float, now: float) -> str:
    """A moment, in seconds since 1970 as `now` is: of today by the clock alone."""
    at = time.localtime(moment)
    return time.strftime("%H:%M" if at[:3] == time.localtime(now)[:3] else "%Y-%m-%d %H:%M", at)


def ago(seconds: float) -> str:
    """How long something is past."""
    for unit_size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if (count := int(seconds // unit_size)) >= 1:
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return "just now"


def span(seconds: float) -> str:
    """How long something will be so."""
    return ago(seconds).removesuffix(" ago").replace("just now", "a moment")


def lasted(seconds: float) -> str:
    """How long something has been so."""
    for unit_size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * unit_size:
            return f"{seconds / unit_size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def size(count: int) -> str:
    """So many bytes."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
