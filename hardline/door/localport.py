"""A port of this computer for programs that speak no HTTP.

    client ── TCP ──▶ LocalPort ──▶ whoever serves it (forwards, socksproxy)

A port that is taken is tried for until it can be had.  Who may not connect, or comes when there are enough, is cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from hardline import log
from hardline.errors import ConfigError, HardlineError, LimitReached
from hardline.routes import Endpoint
from hardline.tasks import TaskSet
from hardline.transport.listener import Listener
from hardline.transport.tcp import TcpStream

AGAIN = 10.0  # seconds after which a port that was taken is tried again


def _everybody(peer: Endpoint) -> bool:
    return True


class LocalPort:
    """One port, which messages call `what`.  At most `most` connections at a time; more are cut as they come.

    `serve` has each client until it is done with, and returns why it was not served where the client was told so;
    where it raises a HardlineError, the client is cut.  `admits` says who may connect.  `problem` says why the port is
    not listened on, or why the last client was not served; empty for nothing wrong.
    """

    def __init__(
        self,
        what: str,
        listen: Endpoint,
        most: int,
        serve: Callable[[TcpStream], Awaitable[HardlineError | None]],
        admits: Callable[[Endpoint], bool] = _everybody,
    ) -> None:
        self.listen = listen
        self.problem = ""
        self._what, self._most = what, most
        self._serve_one, self._admits = serve, admits
        self._listener: Listener | None = None
        self._clients: set[TcpStream] = set()
        self._tasks = TaskSet("forward")
        self._failure = asyncio.Event()
        self._stopped = self._over = False

    @property
    def open(self) -> int:
        """How many clients are connected."""
        return len(self._clients)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where it listens."""
        return self._listener.endpoints if self._listener else ()

    async def start(self) -> None:
        """Listen; where the port cannot be had now, go on trying."""
        try:
            await self.begin()
        except ConfigError:
            self._tasks.start(self._keep_trying(), "listen")

    async def begin(self) -> None:
        """Listen.  Raises ConfigError where the port cannot be had."""
        try:
            at, what = self.listen, self._what
            opened = await Listener.open([at.host], at.port, self._accepted, what=what, resets=True)
        except ConfigError as failure:
            if failure.message != self.problem:
                log.warning("forward.not_listening", forward=self._what, reason=failure.message, hint=failure.hint)
            self.problem = failure.message
            raise
        self._listener, self.problem, self.listen = opened, "", opened.endpoints[0]
        log.event("forward.listening", forward=self._what, at=str(self.listen))

    async def stop_accepting(self) -> None:
        """Take nobody new.  Idempotent."""
        self._stopped = True
        if self._listener is not None:
            await self._listener.aclose()

    async def aclose(self) -> None:
        """Cut every connection.  Idempotent."""
        self._over = True
        self._failure.set()
        await self.stop_accepting()
        await self._tasks.aclose()
        await self.stop_accepting()  # it may have begun to listen just then
        for client in self._clients:
            client.abort()  # its task had not begun yet
        self._clients.clear()

    @property
    def over(self) -> bool:
        """It was closed."""
        return self._over

    async def failures(self) -> AsyncIterator[str]:
        """Why clients are not served, as it happens, until it is closed: of those of one moment the last."""
        while not self._over:
            await self._failure.wait()
            self._failure.clear()
            if self.problem and not self._over:
                yield self.problem

    def failed(self, failure: HardlineError) -> None:
        """Somebody was not served, or would not be."""
        self.problem = failure.message
        self._failure.set()
        log.debug("forward.refused", forward=self._what, reason=failure.message)

    async def _keep_trying(self) -> None:
        while True:
            await asyncio.sleep(AGAIN)
            if self._stopped:
                return None
            try:
                return await self.begin()
            except ConfigError:
                continue

    def _accepted(self, client: TcpStream) -> None:
        if self._stopped or not self._admits(client.peer):
            client.abort()
            return
        if len(self._clients) >= self._most:
            self.failed(LimitReached(f"{self._most} connections are open, as many as max_connections allows"))
            client.abort()
            return
        self._clients.add(client)
        self._tasks.start(self._serve(client), "client")

    async def _serve(self, client: TcpStream) -> None:
        try:
            if (told := await self._serve_one(client)) is not None:
                self.failed(told)
            else:
                self.problem = ""
        except HardlineError as failure:
            self.failed(failure)
            client.abort()
        except BaseException:
            client.abort()
            raise
        finally:
            self._clients.discard(client)
            await client.aclose()
