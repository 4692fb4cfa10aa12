"""An answer whose head goes out as it was given: no field is added that nobody sent.

aiohttp's own answers say who serves and guess a type; what comes from the local service has said so itself, or had its
reasons not to.  Only what belongs to this one connection is decided here: how the body ends, and what follows it.
"""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter

from hardline.cache.caching.headfirst import Interim
from hardline.http.conditional import format_date
from hardline.http.fields import Fields, end_to_end, first, without

REASONS = {status.value: status.phrase for status in HTTPStatus}

_BODILESS = frozenset({101, 204, 304})
_UNPRINTABLE = dict.fromkeys((*range(9), *range(10, 32), 127), " ")


def interim_to(request: web.BaseRequest) -> Interim:
    """Passes interim answers on to a visitor, before anything else is said (RFC 9110, section 15.2)."""

    def tell(status: int, fields: Fields) -> None:
        # 100 was said by whoever has asked for the body: this hop.
        if status != 100 and request.version >= HttpVersion11 and request.transport is not None:
            request.transport.write(_text(f"HTTP/1.1 {status} {REASONS.get(status, '')}", end_to_end(fields)))

    return tell


class ExactAnswer(web.StreamResponse):
    """`fields` are end-to-end fields.  `length` is that of the body, None when it is not known before its end.

    An answer whose body ends before its length is cut: nobody takes a part for the whole.  With `waits_for_body` the
    head goes out with what comes first of the body, which is there already.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        fields: Fields,
        length: int | None,
        now: float,
        *,
        waits_for_body: bool = False,
    ) -> None:
        super().__init__(status=status, reason=reason)
        self._fields = fields
        self._length = length
        self._now = now
        self._writer: AbstractStreamWriter | None = None
        self._request: web.BaseRequest | None = None
        self._stays_open = False
        self._left: int | None = None  # bytes of the body that are still owed
        self._over = False
        self._waits_for_body = waits_for_body
        self._head = b""

    @property
    def prepared(self) -> bool:
        return self._writer is not None

    @property
    def keep_alive(self) -> bool:
        return self._stays_open

    @property
    def has_body(self) -> bool:
        """Whether a body follows, once it is prepared."""
        return self._left != 0

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        if self._writer is not None:
            return self._writer
        self._request, self._writer = request, request.writer
        bodiless = request.method == "HEAD" or self.status in _BODILESS
        chunked = not bodiless and self._length is None and request.version >= HttpVersion11
        self._stays_open = bool(request.keep_alive) and self.status != 101
        if not bodiless and self._length is None and not chunked:
            self._stays_open = False
        head = self._head_of(request, bodiless, chunked)
        if self._waits_for_body and self._length and not bodiless:
            self._head = head
        else:
            await self._writer.write(head)
        if chunked:
            self._writer.enable_chunking()
        self._left = 0 if bodiless else self._length
        return self._writer

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        assert self._writer is not None
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        if data:
            head, self._head = self._head, b""
            await self._writer.write(head + data if head else data)

    async def write_eof(self, data: bytes = b"") -> None:
        if self._over:
            return
        assert self._writer is not None
        await self.write(data)
        if self._head:
            await self._writer.write(self._head)
        if self._left:
            self.cut()
        self._over = True
        await self._writer.write_eof()

    def cut(self) -> None:
        """Break the connection off.  Raises ConnectionResetError, as if the visitor had done it."""
        self._over = True
        if self._request is not None and self._request.transport is not None:
            self._request.transport.abort()
        raise ConnectionResetError("the answer is not whole")

    def _head_of(self, request: web.BaseRequest, bodiless: bool, chunked: bool) -> bytes:
        fields = self._fields
        if self.status == 204 or not bodiless or self._length is not None:
            fields = without(fields, ("content-length",))
        if self._length is not None and self.status not in _BODILESS:
            fields += (("Content-Length", str(self._length)),)
        elif chunked:
            fields += (("Transfer-Encoding", "chunked"),)
        if first(fields, "date") is None and self.status != 101:
            fields += (("Date", format_date(int(self._now)) or ""),)
        if self.status != 101:
            if not self._stays_open:
                fields += (("Connection", "close"),)
            elif request.version < HttpVersion11:
                fields += (("Connection", "keep-alive"),)
        return _text(f"HTTP/{request.version.major}.{request.version.minor} {self.status} {self.reason}", fields)


def _text(status: str, fields: Fields) -> bytes:
    lines = [status, *(f"{name}: {value}" for name, value in fields)]
    return ("\r\n".join(line.translate(_UNPRINTABLE) for line in lines) + "\r\n\r\n").encode("latin-1", "replace")
