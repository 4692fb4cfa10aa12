"""An HTTP server that is handed tunnel streams.

    stream ──▶ StreamTransport ──▶ aiohttp's protocol ──▶ handler(request) ──▶ answer

aiohttp reads and writes HTTP; here is what it cannot know of a tunnel: a visitor may end its own direction and still
wait for its answers (`nc -N`, and every connection that a browser has closed looks so for a moment).
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable

from aiohttp import web

from hardline import log
from hardline.errors import ConnectionLost, HardlineError
from hardline.http.serving.protocol import HEAD_TIME, Protocol, complaint, refusal, request_of
from hardline.session.stream import Stream
from hardline.session.transport import StreamTransport
from hardline.transport.tcp import TcpStream

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_KEEP_ALIVE = 75.0  # seconds without a request
_MAX_LINE = 32_768  # of a request's head: as much as the browser's door lets through
_MAX_FIELDS = 256
_BODY_AHEAD = 32_768  # bytes of a body before its reader has asked for them; twice as many pause the visitor
_NEXT_ANSWER = 0.1  # seconds within which the answer to a pipelined request begins
_STOPPING = 2.0  # seconds for answers under way

# aiohttp would tell every malformed request; what fails in a handler is told by `_handle`.
_SILENT = logging.Logger("aiohttp", logging.CRITICAL + 1)


class StreamServer:
    """Answers requests of the streams it is given through `handler`, until `aclose`.

    A head has `head_time` seconds.
    """

    def __init__(self, handler: Handler, name: str, *, head_time: float = HEAD_TIME) -> None:
        self._handler = handler
        self._head_time = head_time
        self._name = name
        self._connections: dict[asyncio.BaseTransport, _Connection] = {}
        self._ending = False
        self._server = web.Server(self._handle, request_factory=request_of, handler_cancellation=True)

    def protocol_factory(self, source: str = "") -> Protocol:
        """The reader of one connection, for a listening socket; `source` is whose it is (transport/sources.py)."""
        return Protocol(
            self._server,
            source=source,
            head_time=self._head_time,
            loop=asyncio.get_running_loop(),
            access_log=_SILENT,
            logger=_SILENT,
            keepalive_timeout=_KEEP_ALIVE,
            tcp_keepalive=False,
            max_line_size=_MAX_LINE,
            max_field_size=_MAX_LINE,
            max_headers=_MAX_FIELDS,
            read_bufsize=_BODY_AHEAD,
            auto_decompress=False,
        )

    async def serve(self, stream: Stream) -> None:
        """Answer what comes on `stream` until it is over; the stream is closed then.  Cancelled, it is cut.

        Raises ConnectionLost when the server is ending.
        """
        if self._ending:
            raise ConnectionLost("the service was changed")
        protocol = self.protocol_factory(stream.session.source.name)
        connection = _Connection(protocol)
        transport = connection.transport = StreamTransport(stream, protocol, connection.ended, lambda: protocol.held)
        self._connections[transport] = connection
        try:
            await transport.done
        except asyncio.CancelledError:
            transport.abort()
            raise
        finally:
            del self._connections[transport]

    async def connect(self, source: str = "") -> TcpStream:
        """A socket whose other end is this server: for pipes that are no streams.  `source` as for `protocol_factory`.

        Raises ConnectionLost when the server is ending.
        """
        if self._ending:
            raise ConnectionLost("the service was changed")
        ours, theirs = socket.socketpair()
        loop = asyncio.get_running_loop()
        ours.setblocking(False)
        theirs.setblocking(False)
        await loop.connect_accepted_socket(lambda: self.protocol_factory(source), ours)
        _, stream = await loop.create_unix_connection(TcpStream, sock=theirs)
        return stream

    async def retire(self) -> None:
        """Take no more requests, and wait until every answer under way has come to its end."""
        self._ending = True
        protocols = [one for one in self._server.connections if isinstance(one, Protocol)]
        for one in protocols:
            one.retire()
        for connection in self._connections.values():
            connection.close_if_idle()
        await asyncio.gather(
            *(
                asyncio.shield(transport.done)
                for transport in self._connections
                if isinstance(transport, StreamTransport)
            ),
            *(one.gone.wait() for one in protocols),
        )

    async def aclose(self) -> None:
        """Let answers under way come to their end for a moment, then cut everything."""
        self._ending = True
        self._server.pre_shutdown()
        await self._server.shutdown(_STOPPING)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = self._connections.get(request.transport) if request.transport else None
        if connection is not None:
            connection.began(request)
        if isinstance(request.protocol, Protocol):
            request.protocol.check_body(request)
        try:
            answer = refusal(request) or await self._handler(request)
            answer = complaint(request) or answer
            if self._ending:
                answer.force_close()
            return answer
        except (ConnectionError, HardlineError) as failure:
            if (page := complaint(request)) is not None:
                return page
            # The visitor left, or has been cut since what it should get cannot be had whole.
            if request.transport is not None:
                request.transport.abort()
            reason = failure.message if isinstance(failure, HardlineError) else str(failure)
            log.debug("answer.cut", service=self._name, reason=reason)
            raise ConnectionResetError from failure
        except web.HTTPException:
            raise
        except Exception as failure:
            log.warning("answer.failed", service=self._name, path=request.raw_path[:200], reason=repr(failure)[:300])
            raise
        finally:
            if connection is not None:
                connection.answered()


class _Connection:
    """What a visitor that has ended its own direction is still owed."""

    def __init__(self, protocol: web.RequestHandler) -> None:
        self.transport: StreamTransport | None = None
        self._protocol = protocol
        self._request: web.BaseRequest | None = None
        self._ended = False

    def began(self, request: web.BaseRequest) -> None:
        self._request = request
        if self.transport is not None:
            self.transport.settle()
        self._cut_if_torn()

    def answered(self) -> None:
        self._request = None
        if self.transport is not None:
            self.transport.settle()
        self._close_later()

    def ended(self) -> None:
        """The visitor has sent its last byte."""
        self._ended = True
        self._cut_if_torn()
        self._close_later()

    def _close_later(self) -> None:
        if self._ended:
            asyncio.get_running_loop().call_later(_NEXT_ANSWER, self.close_if_idle)

    def _cut_if_torn(self) -> None:
        """A request that ends in the middle of its body will never be whole."""
        if self._ended and self._request is not None and not self._request.content.is_eof() and self.transport:
            self.transport.abort()

    def close_if_idle(self) -> None:
        """Close it, where no request is under way."""
        if self._request is None and self.transport is not None:
            self.transport.close()
