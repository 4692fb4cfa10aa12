"""One connection to an ASGI application: uvicorn's reading and writing of HTTP/1.1, on a tunnel's stream.

    stream ──▶ StreamTransport ──▶ Connection ──▶ app(scope, receive, send)
                                       └ upgrade ──▶ WebSocket

uvicorn speaks HTTP, and here is what it leaves to a proxy before it, and cannot know of a tunnel:

- a head has an end, in bytes, fields and seconds; what is kept unread is told, so that it has no credit;
- an answer that breaks off is a cut, and never looks like its end;
- a visitor that has ended its own direction may still wait for its answer, unless it owes the rest of its request;
- whoever sends to a visitor that is gone is told so, rather than that it goes on for ever;
- a request that wishes for another protocol, and does not get it, has its body all the same.

Source: RFC 9112, sections 6 to 9; RFC 6585, section 5; asgi.readthedocs.io, "HTTP & WebSocket ASGI Message Format".
"""

from __future__ import annotations

import asyncio
import functools
import sys
from typing import Any

from httptools import HttpParserUpgrade, HttpRequestParser
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from hardline import log
from hardline.apps.failures import SILENT, tell, was_cancelled
from hardline.apps.heads import Answer
from hardline.session.transport import StreamTransport

MAX_HEAD = 65_536  # bytes, and as many that complete nothing
MAX_FIELDS = 256
HEAD_TIME = 10.0  # seconds from a head's first byte to its last, as at the browser's door
SILENCE = 60.0  # seconds without a word of an answer, from when its visitor has ended its own direction
# Bytes between two looks whether the application is behind: few where each could be a request, or a message.
_IN_HEAD, _IN_BODY, _IN_MESSAGES = 2_048, 262_144, 16_384

_MALFORMED = 400, "This is no HTTP request"
_LATE = 408, "The head of this request did not come to its end in time"
_TOO_LARGE = 431, "The head of this request is longer than anybody reads"
_REASONS = {400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large"}


class VisitorGone(ConnectionError):
    """Whom the application sends to is not there any more."""


class Connection(HttpToolsProtocol):
    """One, to the application of a `service`.  `config` is loaded; `server_state` has what is open of it."""

    def __init__(self, service: str, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        super().__init__(config, server_state, app_state, asyncio.get_running_loop())
        self.logger, self.access_log = SILENT, False
        self._service = service
        self._answering: RequestResponseCycle | None = None
        self._progress = self._unfinished = self._said = 0
        self._is_in_head = self._is_in_body = self._is_over = self._is_upgraded = False
        self._read = self._once_more = b""  # what is being read, and what then
        self._ignores_upgrade = False
        self._timer: asyncio.TimerHandle | None = None
        self._broken = _MALFORMED

    @property
    def piece(self) -> int:
        """How many bytes it takes at once."""
        return _IN_BODY if self._is_in_body else _IN_MESSAGES if self._is_upgraded else _IN_HEAD

    @property
    def held(self) -> int:
        """Bytes that came and that nobody has taken yet: of a head, of bodies."""
        latest = self.cycle
        held = self._unfinished
        if latest is not None and not latest.response_complete:
            held += len(latest.body)
        if self.pipeline:
            held += sum(len(cycle.body) for cycle, _ in self.pipeline if cycle is not latest)
            if self._answering is not None:
                held += len(self._answering.body)
        return held

    # What the transport calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        progress = self._progress
        self._once_more = data
        while self._once_more:
            self._read, self._once_more = self._once_more, b""
            super().data_received(self._read)
        self._read = b""
        if self._progress != progress:
            self._unfinished = 0
            return
        self._unfinished += len(data)
        if self._unfinished > MAX_HEAD:
            self._refuse(_TOO_LARGE)
        elif self._is_in_head and self._timer is None:
            self._timer = self.loop.call_later(HEAD_TIME, self._refuse, _LATE)

    def eof_received(self) -> bool:  # type: ignore[override]
        self._is_over = True
        if self._answering is None:
            self.transport.close()
        elif self._is_in_body:
            self.transport.abort()  # the rest of the request will never come
        else:
            self._wait_for_answer()
        return True  # the answer is still on its way

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._unset_keepalive_if_required()
        for cycle in (self._answering, *(waiting for waiting, _ in self.pipeline)):
            if cycle is not None:
                _part(cycle)
        self.pipeline.clear()
        super().connection_lost(exc)

    # What uvicorn's parser calls.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head = True

    def on_headers_complete(self) -> None:
        self._progress += 1
        self._is_in_head, self._is_in_body = False, True
        self._stop_timer()
        if len(self.headers) > MAX_FIELDS:
            self._broken = _TOO_LARGE
            raise ValueError("too many fields")  # uvicorn calls send_400_response
        wishes = self.parser.should_upgrade() and not self._should_upgrade()
        if wishes and self._ignores_upgrade:
            raise ValueError("it is no request: CONNECT")
        self._ignores_upgrade = wishes
        if not wishes:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._progress += 1
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._progress += 1
        self._is_in_body = False
        if not self._ignores_upgrade:
            super().on_message_complete()

    # What uvicorn does with that.

    def handle_websocket_upgrade(self) -> None:
        self._is_in_body, self._is_upgraded = False, True
        self._stop_timer()
        self._unset_keepalive_if_required()
        super().handle_websocket_upgrade()

    def _unsupported_upgrade_warning(self) -> None:
        """Called while HttpParserUpgrade is handled, which says where the head ends.

        The parser takes a head that wishes for another protocol as the last of HTTP, whatever body it announces: that
        would be lost, or be the next request (Java's clients wish for HTTP/2 in each).
        """
        upgrade = sys.exc_info()[1]
        assert isinstance(upgrade, HttpParserUpgrade)
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b: %b" % field for field in _without_upgrade(self.headers)]
        self.parser = HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
        self._once_more = b"\r\n".join([*lines, b"", b""]) + self._read[upgrade.args[0] :]

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._broken)

    def on_response_complete(self) -> None:
        self._answering = None
        super().on_response_complete()
        if self._answering is None and self._is_over:
            self.transport.close()
        else:
            self._settle()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, functools.partial(self._answer, cycle, app))

    async def _answer(self, cycle: RequestResponseCycle, app: Any, scope: Any, receive: Any, send: Any) -> None:
        async def taken() -> Any:
            message = await receive()
            self._settle()
            return message

        answer = Answer(scope["method"], scope["http_version"])

        async def checked(message: Any) -> None:
            if cycle.disconnected:
                raise VisitorGone("the visitor is gone")
            match message["type"]:
                case "http.response.start":
                    message = answer.start(message)
                    if answer.ends_it and not cycle.response_started:
                        cycle.chunked_encoding = False  # uvicorn would have HTTP/1.0 read chunks
                case "http.response.body":
                    message = answer.body(message)
                    if not answer.has_body or answer.ends_it:
                        cycle.expected_content_length = len(message["body"])
            self._said += 1
            await send(message)

        try:
            result = await app(scope, taken, checked)
        except BaseException as failure:
            if was_cancelled(failure):
                self.transport.abort()
                return None
            if cycle.disconnected:
                log.debug("app.left", service=self._service, reason=repr(failure)[:200])
                return None
            tell(self._service, failure)
            if cycle.response_complete:
                return None
            if cycle.response_started:
                self.transport.abort()
            raise
        if not cycle.response_complete and not cycle.disconnected:
            tell(self._service, RuntimeError("it returned before its answer was whole"))
            if cycle.response_started:
                self.transport.abort()
        return result  # type: ignore[no-any-return]  # uvicorn closes where it is anything

    # How it works.

    def _settle(self) -> None:
        """What the application has taken has credit."""
        if isinstance(self.transport, StreamTransport):
            self.transport.settle()

    def _refuse(self, why: tuple[int, str]) -> None:
        """What came is no request, or no end of one."""
        self._stop_timer()
        if self.transport.is_closing():
            return
        cycle, self._is_in_body = self._answering, False
        if cycle is not None and (cycle.response_started or self.pipeline or self.cycle is not cycle):
            self.transport.abort()  # in the midst of an answer nothing else can be said
            return
        status, text = why
        body = f"{text}.\n".encode()
        head = (
            f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
        if cycle is not None:
            _part(cycle)

    def _wait_for_answer(self, said: int = -1) -> None:
        """Give up who has said his last word when nothing is said to him for long: he may have been gone since."""
        if self.transport.is_closing() or self._answering is None:
            return
        if self._said == said and not self.flow.write_paused:
            self.transport.abort()
        else:
            self._timer = self.loop.call_later(SILENCE, self._wait_for_answer, self._said)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _without_upgrade(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The fields of a request that stays HTTP/1.1 (RFC 9110, section 7.8)."""
    kept = []
    for name, value in headers:
        if name == b"connection":
            tokens = [token.strip() for token in value.split(b",")]
            value = b", ".join(one for one in tokens if one.lower() not in (b"upgrade", b"http2-settings"))
        if name not in (b"upgrade", b"http2-settings") and (value or name != b"connection"):
            kept.append((name, value))
    return kept


def misses() -> str:
    """What this file goes by, and uvicorn as it is installed has not; "" for nothing."""
    wanted = [
        *("_start_asgi_task", "on_headers_complete", "on_response_complete", "handle_websocket_upgrade"),
        *("_should_upgrade", "_unsupported_upgrade_warning"),
    ]
    return next((name for name in wanted if not hasattr(HttpToolsProtocol, name)), "")


def _part(cycle: RequestResponseCycle) -> None:
    """Tell the application that its visitor is gone, however it waits for him."""
    cycle.disconnected = True
    cycle.message_event.set()
