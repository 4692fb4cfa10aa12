"""Who may visit a service with `clients = invited`: the lines of NAME.ini.clients, without I/O.

    # key hash of the visitor's own key (`hardline key ADDRESS` prints it there), and who that is
    1f0c9f2d6a8b4e1790aa33bb44cc55dd00112233 Anna's laptop, since May

A line that cannot be read lets nobody in, and keeps nobody else out.  Source: docs/SETTINGS.md.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection
from dataclasses import dataclass

from hardline.errors import BadKeyHash
from hardline.identity import KeyHash

MAX_CLIENTS = 10_000
_MAX_NOTES = 5
_MAX_LINES = 2 * MAX_CLIENTS
_LINES = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
_LINE_END = re.compile(r"\r\n?|\n")  # and nothing else: what is pasted behind # may have line ends of other kinds


@dataclass(frozen=True, slots=True)
class Clients:
    """Those who may visit, and what is wrong with the file that names them."""

    allowed: frozenset[KeyHash] = frozenset()
    notes: tuple[str, ...] = ()


def client_lines(text: str) -> tuple[tuple[KeyHash, str], ...]:
    """Who may visit, in the order of the file, each with what its owner wrote behind it."""
    found = dict[KeyHash, str]()
    for line in _LINE_END.split(text)[:_MAX_LINES]:
        client, *note = line.split(maxsplit=1) or [""]
        with contextlib.suppress(BadKeyHash):
            found.setdefault(KeyHash.parse(client), "".join(note).strip())
    return tuple(found.items())


def with_client(text: str, client: KeyHash, note: str) -> str:
    """`text` with one more who may visit."""
    before = text if not text or text.endswith(("\n", "\r")) else f"{text}\n"
    return f"{before}{client} {note}".rstrip() + "\n"


def without_clients(text: str, clients: Collection[KeyHash]) -> str:
    """`text` without the lines of `clients`; everything else stays as it is."""

    def stays(line: str) -> bool:
        try:
            return KeyHash.parse((line.split(maxsplit=1) or [""])[0]) not in clients
        except BadKeyHash:
            return True

    return "".join(filter(stays, _LINES.findall(text)))


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
