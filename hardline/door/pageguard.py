"""What a browser sends for a page to a port that is for other programs, without I/O.

    client ── first bytes ──▶ PageGuard ─┬─ no request of HTTP ─▶ everything passes
                                         ├─ one of a program, or of this port's own page ─▶ everything passes
                                         └─ one of another site's page ─▶ nothing passes, and the client is cut

A page of the internet can have a browser connect to any port of this computer and send a body of its choice; a service
that skips lines which it does not understand would obey it.  A browser says who asks, before that body.
Source: Fetch Metadata Request Headers, section 2; RFC 9112, sections 2 and 3; the Fetch standard, "Origin".
"""

from __future__ import annotations

import re

from hardline.addresses import parse

MAX_HEAD = 65_536  # bytes; browsers send less

_REQUEST = (b"GET ", b"POST ", b"HEAD ", b"OPTIONS ", b"PUT ", b"DELETE ", b"PATCH ")
_FIRST_LINE = re.compile(rb"[A-Z]+ .*HTTP/[0-9.]+\r?\Z", re.DOTALL)
_OWN = (b"none", b"same-origin")
_BROWSER = b"mozilla/"
_ALL = 1 << 62  # bytes that nobody has to look at


class PageGuard:
    """One client's connection: a session.gate.Gate.  `patience` is the seconds that a head which has begun may take."""

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.opaque = self.over = False
        self.hopeless = self.astray = False
        self.unwatched = _ALL
        self._held = b""

    @property
    def partial(self) -> bool:
        """A request has begun, and who makes it is not known yet."""
        return bool(self._held)

    @property
    def stopped(self) -> bool:
        """A page sent it."""
        return self.over

    def asked(self, data: memoryview | bytes) -> memoryview | bytes:
        """As Gate.asked."""
        if self.over or not data:
            return b""
        held = self._held + bytes(data)
        whole = _whole(held)
        if whole is None and len(held) <= MAX_HEAD:
            self._held = held
            return b""
        self._held = b""
        if whole is None or is_of_a_page(whole):
            self.over = True
            return b""
        self.opaque = True
        return data if len(held) == len(data) else held

    def late(self) -> None:
        """The rest of a head did not come in time."""
        self._held, self.over = b"", True

    def heard(self, data: memoryview) -> bool:
        """What the service says concerns nobody."""
        return False

    def released(self) -> bytes:
        """Nothing is kept back that could pass later."""
        return b""

    def count(self, count: int) -> None:
        """The same."""


def is_of_a_page(head: bytes) -> bool:
    """Whether a browser sent `head` for a page of another site, or for one whose name was pointed at this computer."""
    told = {name.strip().lower(): value.strip().lower() for name, _, value in _fields(head)}
    site, origin, host = told.get(b"sec-fetch-site"), told.get(b"origin"), told.get(b"host", b"")
    if site is not None and site not in _OWN:
        return True
    if origin is not None and origin.rpartition(b"//")[2] != host:
        return True
    return told.get(b"user-agent", b"").startswith(_BROWSER) and not _is_no_name(host)


def _whole(data: bytes) -> bytes | None:
    """The head that `data` begins with, empty where it is none of HTTP; None as long as that is not known."""
    if not data.startswith(_REQUEST):
        return b""
    first, line_feed, _ = data.partition(b"\n")
    if line_feed and not _FIRST_LINE.match(first):
        return b""
    head, end, _ = data.replace(b"\r\n", b"\n").partition(b"\n\n")
    return head if end else None


def _fields(head: bytes) -> list[tuple[bytes, bytes, bytes]]:
    return [line.partition(b":") for line in head.split(b"\n")[1:]]


def _is_no_name(host: bytes) -> bool:
    """Whether nobody can have pointed it here: an address, or a name that is this computer's by its meaning."""
    name = re.sub(rb":[0-9]*\Z", b"", host).strip(b"[]").removesuffix(b".").decode("latin-1")
    return name == "localhost" or name.endswith(".localhost") or parse(name) is not None
