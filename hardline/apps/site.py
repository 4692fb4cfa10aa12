"""An ASGI or WSGI application as what answers for a service.

    stream ─▶ AppTransport ─▶ Connection ─▶ app      start: its lifespan begins
                                                     retire: what is under way is answered

It is called in the node's event loop, a WSGI application in threads.  No socket lies in between, but for visitors of
hardline/1, which have no streams.
"""

from __future__ import annotations

import asyncio
import socket
import time
from email.utils import formatdate
from typing import Any

from uvicorn.config import Config

from hardline.apps.connection import Connection
from hardline.apps.failures import AT_LAST, REMOVED, end_soon
from hardline.apps.kinds import AsgiApp, Kind, Receive, Scope, Send
from hardline.apps.lifespan import Lifespan
from hardline.apps.transport import AppTransport
from hardline.apps.websockets import State, WebSocket
from hardline.apps.wsgi import Wsgi
from hardline.errors import ConnectionLost, ServiceFailed
from hardline.session.stream import Stream
from hardline.transport.tcp import TcpStream

_KEEP_ALIVE = 75  # seconds without a request
QUIET = 1.0  # seconds that what was said last has to arrive
_LOOK_EVERY = 0.02
_SHUTDOWN = 10.0  # seconds for an application's own shutdown


class AppSite:
    """`app`, which is of `kind` ASGI or WSGI; one of WSGI has `threads`.  `start` it first, `aclose` it at last."""

    end_grace = 10.0  # seconds that answers under way have at the node's end: they may take long without a byte

    def __init__(self, name: str, app: Any, kind: Kind, threads: int) -> None:
        self._name = name
        asgi: AsgiApp = Wsgi(app, name, threads) if kind is Kind.WSGI else app
        self._lifespan = Lifespan(asgi, name) if kind is Kind.ASGI else None
        self._config = _config(asgi, websockets=kind is Kind.ASGI)
        self._state = _DatedState(name)
        self._transports: set[AppTransport] = set()
        self._ending = False

    async def start(self) -> None:
        """Have the application start.  Raises HardlineError with what it says of its failure."""
        if self._lifespan is not None:
            await self._lifespan.start()

    async def ready(self) -> None:
        """As LocalSite.ready."""
        if self._ending:
            raise ServiceFailed("unavailable", REMOVED)

    async def serve(self, stream: Stream) -> None:
        """As LocalSite.serve.  Cancelled, it is cut."""
        if self._ending:
            raise ConnectionLost(REMOVED)
        connection = self._connection()
        transport = AppTransport(stream, connection, _nothing, lambda: connection.held, lambda: connection.piece)
        self._transports.add(transport)
        try:
            await transport.done
        except asyncio.CancelledError:
            transport.abort()
            raise
        finally:
            self._transports.discard(transport)

    async def connect(self, source: str = "") -> TcpStream:
        """As LocalSite.connect."""
        await self.ready()
        ours, theirs = socket.socketpair()
        loop = asyncio.get_running_loop()
        try:
            ours.setblocking(False)
            theirs.setblocking(False)
            await loop.connect_accepted_socket(self._connection, ours)
            _, stream = await loop.create_unix_connection(TcpStream, sock=theirs)
        except BaseException:
            ours.close()
            theirs.close()
            raise
        return stream

    async def retire(self, grace: float) -> None:
        """Take nothing new, and wait `grace` seconds for the answers under way; WebSockets are told to go elsewhere.

        Who has his answer has QUIET seconds more: a browser ends what it keeps only when it uses it again.
        """
        self._ending = True
        loop = asyncio.get_running_loop()
        connections, deadline, quiet_since = self._state.connections, loop.time() + grace, loop.time()
        for connection in list(connections):
            connection.shutdown()
        tasks = self._state.tasks  # also what an application does behind its answers
        while (connections or tasks) and loop.time() < min(deadline, quiet_since + QUIET):
            if tasks or any(_owes(connection.transport) for connection in connections):
                quiet_since = loop.time()
            await asyncio.sleep(_LOOK_EVERY)

    async def aclose(self) -> None:
        """Cut what is still under way, and have the application shut down.  Idempotent."""
        await self.retire(0.0)
        for connection in list(self._state.connections):
            connection.transport.abort()
        for transport in list(self._transports):
            transport.abort()
        if tasks := list(self._state.tasks):
            await asyncio.wait(tasks, timeout=AT_LAST)
            await end_soon(tasks)
        if self._lifespan is not None:
            await self._lifespan.stop(_SHUTDOWN)

    def _connection(self) -> Connection:
        return Connection(
            self._name, self._config, self._state, self._lifespan.state if self._lifespan is not None else {}
        )


class _DatedState(State):
    """What all answers begin with is the date, made once in a second (RFC 9110, section 6.6.1)."""

    def __init__(self, service: str) -> None:
        self._made, self._fields = 0, list[tuple[bytes, bytes]]()
        super().__init__(service)

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        now = int(time.time())
        if now != self._made:
            self._made, self._fields = now, [(b"date", formatdate(now, usegmt=True).encode())]
        return self._fields

    @default_headers.setter
    def default_headers(self, fields: list[tuple[bytes, bytes]]) -> None:
        """uvicorn sets none at its start."""


def _config(app: AsgiApp, *, websockets: bool) -> Config:
    """uvicorn's, of which nothing reaches beyond the application: logging and the event loop stay the program's."""
    config = Config(
        _unloaded,
        loop="none",
        http=Connection,
        ws=WebSocket if websockets else "none",
        ws_per_message_deflate=False,  # what is small here must not be large there
        lifespan="off",
        interface="asgi3",
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
    )
    config.load()
    config.loaded_app = app  # uvicorn would call it to see whether it makes applications
    return config


async def _unloaded(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("it stands for the application until uvicorn is set up")


def _owes(transport: asyncio.Transport) -> bool:
    """Something of an answer is still to be said there."""
    return not transport.is_closing() or transport.get_write_buffer_size() > 0


def _nothing() -> None:
    pass
