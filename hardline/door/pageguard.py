"""What a browser sends for a page to a port that is for other programs, without I/O.

    client ── first bytes ──▶ PageGuard ─┬─ no request of HTTP, or a program's ─▶ everything passes
                                         ├─ one of this port's own page ─▶ it passes, and the next is looked at
                                         └─ one of another site's page ─▶ nothing passes, and the client is cut

A page of the internet can have a browser connect to any port of this computer and send a body of its choice; a service
that skips lines which it does not understand would obey it.  A browser says who asks, before that body.  It sends what
another site's page asks by a connection that it keeps for a page of this port, too, so all requests of such a one are
looked at.  The method is the page's choice, where its name was pointed here.
Source: Fetch Metadata Request Headers, section 2; RFC 9112, sections 2 and 3; the Fetch standard, "Origin" and
"Methods".
"""

from __future__ import annotations

import re

from hardline.addresses import parse
from hardline.errors import PeerError
from hardline.http.bodies import Body
from hardline.http.head import BadHead, read_head

MAX_HEAD = 65_536  # bytes; browsers send less

_REQUEST = (b"GET ", b"POST ", b"HEAD ", b"OPTIONS ", b"PUT ", b"DELETE ", b"PATCH ")
_METHOD = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_FIRST_LINE = re.compile(rb"(?:[A-Z]+ .*|" + _METHOD + rb" /[^ ]*+ )HTTP/[0-9.]+\r?\Z", re.DOTALL)
# What may become one: most that is none leaves this with its first bytes.
_MAY_BECOME = re.compile(_METHOD + rb"(?: (?:/[\x21-\x7e\x80-\xff]*+(?: [HTP/0-9.]{0,8}\r?)?)?)?\Z")
_END = re.compile(rb"\n\r?\n")
_OWN = (b"none", b"same-origin")
_BROWSER = b"mozilla/"
# A page may give another User-Agent, but it cannot take these away.
_BROWSERS = (b"accept-language", b"sec-", b"dnt", b"upgrade-insecure-requests")
_ALL = 1 << 62  # bytes that nobody has to look at


class PageGuard:
    """One client's connection: a session.gate.Gate.  `patience` is the seconds that a head which has begun may take."""

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.opaque = self.over = False
        self.hopeless = self.astray = False
        self.unwatched = _ALL
        self._held = b""
        self._began = b""  # of a first line that may become one of HTTP: what has passed of it, each word's first byte
        self._body: Body | None = None  # of a browser's request

    @property
    def partial(self) -> bool:
        """A request has begun, and who makes it is not known yet."""
        return bool(self._held)

    @property
    def settled(self) -> bool:
        """As Gate.settled: nobody knows what its protocol has under way."""
        return False

    @property
    def stopped(self) -> bool:
        """A page sent it."""
        return self.over

    def asked(self, data: memoryview | bytes) -> memoryview | bytes:
        """As Gate.asked."""
        if self.over or not data:
            return b""
        held, self._held = self._held + bytes(data), b""
        end = 0
        while not (self.opaque or self.over) and end < len(held):
            end, before = self._pass(held, end), end
            if end == before and not self.opaque:
                break
        if self.opaque:
            end = len(held)
        elif not self.over:
            self._held = held[end:]
        return data if end == len(data) == len(held) else held[:end]

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

    def _pass(self, data: bytes, start: int) -> int:
        """Where what may pass ends, of what begins there: a body, a head, or all of it."""
        if self._body is not None and not self._body.done:
            try:
                return self._body.skip(data, start)
            except PeerError:
                self.opaque = True  # a browser makes no such chunks
                return start
        said = self._began + data[start:]
        begun = b"\n" not in said and _MAY_BECOME.match(said) is not None
        if begun and self._body is None and not said.startswith(_REQUEST):
            self._began = _shortened(said)
            return len(data)
        whole, size = (None, 0) if begun else _whole(said)
        if whole is None and len(said) <= MAX_HEAD:
            return start
        if whole is None or is_of_a_page(whole):
            self.over = True
            return start
        raw, began = said[:size], len(self._began)
        self._began = b""
        self._follow(raw, whole)
        return start + size - began

    def _follow(self, raw: bytes, whole: bytes) -> None:
        """Look for the next request behind this one, where a browser sent it."""
        self.opaque = True
        if not (whole and is_of_a_browser(whole)):
            return
        try:
            head = read_head(raw, 0, len(raw))
        except BadHead:
            return
        self.opaque = head.upgrades
        self._body = Body(head.content_length or 0, chunked=head.chunked)


def is_of_a_page(head: bytes) -> bool:
    """Whether a browser sent `head` for a page of another site, or for one whose name was pointed at this computer."""
    told = _told(head)
    site, origin, host = told.get(b"sec-fetch-site"), told.get(b"origin"), told.get(b"host", b"")
    if site is not None and site not in _OWN:
        return True
    if origin is not None and origin.rpartition(b"//")[2] != host:
        return True
    return is_of_a_browser(head) and not _is_no_name(host)


def is_of_a_browser(head: bytes) -> bool:
    """Whether `head` is as browsers write them."""
    told = _told(head)
    return told.get(b"user-agent", b"").startswith(_BROWSER) or any(name.startswith(_BROWSERS) for name in told)


def _shortened(line: bytes) -> bytes:
    method, *rest = line.split(b" ", 2)
    return b" ".join((method[:1], *(part[:1] for part in rest[:1]), *rest[1:]))


def _whole(data: bytes) -> tuple[bytes | None, int]:
    """The head that `data` begins with, and its size; empty where it is none of HTTP, None as long as that is not
    known."""
    first, line_feed, _ = data.partition(b"\n")
    if not (_FIRST_LINE.match(first) if line_feed else data.startswith(_REQUEST)):
        return b"", 0
    end = _END.search(data)
    if end is None:
        return None, 0
    return data[: end.start()].replace(b"\r\n", b"\n").removesuffix(b"\r"), end.end()


def _told(head: bytes) -> dict[bytes, bytes]:
    fields = (line.partition(b":") for line in head.split(b"\n")[1:])
    return {name.strip().lower(): value.strip().lower() for name, _, value in fields}


def _is_no_name(host: bytes) -> bool:
    """Whether nobody can have pointed it here: an address, or a name that is this computer's by its meaning."""
    name = re.sub(rb":[0-9]*\Z", b"", host).strip(b"[]").removesuffix(b".").decode("latin-1")
    return name == "localhost" or name.endswith(".localhost") or parse(name) is not None
