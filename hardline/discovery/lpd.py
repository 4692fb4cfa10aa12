"""The LAN packets, without I/O.

    HARDLINE-SEARCH * HTTP/1.1      Infohash: a rolling code, or nothing ("who is there?")
    HARDLINE-SERVICE * HTTP/1.1     Port, Infohash: the label or the rolling code, title; ours adds v and day

The first lines and headers are the original's, byte for byte.  Source: docs/PROTOCOL.md, sections 6.1 and 6.2.
"""

from __future__ import annotations

from dataclasses import dataclass

from hardline.errors import BadKeyHash, BadLabel, PeerError
from hardline.identity import KeyHash, Label
from hardline.showable import one_line

PORT = 6771
GROUP_4 = "239.192.152.143"
GROUP_6 = "ff15::efc0:988f"  # the IPv6 counterpart that BEP 14 derives from the same number
BROADCAST = "255.255.255.255"

MAX_PACKET = 2048
MAX_TITLE = 120
_MAX_FIELD = 300

_SEARCH = b"HARDLINE-SEARCH"
_SERVICE = b"HARDLINE-SERVICE"


@dataclass(frozen=True, slots=True)
class Search:
    """Who asks for what; `code` is "" for everything."""

    code: str
    cookie: str

    def encode(self) -> bytes:
        """The packet."""
        return _packet("HARDLINE-SEARCH", ("Infohash", self.code), ("cookie", self.cookie))


@dataclass(frozen=True, slots=True)
class Answer:
    """What is offered at a port of the packet's sender.

    `name` is the label, or the rolling code of a service that does not want to be listed.  `version` is 2 for
    a node like us, 0 for an original; `day` is the UTC day on the answering machine's clock.
    """

    port: int
    name: str
    cookie: str
    title: str = ""
    version: int = 0
    day: int | None = None

    def encode(self) -> bytes:
        """The packet."""
        ours = [("v", str(self.version))] if self.version else []
        if self.day is not None:
            ours.append(("day", str(self.day)))
        return _packet(
            "HARDLINE-SERVICE",
            ("Port", str(self.port)),
            ("Infohash", self.name),
            ("cookie", self.cookie),
            # Originals split a header at its last colon.
            ("title", clean_title(self.title).replace(":", " ")),
            *ours,
        )

    @property
    def label(self) -> Label | None:
        """The label, when `name` is one and not a rolling code; `-KEYHASH` is how originals write no password.

        A rolling code looks like a key hash: only whoever knows the key hash can tell.
        """
        try:
            return Label.parse(self.name)
        except (BadKeyHash, BadLabel):
            return None

    @property
    def listed(self) -> bool:
        """It may be shown: ours that do not want to be listed have no title, originals are always listed."""
        return bool(self.title) or self.version < 2

    def matches(self, target: KeyHash, today: int) -> bool:
        """It is about `target`: by its key hash, or by one of its rolling codes around its day or ours."""
        code = self.name.rpartition("-")[2].lower()
        if code == str(target):
            return True
        days = {today - 1, today, today + 1} | ({self.day} if self.day is not None else set())
        return any(day >= 0 and code == target.rolling(day) for day in days)

    def shows(self, target: KeyHash) -> bool:
        """It contains the key hash of `target` itself."""
        return self.name.rpartition("-")[2].lower() == str(target)


def parse(data: bytes) -> Search | Answer:
    """Read a packet.  Raises PeerError for whatever is none."""
    if len(data) > MAX_PACKET:
        raise PeerError(f"a LAN packet of {len(data)} bytes, expected at most {MAX_PACKET}")
    kind = data[: len(_SERVICE)]
    if not kind.startswith((_SEARCH, _SERVICE)):
        raise PeerError("not a LAN packet of ours")
    fields = _fields(data)
    cookie = fields.get("cookie", "")
    if kind.startswith(_SEARCH):
        code = fields.get("infohash", "")
        return Search(code.lower() if code.isascii() else code, cookie)  # beyond ASCII lower case may be longer
    port = _number(fields.get("port", ""), 65_535)
    if not port:
        raise PeerError(f"a LAN answer with port {fields.get('port', '')[:20]!r}")
    name = fields.get("infohash", "")
    if not name:
        raise PeerError("a LAN answer without a name")
    return Answer(
        port=port,
        name=name,
        cookie=cookie,
        title=clean_title(fields.get("title", "")),
        version=_number(fields.get("v", ""), 1000) or 0,
        day=_number(fields.get("day", ""), 10_000_000),
    )


def clean_title(text: str) -> str:
    """A title as it may be shown and sent: one line, nothing that steers it, at most MAX_TITLE characters."""
    return one_line(text, MAX_TITLE)


def _packet(kind: str, *headers: tuple[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"{kind} * HTTP/1.1\r\n{lines}\r\n\r\n".encode("utf-8", "replace")


def _fields(data: bytes) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in data.decode("utf-8", "replace").split("\n")[1:20]:
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip().lower(), value.strip()[:_MAX_FIELD].rstrip())
    return fields


def _number(text: str, highest: int) -> int | None:
    if text.isascii() and text.isdigit() and len(text) <= 8 and int(text) <= highest:
        return int(text)
    return None
