"""Messages as lines of JSON, without I/O: what a relay and a node, and the two ends of a control stream, say.

    {"ping":7}\\n ──▶ Lines ──▶ read ──▶ ("ping", 7)          ("ping", 7) ──▶ write ──▶ the line

A line is an object with one key, the message.  Source: docs/PROTOCOL.md, sections 9.2 and 10.1.
"""

from __future__ import annotations

import json

from hardline.errors import PeerError
from hardline.session.hello import parse_object

MAX_LINE = 4096  # bytes, with the line feed


def write(kind: str, value: object) -> bytes:
    """The line, with its end."""
    return json.dumps({kind: value}, separators=(",", ":")).encode("ascii") + b"\n"


def read(line: bytes) -> tuple[str, object]:
    """The one key of a line, without its end, and its value.  Raises PeerError."""
    if len(line) >= MAX_LINE:
        raise PeerError(f"a line of more than {MAX_LINE} bytes")
    fields = parse_object(line)
    if len(fields) != 1:
        raise PeerError(f"a line with {len(fields)} messages")
    [(kind, value)] = fields.items()
    return kind, value


class Lines:
    """Finds lines in bytes that come in pieces."""

    def __init__(self) -> None:
        self._said = b""

    def feed(self, data: bytes) -> None:
        """Bytes came."""
        self._said += data

    def next(self) -> bytes | None:
        """The next line, without its end; None where none is whole.  Raises PeerError for one that is too long."""
        line, end, rest = self._said.partition(b"\n")
        if end:
            self._said = rest
            return line
        if len(line) >= MAX_LINE:
            raise PeerError(f"a line of more than {MAX_LINE} bytes")
        return None
