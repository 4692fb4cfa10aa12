"""Who may visit a service with `clients = invited`: the lines of NAME.ini.clients, without I/O.

    # key hash of the visitor's own key (`hardline key ADDRESS` prints it there), and who that is
    1f0c9f2d6a8b4e1790aa33bb44cc55dd00112233 Anna's laptop, since May

A line that cannot be read lets nobody in, and keeps nobody else out.  Source: docs/SETTINGS.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hardline.errors import BadKeyHash
from hardline.identity import KeyHash

MAX_CLIENTS = 10_000
_MAX_NOTES = 5
_MAX_LINES = 2 * MAX_CLIENTS
_LINE_END = re.compile(r"\r\n?|\n")  # and nothing else: what is pasted behind # may have line ends of other kinds


@dataclass(frozen=True, slots=True)
class Clients:
    """Those who may visit, and what is wrong with the file that names them."""

    allowed: frozenset[KeyHash] = frozenset()
    notes: tuple[str, ...] = ()


def parse_clients(text: str, name: str) -> Clients:
    """Read the file `name`: a key hash a line, then whatever its owner likes; # begins a comment."""
    allowed, notes = set[KeyHash](), list[str]()
    for number, line in enumerate(_LINE_END.split(text), 1):
        if number > _MAX_LINES:
            notes.append(f"{name}: more than {_MAX_LINES} lines; those behind are not read")
            break
        words = line.split(maxsplit=1)
        if not words or words[0].startswith("#"):
            continue
        try:
            client = KeyHash.parse(words[0])
        except BadKeyHash:
            notes.append(f"{name}:{number}: expected a key hash first, as `hardline key` prints it")
            continue
        if len(allowed) == MAX_CLIENTS and client not in allowed:
            notes.append(f"{name}:{number}: more than {MAX_CLIENTS} clients; those from here on are not let in")
            break
        allowed.add(client)
    if not allowed:
        notes.append(f"{name}: names nobody, so nobody may visit")
    if len(notes) > _MAX_NOTES:
        notes[_MAX_NOTES:] = [f"{name}: and {len(notes) - _MAX_NOTES} more lines like these"]
    return Clients(frozenset(allowed), tuple(notes))
