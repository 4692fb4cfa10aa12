"""One value of a settings file, written anew: everything else in it stays as it is, comments, too.

    edited(text, "Info", "title", "Wiki")     title = Wiki, where it was, or first in [Info], or at the end
    edited(text, "Info", "title", None)       without it

Where a key is, the one parser says that everything else reads the file by (ini.py).
Source: docs/SETTINGS.md, the syntax of files.
"""

from __future__ import annotations

import re

from hardline.settings.ini import Ini

_LINES = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")  # as the parser has them: no other character ends a line


def edited(text: str, section: str, key: str, value: str | None) -> str:
    """`text` with `key` of `section` as `value`, which is one line as the file is to have it; None takes it away.

    Raises ConfigError where `text` cannot be understood.
    """
    ini, lines = Ini(text, ""), _LINES.findall(text)
    ending = _ending(lines[0]) if lines and _ending(lines[0]) else "\n"
    if lines and not _ending(lines[-1]):
        lines[-1] += ending
    line = "" if value is None else f"{key} = {value}".rstrip() + ending
    if there := ini.line_of(section, key):
        new = [_indent(lines[there - 1]) + line] if line else []
        lines[there - 1 : _value_end(lines, there - 1)] = new
    elif line and (start := ini.line_of(section)):
        first = min((ini.line_of(section, one) for one in ini.keys(section)), default=0)
        # A line that is further in than the one above it would go on with that one's value.
        ended = [] if first or start == len(lines) or not _indent(lines[start]) else [ending]
        lines[start:start] = [(_indent(lines[first - 1]) if first else "") + line, *ended]
    elif line:
        lines += [*([ending] if lines else []), f"[{section}]{ending}", line]
    return "".join(lines)


def _ending(line: str) -> str:
    return line[len(line.rstrip("\r\n")) :]


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())] if line.strip() else ""


def _value_end(lines: list[str], start: int) -> int:
    """Behind the lines in which the value of the key in line `start` goes on."""
    at = start + 1
    while at < len(lines) and len(_indent(lines[at])) > len(_indent(lines[start])):
        if lines[at].lstrip().startswith(("#", ";")):
            break
        at += 1
    return at
