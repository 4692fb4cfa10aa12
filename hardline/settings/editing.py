"""One value of a settings file, written anew: everything else in it stays as it is, comments, too.

    edited(text, "Info", "title", "Wiki")     title = Wiki, where it was, or first in [Info], or at the end
    edited(text, "Info", "title", None)       without it

Source: docs/SETTINGS.md, the syntax of files.
"""

from __future__ import annotations

import re

_SECTION = re.compile(r"\[(?P<name>[^\]]*)\]")
_KEY = re.compile(r"(?P<key>[^\s=:#;\[][^=:]*?)\s*[=:]")


def edited(text: str, section: str, key: str, value: str | None) -> str:
    """`text` with `key` of `section` as `value`, which is one line as the file is to have it; None takes it away."""
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith(("\n", "\r")):
        lines[-1] += "\n"
    line = [] if value is None else [f"{key} = {value}".rstrip() + "\n"]
    start = next((at for at, one in enumerate(lines) if _section(one) == section), None)
    if start is None:
        return "".join(lines + (["\n"] if lines else []) + [f"[{section}]\n", *line]) if line else "".join(lines)
    end = next((at for at in range(start + 1, len(lines)) if _section(lines[at]) is not None), len(lines))
    there = next((at for at in range(start + 1, end) if _key(lines[at]) == key.lower()), None)
    if there is None:
        lines[start + 1 : start + 1] = line
    else:
        lines[there : _value_end(lines, there, end)] = line
    return "".join(lines)


def _section(line: str) -> str | None:
    found = _SECTION.match(line)
    return found["name"] if found else None


def _key(line: str) -> str | None:
    found = _KEY.match(line)
    return found["key"].lower() if found else None


def _value_end(lines: list[str], start: int, end: int) -> int:
    """Behind the lines in which the value of the key in line `start` goes on."""
    at = start + 1
    while at < end and lines[at][:1] in " \t" and lines[at].strip():
        at += 1
    return at
