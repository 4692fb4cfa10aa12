"""aiohttp's reading of one connection, with our words for what is no HTTP.

    GET /a b c HTTP/1.1                     ──▶ 400, a page, and the end of the connection
    POST …  Transfer-Encoding: chunked, zz  ──▶ whoever reads the body gets MalformedBody, and the visitor the same page

aiohttp's own page repeats the visitor's bytes and says which library runs here, and a body that breaks in its middle
would have its reader wait for ever.

What never comes to an end is kept by its parser as long as it grows: a head, the line before a chunk, the fields behind
the last one.  So bytes that complete nothing are counted here, and ended when they are more than MAX_HEAD, a head also
when it is not whole in time; `held` says what is in memory meanwhile.
Source: RFC 9112, sections 2.2, 3 and 7.1; RFC 6585, section 5.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import HttpVersion10, HttpVersion11, StreamReader, http_exceptions, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import _ErrInfo

from hardline.errors import PeerError
from hardline.http.serving import pages
from hardline.transport.turns import Turns

MAX_HEAD = 65_536  # bytes of all fields: what reads them takes its time
HEAD_TIME = 10.0  # seconds from a head's first byte to its last, as at the browser's door
# What is known of where a head begins is as exact as these pieces of what came.
_STEP, _STEP_OF_BODY = 16_384, 65_536
_IS_SPOKEN = web.RequestKey("is in a version that is spoken here", bool)

_VERSION = "It is in no version of HTTP that is spoken here"
_BODY = "Its body is not encoded as its head says"


class MalformedBody(PeerError):
    """What follows a request's head is not the body that the head announces."""


class HeadTooLate(http_exceptions.BadHttpMessage):
    """The head of a request was begun, and not ended in time."""


class Protocol(web.RequestHandler):
    """One connection.  A head has `head_time` seconds; `gone` is set at its end."""

    __slots__ = ("_broken", "_head_time", "_head_timer", "_heads", "_payload", "_source", "_unfinished", "gone")

    def __init__(self, manager: web.Server, *, source: str = "", head_time: float = HEAD_TIME, **settings: Any) -> None:
        super().__init__(manager, **settings)
        self._source = source
        self._head_time = head_time
        self._unfinished = 0  # bytes that completed nothing yet
        self._heads: deque[int] = deque()  # bytes of each head that waits for its answer
        self._payload: StreamReader | None = None  # the last body that was begun
        self._head_timer: asyncio.TimerHandle | None = None
        self._broken = False
        self.gone = asyncio.Event()

    @property
    def held(self) -> int:
        """Bytes that came and that nobody has taken yet: of what is not whole, of requests that wait, of a body."""
        while len(self._heads) > len(self._messages):
            self._heads.popleft()
        body = self._payload._size if self._payload is not None else 0
        return self._unfinished + sum(self._heads) + body

    def data_received(self, data: bytes) -> None:
        begin = 0
        while not (self._broken or self._close or self._force_close):
            if self._reading_paused or self._buffer_paused:
                step = len(data)  # the parser keeps it all until it is resumed, by no data at all
            else:
                step = _STEP if self._is_between_bodies() else _STEP_OF_BODY
            self._take(data[begin : begin + step])
            begin += step
            if begin >= len(data):
                break

    def retire(self) -> None:
        """Close it, where nothing is under way; else its answer is to: of what is closed, no body comes to its end."""
        if self._current_request is None and not self._messages:
            self.close()
            if self.transport is not None:
                self.transport.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_head_timer()
        super().connection_lost(exc)
        self.gone.set()

    def _take(self, data: bytes) -> None:
        came, body = self._request_count, self._payload
        taken = body.total_bytes if body is not None else 0
        in_body, paused = not self._is_between_bodies(), self._reading_paused or self._buffer_paused
        super().data_received(data)
        if new := self._request_count - came:
            message, payload = self._messages[-1]
            self._heads.extend([self._unfinished + len(data)] + [0] * (new - 1))
            self._payload = payload if payload is not EMPTY_PAYLOAD else None
            self._broken = isinstance(message, _ErrInfo)
        if new or self._upgraded or (in_body and body is not None and (body.total_bytes > taken or body.is_eof())):
            self._unfinished = 0
            self._stop_head_timer()
        else:
            self._unfinished += len(data)
            if self._unfinished > MAX_HEAD and not paused:
                self._break_off(http_exceptions.LineTooLong(b"", MAX_HEAD))
            elif not in_body and self._head_timer is None and data.strip(b"\r\n"):
                self._head_timer = self._loop.call_later(self._head_time, self._head_is_late)
        if self._messages and self._current_request is not None:
            self.check_body(self._current_request)

    def _is_between_bodies(self) -> bool:
        return self._payload is None or self._payload.is_eof()

    def _break_off(self, failure: http_exceptions.HttpProcessingError) -> None:
        """What came is no request: answer that, and read no more."""
        self._broken = True
        self._unfinished = 0
        self._stop_head_timer()
        self._messages.append((_ErrInfo(failure.code, failure, failure.message), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._unfinished and not self._broken:
            self._break_off(HeadTooLate("not in time"))

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def check_body(self, request: web.BaseRequest) -> None:
        """Tell whoever reads the body of `request` if it has no end."""
        # What waits behind a body that is not over can only be the parser's complaint about it.
        if self._messages and not request.content.is_eof():
            request.content.set_exception(MalformedBody(_BODY.lower()))

    def _make_error_handler(self, err_info: _ErrInfo) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
        answer = super()._make_error_handler(err_info)

        async def in_turn(request: web.BaseRequest) -> web.StreamResponse:
            await Turns.of_this_loop().mine(self._source)  # heads too large come by the hundred
            return await answer(request)

        return in_turn

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun")
        if isinstance(exc, http_exceptions.HttpProcessingError):
            return _malformed(exc)
        return pages.failed(request, status)


def source_of(request: web.BaseRequest) -> str:
    """Whose connection it came by (transport/sources.py)."""
    return request.protocol._source if isinstance(request.protocol, Protocol) else ""


def request_of(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: web.RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    """The request, as one that can be answered: in a version that is spoken here."""
    spoken = message.version in (HttpVersion10, HttpVersion11)
    if not spoken:
        message = message._replace(version=HttpVersion11)
    request = web.BaseRequest(message, payload, protocol, writer, task, asyncio.get_running_loop())
    request[_IS_SPOKEN] = spoken
    return request


def refusal(request: web.BaseRequest) -> web.StreamResponse | None:
    """The answer to a request that is HTTP, and not answered here."""
    if not request.get(_IS_SPOKEN, True):
        return pages.no_request(505, f"{_VERSION}.")
    if sum(len(name) + len(value) for name, value in request.raw_headers) > MAX_HEAD:
        return _too_large()
    return None


def complaint(request: web.BaseRequest) -> web.StreamResponse | None:
    """The answer to a request whose body turned out to be malformed, instead of any other that has not begun."""
    failure = request.content.exception()
    return _malformed(failure) if isinstance(failure, MalformedBody) and not request.writer.output_size else None


def _too_large() -> web.Response:
    return pages.no_request(431, "Its head is longer than anybody reads.")


def _malformed(failure: BaseException) -> web.StreamResponse:
    if isinstance(failure, http_exceptions.LineTooLong):
        return _too_large()
    if isinstance(failure, HeadTooLate):
        return pages.no_request(408, "Its head did not come to its end in time.")
    return pages.no_request(400, f"{_sentence(failure)}.")


def _sentence(failure: BaseException) -> str:
    """What is wrong, without any of the visitor's bytes."""
    match failure:
        case http_exceptions.BadHttpMethod():
            return "It does not begin as HTTP does"
        case http_exceptions.BadStatusLine():
            return _VERSION
        case http_exceptions.InvalidURLError():
            return "Its target is no address"
        case http_exceptions.PayloadEncodingError() | MalformedBody():
            return _BODY
        case http_exceptions.BadHttpMessage(message=told) if "chunk" in told.partition(":")[0]:
            return _BODY
        case http_exceptions.BadHttpMessage(message=told) if told.startswith("Missing 'Host'"):
            return "It does not say which host it is for"
        case http_exceptions.BadHttpMessage(message=told) if told.startswith("Too many headers"):
            return "It has too many fields"
    return "One of its fields is malformed, or contradicts another one"
