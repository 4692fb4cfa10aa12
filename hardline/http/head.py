"""Just enough of an HTTP request to route its connection, without I/O.

    browser ── GET / HTTP/1.1, Host: …, … ──▶ HeadReader ──▶ Head(method, target, host, …)      raw: to be passed on

The bytes themselves are passed on as they came.  So heads are read to the letter of the grammar, without any of the
leniency that parsers differ in: what two parsers could understand in two ways is refused, since the service behind
has a parser of its own.  conversation.py reads those that follow on the same connection by the same rules.
Source: RFC 9112, sections 2 to 6.  Time limits are the caller's.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass

from hardline.errors import HardlineError
from hardline.http.negotiation import HTML, takes

_TLS_HANDSHAKE = 0x16
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_HEAD = re.compile(
    rb"(?P<method>" + _TOKEN + rb") (?P<target>[\x21-\x7e\x80-\xff]+) HTTP/(?P<version>[0-9]\.[0-9])\r\n"
    rb"(?P<headers>(?:" + _TOKEN + rb":[\t\x20-\x7e\x80-\xff]*+\r\n)*+)\r\n"
)
# What needs no more than to be known as such: most requests.
_PLAIN = re.compile(
    rb"(?!HEAD |CONNECT )" + _TOKEN + rb" /[\x21-\x7e\x80-\xff]*+ HTTP/1\.1\r\n"
    rb"(?:" + _TOKEN + rb":[\t\x20-\x7e\x80-\xff]*+\r\n)*+\r\n"
)
_NOT_PLAIN = (b"\r\ncontent-length:", b"\r\ntransfer-encoding:", b"\r\nupgrade:")
_HOST = b"\r\nhost:"
_BEGINNING = re.compile(_TOKEN + rb"(?: (?:[\x21-\x7e\x80-\xff]+(?: [HTP/0-9.]*\r?)?)?)?\Z")
_OTHER_VERSION = re.compile(rb"[^ ]+ [^ ]+ HTTP/(?!1\.[01]\r)([0-9]\.[0-9])\r\n")
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
_FOLDED_LINE = re.compile(rb"\n[ \t]")
_LENGTH = re.compile(rb"[0-9]{1,18}\Z")
_ABSOLUTE = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*)://(?P<authority>[^/?#]*)(?P<rest>.*)\Z")
_AUTHORITY = re.compile(r"(?P<host>[^/?#@]+):[0-9]{1,5}\Z")
_EVENTS = b"text/event-stream"
_WANTED = frozenset((b"host", b"content-length", b"transfer-encoding", b"accept", b"upgrade"))


class BadHead(HardlineError):
    """Not a request that can be routed: `status` is 400, 431, 501 or 505; or one that may not be, for another reason.

    `fields` are further lines of the answer's head.
    """

    def __init__(self, status: int, message: str, hint: str = "", fields: Sequence[str] = ()) -> None:
        super().__init__(message, hint)
        self.status, self.fields = status, fields


class Form(enum.Enum):
    """How a request names what it wants: RFC 9112, section 3.2."""

    ORIGIN = enum.auto()  # /path, or * for OPTIONS: whoever sends it takes us for the service
    ABSOLUTE = enum.auto()  # http://host/path: takes us for a proxy
    AUTHORITY = enum.auto()  # host:port, with CONNECT: wants a tunnel through a proxy


@dataclass(frozen=True, slots=True)
class Head:
    """What the door needs to know of a request.

    `host` is the one that counts: a whole URL's beats that of the Host header.  `target` is without it.
    `wants_events` marks an EventSource of the browser (HTML, 9.2).
    `content_length` is None, and `chunked` false, for a request that has no body.
    `upgrades` marks one whose answer may turn the connection into something else than HTTP (RFC 9110, 7.8).
    """

    method: str
    target: str
    version: str
    host: str
    accepts_html: bool
    form: Form = Form.ORIGIN
    wants_events: bool = False
    content_length: int | None = None
    chunked: bool = False
    upgrades: bool = False

    @property
    def repeatable(self) -> bool:
        """It may be sent twice (RFC 9110, 9.2.2)."""
        return self.method in ("GET", "HEAD", "OPTIONS")


class HeadReader:
    """Feed it what the browser sends until there is a Head.  `raw` is everything it was fed."""

    def __init__(self, max_head: int) -> None:
        self._max_head = max_head
        self._data = b""
        self.size = 0  # of the head; what is behind it in `raw` came with it

    @property
    def raw(self) -> bytes:
        """All bytes so far: the head, and what came behind it."""
        return self._data

    def feed(self, data: bytes) -> Head | None:
        """Take bytes, at least one; return the head once it is whole.  Raises BadHead."""
        searched = max(len(self._data) - 3, 0)
        self._data += data
        self.size = max(head_end(self._data, 0, searched, self._max_head), 0)
        return read_head(self._data, 0, self.size) if self.size else None


def head_end(data: bytes, start: int, searched: int, max_head: int) -> int:
    """Where the head that begins at `start` ends, -1 while it is not whole; its end is looked for from `searched` on.

    Raises BadHead at once for what cannot become a head any more: whoever sent it may wait for an answer.
    """
    end = data.find(b"\r\n\r\n", searched) + 4
    if (end if end > 3 else len(data)) - start > max_head:
        message = f"the request's head is larger than {max_head} bytes"
        _judge_first_byte(data, start)
        raise BadHead(431, message, "clear the cookies of this site, or raise [Door] max_head")
    if end > 3:
        return end
    _judge_first_byte(data, start)
    if _BARE_LINE_FEED.search(data, max(searched - 1, start)):
        raise _bare_line_feed()
    if len(data) - start < 64 and b"\n" not in data[start:] and not _BEGINNING.match(data, start):
        raise _no_request()
    return -1


def read_head(data: bytes, start: int, end: int) -> Head:
    """The head between two places that `head_end` found.  Raises BadHead."""
    match = _HEAD.fullmatch(data, start, end)
    if match is None:
        _judge_first_byte(data, start)
        raise _what_is_wrong(data[start:end])
    return _head(match)


def plain_host(data: bytes, start: int, end: int) -> bytes | None:
    """The Host of a request for a path that has no body and whose answer is an ordinary one.

    None for any other, and for what is no request: `read_head` reads those, and finds the same host in these.
    """
    if not _PLAIN.fullmatch(data, start, end):
        return None
    lines = data[start:end].lower()
    at = lines.find(_HOST) + len(_HOST)
    if at < len(_HOST) or lines.find(_HOST, at) >= 0 or any(name in lines for name in _NOT_PLAIN):
        return None
    return data[start + at : data.index(b"\r", start + at)].strip(b" \t")


def _judge_first_byte(data: bytes, start: int) -> None:
    if data[start] == _TLS_HANDSHAKE:
        hint = "write http:// in the address: the way to the host is encrypted all the same"
        raise BadHead(400, "this port speaks http, not https", hint)


def _head(match: re.Match[bytes]) -> Head:
    method, target, version, lines = match.groups()
    if version not in (b"1.1", b"1.0"):
        raise _wrong_version(version)
    found: dict[bytes, list[bytes]] = {}
    for line in lines.split(b"\r\n"):
        name, _, value = line.partition(b":")
        name = name.lower()
        if name in _WANTED:
            found.setdefault(name, []).append(value.strip(b" \t"))
    form, host, target_text = _named(method, target.decode("latin-1"))
    hosts = found.get(b"host", [])
    if len(hosts) > 1:
        raise BadHead(400, "a request with more than one Host")
    if form is Form.ORIGIN or version == b"1.1":
        if not hosts:
            hint = "name the service in the address: http://KEYHASH.localhost:7009/"
            raise BadHead(400, "a request without a Host", hint)
        host = host or hosts[0].decode("latin-1")
    length, chunked = _body(found.get(b"content-length", []), found.get(b"transfer-encoding", []), version)
    accept = b",".join(found.get(b"accept", ())).lower()
    return Head(
        method.decode("ascii"),
        target_text,
        version.decode("ascii"),
        host,
        b"html" in accept and takes(accept.decode("latin-1"), HTML),
        form,
        _EVENTS in accept,
        length,
        chunked,
        b"upgrade" in found,
    )


def _named(method: bytes, target: str) -> tuple[Form, str, str]:
    """The form, the host if the target names one, and the target without it."""
    if method == b"CONNECT":
        authority = _AUTHORITY.match(target)
        if authority is None:
            raise BadHead(400, "a CONNECT to something else than a host and its port")
        return Form.AUTHORITY, target, target
    if target.startswith("/") or (target == "*" and method == b"OPTIONS"):
        return Form.ORIGIN, "", target
    absolute = _ABSOLUTE.match(target)
    if absolute is None or not absolute["authority"] or "@" in absolute["authority"]:
        raise BadHead(400, "a request for something that is neither a path nor a URL with a host")
    if absolute["scheme"].lower() != "http":
        raise BadHead(400, "a request to a proxy for a URL that does not begin with http://", "use CONNECT for others")
    rest = absolute["rest"].partition("#")[0]
    if not rest and method == b"OPTIONS":
        return Form.ABSOLUTE, absolute["authority"], "*"
    return Form.ABSOLUTE, absolute["authority"], rest if rest.startswith("/") else f"/{rest}"


def _body(lengths: list[bytes], codings: list[bytes], version: bytes) -> tuple[int | None, bool]:
    """Content-Length and whether it is chunked.  RFC 9112, 6.1: two lengths are how requests are smuggled."""
    if codings:
        if lengths:
            raise BadHead(400, "a request with both Content-Length and Transfer-Encoding")
        if version == b"1.0":
            raise BadHead(400, "a Transfer-Encoding in HTTP/1.0, which has none")
        if len(codings) > 1 or codings[0].lower() != b"chunked":
            raise BadHead(501, "a Transfer-Encoding other than chunked")
        return None, True
    if not lengths:
        return None, False
    if len(set(lengths)) > 1 or not _LENGTH.match(lengths[0]):
        raise BadHead(400, "a Content-Length that is no number, or two that differ")
    return int(lengths[0]), False


def _what_is_wrong(head: bytes) -> BadHead:
    """Why `head`, which ends with an empty line, is none."""
    if other := _OTHER_VERSION.match(head):
        return _wrong_version(other[1])
    if _BARE_LINE_FEED.search(head):
        return _bare_line_feed()
    first = head[: head.index(b"\r\n") + 2]
    if not _HEAD.fullmatch(first + b"\r\n"):
        return _no_request()
    if _FOLDED_LINE.search(head):
        return BadHead(400, "a request with a header that is folded over two lines")
    return BadHead(400, "a request with a header that is malformed")


def _no_request() -> BadHead:
    return BadHead(400, "not a request of HTTP/1.1: its first line is malformed")


def _bare_line_feed() -> BadHead:
    return BadHead(400, "a request with a line that does not end with CR LF")


def _wrong_version(version: bytes) -> BadHead:
    return BadHead(505, f"HTTP/{version.decode('ascii')}, expected 1.0 or 1.1")
