"""The host's first bytes on every stream, without I/O: whether its local service was reached.

    {}\n                                                            payload follows
    {"error":"refused"|"timeout"|"limit"|"unavailable","detail":…}\n     the stream ends

Source: docs/PROTOCOL.md, section 5.4.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Self

from hardline.errors import ServiceFailed
from hardline.session.hello import HelloReader, parse_object
from hardline.showable import plain

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
        """The line, with its end; never longer than MAX_LINE."""
        if not self.kind:
            return _REACHED
        fields = {"error": self.kind} | ({"detail": detail} if (detail := _clean(self.detail)) else {})
        # UTF-8: JSON's escapes take up to twelve bytes a character.
        return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"

    @classmethod
    def parse(cls, line: bytes) -> Self:
        """Read it.  Raises PeerError for what is none; an unknown kind counts as unavailable."""
        if line == b"{}":
            return cls()
        fields = parse_object(line)
        if "error" not in fields:
            return cls()
        kind, detail = fields["error"], fields.get("detail")
        return cls(kind if kind in KINDS else "unavailable", _clean(detail) if isinstance(detail, str) else "")

    def raise_for_failure(self) -> None:
        """Raise ServiceFailed unless the service was reached."""
        if self.kind:
            raise ServiceFailed(self.kind, self.detail)


class StatusReader:
    """Finds the status line in what comes first on a stream.  `leftover` is the payload behind it."""

    def __init__(self) -> None:
        self._reader = HelloReader(MAX_LINE)
        self._fresh = True

    @property
    def leftover(self) -> bytes:
        """The payload that came with the line."""
        return self._reader.leftover

    def behind_reached(self, data: memoryview) -> memoryview | None:
        """The payload, where `data` is the first of all and begins with the line of a service that was reached.

        None where `feed` has to look: nearly always it has not, and nothing is copied.
        """
        return data[len(_REACHED) :] if self._fresh and data[: len(_REACHED)] == _REACHED else None

    def feed(self, data: bytes) -> StreamStatus | None:
        """Take bytes; return the status once its line is whole.  Raises PeerError."""
        self._fresh = False
        line = self._reader.feed(data)
        return None if line is None else StreamStatus.parse(line)


def _clean(text: str) -> str:
    return plain(text[:MAX_DETAIL], " ")
