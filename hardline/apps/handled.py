"""A coroutine function as what answers for a service: it gets each visitor's connection as a pipe of bytes.

stream ─▶ handler(stream) ─┬─ returns ─▶ what it sent, then the end
                           └─ raises ──▶ a cut
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

from hardline import log
from hardline.apps.failures import REMOVED, end_soon, tell, was_cancelled
from hardline.apps.kinds import Handler
from hardline.errors import ConnectionLost, HardlineError, ServiceFailed
from hardline.session.stream import Stream
from hardline.streams import ByteStream
from hardline.tasks import TaskSet
from hardline.transport.tcp import TcpStream, over_socket

_LINGERS = 300.0  # seconds that a visitor has to read what was sent last and end its own direction
_MOST_DISCARDED = 64 << 20  # bytes of what it still says meanwhile


class HandlerSite:
    """`handler`, which is called once for each connection, in the node's event loop."""

    end_grace = 0.0  # seconds at the node's end, which has waited while bytes moved

    def __init__(self, name: str, handler: Handler) -> None:
        self._name, self._handler = name, handler
        self._tasks = TaskSet("handler")
        self._served: set[asyncio.Task[None]] = set()
        self._ending = False

    async def start(self) -> None:
        """There is nothing to start."""

    async def ready(self) -> None:
        """As LocalSite.ready."""
        if self._ending:
            raise ServiceFailed("unavailable", REMOVED)

    async def serve(self, stream: Stream) -> None:
        """As LocalSite.serve.  Cancelled, it is cut, and so is the handler."""
        if self._ending:
            raise ConnectionLost(REMOVED)
        await self._start(stream)

    async def connect(self, source: str = "") -> TcpStream:
        """As LocalSite.connect."""
        await self.ready()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        try:
            pipe, given = await over_socket(ours), await over_socket(theirs)
        except BaseException:
            ours.close()
            theirs.close()
            raise
        self._start(pipe)
        return given

    async def retire(self, grace: float) -> None:
        """Take nothing new, and wait `grace` seconds for those who are served."""
        self._ending = True
        if self._served:
            await asyncio.wait(list(self._served), timeout=grace)

    async def aclose(self) -> None:
        """Cut those who are served.  Idempotent."""
        self._ending = True
        await end_soon(list(self._served))

    def _start(self, pipe: ByteStream) -> asyncio.Task[None]:
        task = self._tasks.start(self._handle(pipe), self._name)
        self._served.add(task)
        task.add_done_callback(self._served.discard)
        return task

    async def _handle(self, pipe: ByteStream) -> None:
        try:
            await self._handler(pipe)
            await _part(pipe)
        except (HardlineError, ConnectionError) as failure:
            log.debug("app.left", service=self._name, reason=str(failure)[:200])
        except (Exception, SystemExit, asyncio.CancelledError) as failure:
            if was_cancelled(failure):
                raise
            tell(self._name, failure)
        finally:
            await pipe.aclose()


async def _part(pipe: ByteStream) -> None:
    """End in order: a pipe that is closed before its other end has ended is a cut."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LINGERS):
            await pipe.send_eof()
            discarded = 0
            while discarded < _MOST_DISCARDED and (data := await pipe.receive()):
                discarded += len(data)
