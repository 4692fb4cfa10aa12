"""Just enough of an HTTP request to route its connection, without I/O.

    browser ── GET / HTTP/1.1, Host: …, … ──▶ HeadReader ──▶ Head(method, target, host, …)      raw: to be passed on

h11 parses and judges the first head, and only the first; the bytes themselves are passed on as they came.  What two
parsers could understand in two ways is refused, since the service behind has a parser of its own.
Source: RFC 9112, sections 2 to 6.  Time limits are the caller's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import h11

from hardline.errors import HardlineError

_TLS_HANDSHAKE = b"\x16"
_FOLDED_LINE = re.compile(rb"\n[ \t]")
_ABSOLUTE = re.compile(r"http://([^/?#]*)", re.IGNORECASE)
_HTML = (b"text/html", b"application/xhtml+xml")
_REFUSED = re.compile(rb"q\s*=\s*0(\.0*)?\Z")


class BadHead(HardlineError):
    """Not a request that can be routed; `status` is 400, 431, 501 or 505."""

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.status = status


@dataclass(frozen=True, slots=True)
class Head:
    """What the door needs to know of a request.  `host` is as it came; `target` is without the host some put there."""

    method: str
    target: str
    version: str
    host: str
    accepts_html: bool


class HeadReader:
    """Feed it what the browser sends until there is a Head.  `raw` is everything it was fed."""

    def __init__(self, max_head: int) -> None:
        self._max_head = max_head
        self._parser = h11.Connection(h11.SERVER, max_incomplete_event_size=max_head)
        self._pieces: list[bytes] = []

    @property
    def raw(self) -> bytes:
        """All bytes so far: the head, and what came behind it."""
        return b"".join(self._pieces)

    def feed(self, data: bytes) -> Head | None:
        """Take bytes, at least one; return the head once it is whole.  Raises BadHead."""
        self._pieces.append(data)
        if self._pieces[0].startswith(_TLS_HANDSHAKE):
            hint = "write http:// in the address: the way to the host is encrypted all the same"
            raise BadHead(400, "this port speaks http, not https", hint)
        try:
            self._parser.receive_data(data)
            event = self._parser.next_event()
        except h11.RemoteProtocolError as wrong:
            if wrong.error_status_hint == 431:
                raise self._too_large() from None
            raise BadHead(wrong.error_status_hint, f"not a request: {str(wrong)[:200].lower()}") from None
        if not isinstance(event, h11.Request):
            return None
        raw = self.raw
        head = raw[: len(raw) - len(self._parser.trailing_data[0])]
        if len(head) > self._max_head:
            raise self._too_large()
        if _FOLDED_LINE.search(head):
            raise BadHead(400, "a request with a header that is folded over two lines")
        return _head(event)

    def _too_large(self) -> BadHead:
        message = f"the request's head is larger than {self._max_head} bytes"
        return BadHead(431, message, "clear the cookies of this site, or raise [Door] max_head")


def _head(request: h11.Request) -> Head:
    version = request.http_version.decode("ascii")
    if version not in ("1.0", "1.1"):
        raise BadHead(505, f"HTTP/{version}, expected 1.0 or 1.1")
    names = [name for name, _ in request.headers]
    if b"host" not in names:
        raise BadHead(
            400, "a request without a Host", "name the service in the address: http://KEYHASH.localhost:7009/"
        )
    if b"content-length" in names and b"transfer-encoding" in names:
        # RFC 9112, 6.1: two lengths are how a request is smuggled inside another.
        raise BadHead(400, "a request with both Content-Length and Transfer-Encoding")
    host = dict(request.headers)[b"host"].decode("latin-1")
    return Head(
        method=request.method.decode("ascii"),
        target=_origin_form(request.target.decode("latin-1"), host),
        version=version,
        host=host,
        accepts_html=_accepts_html(b",".join(value for name, value in request.headers if name == b"accept")),
    )


def _origin_form(target: str, host: str) -> str:
    """RFC 9112, 3.2.2: whoever takes us for a proxy sends a whole URL; then that says which host is meant."""
    absolute = _ABSOLUTE.match(target)
    if absolute is None:
        return target
    if absolute[1].lower() != host.lower():
        raise BadHead(400, "a request for one host that names another in its Host")
    rest = target[absolute.end() :]
    return rest if rest.startswith("/") else f"/{rest}"


def _accepts_html(accept: bytes) -> bool:
    for entry in accept.lower().split(b","):
        kind, *parameters = (part.strip() for part in entry.split(b";"))
        if kind in _HTML and not any(map(_REFUSED.match, parameters)):
            return True
    return False
