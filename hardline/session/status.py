"""The host's first bytes on every stream, without I/O: whether its local service was reached.

    {}\n                                                            payload follows
    {"error":"refused"|"timeout"|"limit"|"unavailable","detail":…}\n     the stream ends

Source: docs/PROTOCOL.md, section 5.4.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from hardline.errors import PeerError, ServiceFailed
from hardline.session.hello import HelloReader

MAX_LINE = 1024
MAX_DETAIL = 200
KINDS = ("refused", "timeout", "limit", "unavailable")

_REACHED = b"{}\n"


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """`kind` is "" when the service was reached, else one of KINDS; `detail` is for people."""

    kind: str = ""
    detail: str = ""

    def encode(self) -> bytes:
        """The line, with its end."""
        if not self.kind:
            return _REACHED
        # At most four bytes of JSON escapes a character would not fit the line: ASCII is enough for our own words.
        detail = _clean(self.detail).encode("ascii", "replace").decode()
        return json.dumps({"error": self.kind, "detail": detail}, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def parse(cls, line: bytes) -> StreamStatus:
        """Read it.  Raises PeerError for what is none; an unknown kind counts as unavailable."""
        if line == b"{}":
            return cls()
        try:
            fields = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError):
            raise PeerError("a stream's status line that is not JSON") from None
        if not isinstance(fields, dict):
            raise PeerError("a stream's status line that is not a JSON object")
        error, detail = fields.get("error"), fields.get("detail")
        if error is None:
            return cls()
        kind = error if isinstance(error, str) and error in KINDS else "unavailable"
        return cls(kind, _clean(detail) if isinstance(detail, str) else "")

    def raise_for_failure(self) -> None:
        """Raise ServiceFailed unless the service was reached."""
        if self.kind:
            raise ServiceFailed(self.kind, self.detail)


class StatusReader:
    """Finds the status line in what comes first on a stream.  `leftover` is the payload behind it."""

    def __init__(self) -> None:
        self._reader = HelloReader(MAX_LINE)

    @property
    def leftover(self) -> bytes:
        """The payload that came with the line."""
        return self._reader.leftover

    def feed(self, data: bytes) -> StreamStatus | None:
        """Take bytes; return the status once its line is whole.  Raises PeerError."""
        line = self._reader.feed(data)
        return None if line is None else StreamStatus.parse(line)


def _clean(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text[:MAX_DETAIL])
