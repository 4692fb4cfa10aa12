"""The LAN packets, without I/O.

    HARDLINE-SEARCH * HTTP/1.1      Infohash: a rolling code, or nothing ("who is there?"); ours adds v
    HARDLINE-SERVICE * HTTP/1.1     Port, Infohash: label or rolling code, title; ours adds v, day, to, end, host
    HARDLINE-GOODBYE * HTTP/1.1     Port, end: what only the owner of a label that was said can say

The first two lines and their first headers are the original's, byte for byte; it takes no notice of the third.
Source: docs/PROTOCOL.md, sections 6.1, 6.2 and 6.7.
"""

from __future__ import annotations

import hashlib
import re
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
MAX_HOST = 60
MAX_DAYS_OFF = 400  # a clock that is further off says nothing
VERSION = 2
_MAX_FIELD = 300

_SEARCH = b"HARDLINE-SEARCH"
_SERVICE = b"HARDLINE-SERVICE"
_GOODBYE = b"HARDLINE-GOODBYE"
_WORD = re.compile(r"[0-9A-Za-z-]{1,64}\Z")  # what is said once more in an answer


@dataclass(frozen=True, slots=True)
class Search:
    """Who asks for what; `code` is "" for everything.  `version` is 2 for a node like us, 0 for an original."""

    code: str
    cookie: str
    version: int = 0

    def encode(self) -> bytes:
        """The packet."""
        ours = [("v", str(self.version))] if self.version else []
        return _packet("HARDLINE-SEARCH", ("Infohash", self.code), ("cookie", self.cookie), *ours)

    @property
    def word(self) -> str:
        """What an answer to it says once more: the cookie, where it is short and plain."""
        return _word(self.cookie)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is offered at a port of the packet's sender.

    `name` is the label, or the rolling code of a service that does not want to be listed.  `version` is 2 for
    a node like us, 0 for an original; `day` is the UTC day on the answering machine's clock.  `to` is the cookie of the
    search that is answered.  `end` is `sealed` of what a Goodbye would say.  `host` is what the computer is called.
    """

    port: int
    name: str
    cookie: str
    title: str = ""
    version: int = 0
    day: int | None = None
    to: str = ""
    end: str = ""
    host: str = ""

    def encode(self) -> bytes:
        """The packet."""
        ours = [("v", str(self.version))] if self.version else []
        if self.day is not None:
            ours.append(("day", str(self.day)))
        said = (("to", self.to), ("end", self.end), ("host", clean_host(self.host)))
        ours += [(name, value) for name, value in said if value]
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
        return _label(self.name)

    @property
    def listed(self) -> bool:
        """It may be shown: ours that do not want to be listed have no title, originals are always listed."""
        return bool(self.title) or self.version < 2

    def matches(self, target: KeyHash, today: int) -> bool:
        """It is about `target`: by its key hash, or by one of its rolling codes around our day or on its own."""
        return self.shows(target) or self._day_of(target, today) is not None

    def fitting_day(self, target: KeyHash, today: int) -> int | None:
        """The UTC day that the answering machine has, as far as this answer can be believed.

        Whoever repeats a code that it heard says what it likes besides: the day is the one that the code is of.
        """
        if not self.shows(target):
            return self._day_of(target, today)
        return self.day if self.day is not None and abs(self.day - today) <= MAX_DAYS_OFF else None

    def _day_of(self, target: KeyHash, today: int) -> int | None:
        days = [today, today - 1, today + 1]
        if self.day is not None and abs(self.day - today) <= MAX_DAYS_OFF:
            days.append(self.day)
        name = self.name.lower()
        return next((day for day in days if day >= 0 and name == target.rolling(day)), None)

    def shows(self, target: KeyHash) -> bool:
        """It contains the key hash of `target` itself."""
        return self.name.rpartition("-")[2].lower() == str(target)


@dataclass(frozen=True, slots=True)
class Goodbye:
    """What was offered at a port of the packet's sender is so no more.

    `end` is what the answers had sealed: nobody else knows it, and who heard none of them learns nothing from it.
    """

    port: int
    end: str

    def encode(self) -> bytes:
        """The packet."""
        return _packet("HARDLINE-GOODBYE", ("Port", str(self.port)), ("end", self.end))


def sealed(end: str) -> str:
    """What an answer says beforehand of the `end` in a goodbye."""
    return hashlib.blake2b(end.encode("utf-8", "replace"), digest_size=16, person=b"hardline goodbye").hexdigest()


def parse(data: bytes) -> Search | Answer | Goodbye:
    """Read a packet.  Raises PeerError for whatever is none."""
    if len(data) > MAX_PACKET:
        raise PeerError(f"a LAN packet of {len(data)} bytes, expected at most {MAX_PACKET}")
    kind = data[: len(_SERVICE)]
    if not kind.startswith((_SEARCH, _SERVICE, _GOODBYE)):
        raise PeerError("not a LAN packet of ours")
    fields = _fields(data)
    cookie = fields.get("cookie", "")
    if kind.startswith(_SEARCH):
        code = fields.get("infohash", "")
        version = _number(fields.get("v", ""), 1000) or 0
        # Beyond ASCII lower case may be longer.
        return Search(code.lower() if code.isascii() else code, cookie, version)
    port = _number(fields.get("port", ""), 65_535)
    if not port:
        raise PeerError(f"a LAN answer with port {fields.get('port', '')[:20]!r}")
    if kind.startswith(_GOODBYE):
        return Goodbye(port, _word(fields.get("end", "")))
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
        to=_word(fields.get("to", "")),
        end=_word(fields.get("end", "")),
        host=clean_host(fields.get("host", "")),
    )


def search_code(data: bytes) -> str:
    """What a search is for, at a glance: "" where it is for everything or not of the usual form."""
    _, _, rest = data.partition(b"\r\nInfohash: ")
    return rest[:40].decode("latin-1") if rest[40:42] == b"\r\n" else ""


def clean_title(text: str) -> str:
    """A title as it may be shown and sent: one line, nothing that steers it, at most MAX_TITLE characters."""
    return one_line(text, MAX_TITLE)


def clean_host(text: str) -> str:
    """What a computer is called, in the same way: at most MAX_HOST characters."""
    return one_line(text, MAX_HOST)


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


def _label(name: str) -> Label | None:
    try:
        return Label.parse(name)
    except (BadKeyHash, BadLabel):
        return None


def _word(text: str) -> str:
    return text if _WORD.match(text) else ""


def _number(text: str, highest: int) -> int | None:
    if text.isascii() and text.isdigit() and len(text) <= 8 and int(text) <= highest:
        return int(text)
    return None
