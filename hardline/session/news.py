"""What a host's hello would say otherwise by now, and that its visitor may visit no more, without I/O.

    {"news":{"WANHosts":…,"title":…,"via":…}}\\n        what is not there is as it was         {"revoked":{}}\\n

They are lines of a control stream, the host's only.  The values are read as those of the hello are, but for one of the
wrong type, which ends the stream.  Source: docs/PROTOCOL.md, section 10.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from hardline.errors import PeerError
from hardline.routes import Via, format_via, parse_via
from hardline.session.hello import HostHello
from hardline.session.messages import MAX_LINE, write
from hardline.showable import MAX_TITLE

NEWS, REVOKED = "news", "revoked"  # the kinds of line
_MOST_TOLD = 32  # that may stand in a list


@dataclass(frozen=True, slots=True)
class News:
    """What is another than the host said before; None for what is not."""

    wan_hosts: str | None = None
    title: str | None = None
    via: tuple[Via, ...] | None = None

    @classmethod
    def between(cls, told: HostHello, now: HostHello) -> Self | None:
        """What somebody has to hear who was `told` something else; None for nothing."""
        news = cls(
            now.wan_hosts if now.wan_hosts != told.wan_hosts else None,
            now.title if now.title != told.title else None,
            now.via if now.via != told.via else None,
        )
        return None if news == cls() else news

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read what stands behind `news`.  Raises PeerError."""
        if not isinstance(value, dict):
            raise PeerError("news that are no object")
        wan_hosts, title = (_text(value, key) for key in ("WANHosts", "title"))
        via = value.get("via", [])
        if not isinstance(via, list) or len(via) > _MOST_TOLD:
            raise PeerError(f"via is no list of {_MOST_TOLD} at most")
        return cls(wan_hosts, title, parse_via(via) if "via" in value else None)

    def encode(self) -> bytes:
        """The line, with its end; one for each value where one for all would be too long."""
        title = None if self.title is None else self.title[:MAX_TITLE]
        said = {
            "WANHosts": self.wan_hosts,
            "title": title,
            "via": None if self.via is None else format_via(self.via),
        }
        fields = {key: value for key, value in said.items() if value is not None}
        if len(line := write(NEWS, fields)) <= MAX_LINE:
            return line
        return b"".join(write(NEWS, {key: value}) for key, value in fields.items())

    def behind(self, earlier: News) -> News:
        """Both together: what was said last counts."""
        return News(
            earlier.wan_hosts if self.wan_hosts is None else self.wan_hosts,
            earlier.title if self.title is None else self.title,
            earlier.via if self.via is None else self.via,
        )


def encode_revoked() -> bytes:
    """The line that takes the right to visit back, with its end."""
    return write(REVOKED, {})


def check_revoked(value: object) -> None:
    """Read what stands behind `revoked`.  Raises PeerError."""
    if not isinstance(value, dict):
        raise PeerError("a revoked that is no object")


def _text(fields: Mapping[str, object], key: str) -> str | None:
    value = fields.get(key)
    if key in fields and not isinstance(value, str):
        raise PeerError(f"{key} is no text")
    return value if isinstance(value, str) else None
