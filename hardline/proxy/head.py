"""Just enough of an HTTP request to route its connection, without I/O.

h11 parses and judges the first head; the bytes themselves are passed on as they came.  Shapes that two parsers may
read in two ways are refused here, since the service behind is another parser.
Source: RFC 9112, sections 2 to 6.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import h11

from hardline.errors import HardlineError

_TLS_HANDSHAKE = 0x16
_FOLDED = re.compile(rb"\n[ \t]")


class BadHead(HardlineError):
    """Not a request that can be routed; `status` is 400, 431 or 505."""

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.status = status


@dataclass(frozen=True, slots=True)
class Head:
    """What the door needs to know of a request."""

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
        self._size = 0

    @property
    def raw(self) -> bytes:
        """All bytes so far: the head, and what came behind it."""
        return b"".join(self._pieces)

    def feed(self, data: bytes) -> Head | None:
        """Take bytes; return the head once it is whole.  Raises BadHead."""
        if not self._pieces and data[:1] == bytes([_TLS_HANDSHAKE]):
            raise BadHead(
                400, "this port speaks http, not https", "write http:// in the address; the tunnel itself is encrypted"
            )
        self._pieces.append(data)
        self._size += len(data)
        try:
            self._parser.receive_data(data)
            event = self._parser.next_event()
        except h11.RemoteProtocolError as wrong:
            raise self._judged(wrong) from None
        if event is h11.NEED_DATA:
            return None
        if not isinstance(event, h11.Request):
            raise BadHead(400, "not an HTTP request")
        head = self.raw[: self._size - len(self._parser.trailing_data[0])]
        if len(head) > self._max_head:
            raise self._too_large()
        if _FOLDED.search(head):
            raise BadHead(400, "a header that goes on in the next line (RFC 9112, 5.2)")
        return _head(event)

    def _judged(self, wrong: h11.RemoteProtocolError) -> BadHead:
        status = wrong.error_status_hint
        if status == 431 or self._size > self._max_head:
            return BadHead(
                431, f"the request's head is larger than {self._max_head} bytes", "clear this site's cookies"
            )
        return BadHead(status if status == 505 else 400, str(wrong) or "not an HTTP request")

    def _too_large(self) -> BadHead:
        return BadHead(431, f"the request's head is larger than {self._max_head} bytes", "clear this site's cookies")


def _head(request: h11.Request) -> Head:
    headers = [(bytes(name), bytes(value)) for name, value in request.headers]
    names = [name for name, _ in headers]
    if names.count(b"host") != 1:
        raise BadHead(400, "a request with no Host, or with several")
    if b"content-length" in names and b"transfer-encoding" in names:
        # RFC 9112, 6.1: two lengths are how a request is smuggled inside another.
        raise BadHead(400, "a request with both Content-Length and Transfer-Encoding")
    fields = dict(headers)
    version = request.http_version.decode()
    if version not in ("1.0", "1.1"):
        raise BadHead(505, f"HTTP/{version}, expected 1.0 or 1.1")
    return Head(
        method=request.method.decode("ascii"),
        target=request.target.decode("ascii", "replace"),
        version=version,
        host=fields[b"host"].decode("latin-1").strip(),
        accepts_html=b"text/html" in fields.get(b"accept", b"").lower(),
    )
