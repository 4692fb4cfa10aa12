"""One WebSocket to an ASGI application: uvicorn's, by the library websockets, within bounds.

A message is kept until it is whole; all WebSockets of an application keep MOST_PARTIAL together.  Answers to pings wait
for their visitor: who asks and never reads is cut.
Source: RFC 6455; asgi.readthedocs.io, "HTTP & WebSocket ASGI Message Format".
"""

from __future__ import annotations

import asyncio
import functools
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from hardline.apps.failures import SILENT, tell, was_cancelled
from hardline.apps.heads import Answer, acceptance, without_length

MOST_PARTIAL = 64 << 20  # bytes of messages that are not whole
_UNREAD = 65_536  # bytes of answers to pings that a visitor does not read


class State(ServerState):
    """All that is open of the application of a `service`; `partial` bytes of messages wait for their rest."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self.service = service
        self.partial = 0


class WebSocket(WebSocketsSansIOProtocol):
    """One."""

    def __init__(
        self,
        config: Config,
        server_state: State,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, asyncio.get_running_loop())
        self.logger = SILENT
        self.app = functools.partial(self._answer, self.app)
        self._state = server_state
        self._partial = 0
        self._limit: int | None = None  # bytes that may wait for the visitor, while it is behind

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        whole = self.queue.qsize()
        super().data_received(data)
        if self.queue.qsize() != whole or self.conn.parser_exc is not None:
            self._keep(0)
        else:
            self._keep(self._partial + len(data))
        if self._limit is not None and self.transport.get_write_buffer_size() > self._limit:
            self.transport.abort()

    def eof_received(self) -> None:
        self.transport.close()  # it cannot answer to a close any more

    def shutdown(self) -> None:
        if not self.transport.is_closing():
            super().shutdown()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._limit = self.transport.get_write_buffer_size() + _UNREAD

    def resume_writing(self) -> None:
        super().resume_writing()
        self._limit = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._keep(0)
        super().connection_lost(exc)

    async def _answer(self, app: Any, scope: Any, receive: Any, send: Any) -> None:
        denial = Answer("GET", "1.1")  # what an application may answer in place of a WebSocket

        async def checked(message: Any) -> None:
            match message["type"]:
                case "websocket.accept":
                    message = acceptance(message)
                case "websocket.http.response.start":
                    message = without_length(denial.start(message))
                case "websocket.http.response.body":
                    message = denial.body(message)
            await send(message)

        try:
            await app(scope, receive, checked)
            if self.initial_response is not None and not self.close_sent:
                raise RuntimeError("it returned before its answer was whole")
        except BaseException as failure:
            if not (self.disconnected or was_cancelled(failure)):
                tell(self._state.service, failure)
            self.initial_response = None  # uvicorn says nothing beside it
            raise

    def _keep(self, count: int) -> None:
        self._state.partial += count - self._partial
        self._partial = count
        if count and self._state.partial > MOST_PARTIAL:
            self.transport.abort()
