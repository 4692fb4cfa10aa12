"""aiohttp's reading of one connection, with our words for what is no HTTP.

    GET /a b c HTTP/1.1                     ──▶ 400, a page, and the end of the connection
    POST …  Transfer-Encoding: chunked, zz  ──▶ whoever reads the body gets MalformedBody, and the visitor the same page

aiohttp's own page repeats the visitor's bytes and says which library runs here, and a body that breaks in its middle
would have its reader wait for ever.  Source: RFC 9112, sections 2.2, 3 and 7.1.
"""

from __future__ import annotations

import asyncio

from aiohttp import HttpVersion10, HttpVersion11, StreamReader, http_exceptions, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage

from hardline.cache.http import pages
from hardline.errors import PeerError

_MAX_HEAD = 65_536  # bytes of all fields: what reads them takes its time
_IS_SPOKEN = web.RequestKey("is in a version that is spoken here", bool)

_VERSION = "It is in no version of HTTP that is spoken here"
_BODY = "Its body is not encoded as its head says"


class MalformedBody(PeerError):
    """What follows a request's head is not the body that the head announces."""


class Protocol(web.RequestHandler):
    """One connection."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._messages and self._current_request is not None:
            self.check_body(self._current_request)

    def check_body(self, request: web.BaseRequest) -> None:
        """Tell whoever reads the body of `request` if it has no end."""
        # What waits behind a body that is not over can only be the parser's complaint about it.
        if self._messages and not request.content.is_eof():
            request.content.set_exception(MalformedBody(_BODY.lower()))

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
    if sum(len(name) + len(value) for name, value in request.raw_headers) > _MAX_HEAD:
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
