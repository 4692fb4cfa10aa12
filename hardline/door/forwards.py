"""[Forward:NAME]: ports of this computer that lead to the services of others, for programs that speak no HTTP.

    client ── TCP ──▶ Forward ──▶ tunnel.visitor ──▶ the service: bytes as they come, and both ends

A client whose service cannot be reached is cut at once: there is no page that it would understand.
"""

from __future__ import annotations

import asyncio

from hardline import log
from hardline.door.carrier import ANSWER_TIMEOUT, Carrier
from hardline.errors import ConfigError, HardlineError, LimitReached
from hardline.identity import Label
from hardline.routes import Endpoint
from hardline.tasks import TaskSet
from hardline.transport.listener import Listener
from hardline.transport.tcp import TcpStream

AGAIN = 10.0  # seconds after which a port that was taken is tried again


class Forward:
    """One port.  At most `most` connections at a time; more are cut as they come.

    `problem` says why the port is not listened on, or why the last client was not served; empty for nothing wrong.
    """

    def __init__(self, name: str, label: Label, listen: Endpoint, most: int, carrier: Carrier) -> None:
        self.name, self.label, self.listen = name, label, listen
        self.problem = ""
        self._most = most
        self._carrier = carrier
        self._listener: Listener | None = None
        self._clients: set[TcpStream] = set()
        self._tasks = TaskSet("forward")
        self._stopped = False

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
        if not await self._listens():
            self._tasks.start(self._keep_trying(), "listen")

    async def stop_accepting(self) -> None:
        """Take nobody new.  Idempotent."""
        self._stopped = True
        if self._listener is not None:
            await self._listener.aclose()

    async def aclose(self) -> None:
        """Cut every connection."""
        await self.stop_accepting()
        await self._tasks.aclose()
        await self.stop_accepting()  # it may have begun to listen just then
        for client in self._clients:
            client.abort()  # its task had not begun yet
        self._clients.clear()

    async def _listens(self) -> bool:
        what = f"[Forward:{self.name}] listen"
        try:
            listener = await Listener.open([self.listen.host], self.listen.port, self._accepted, what=what, resets=True)
        except ConfigError as failure:
            if failure.message != self.problem:
                log.warning("forward.not_listening", forward=self.name, reason=failure.message, hint=failure.hint)
            self.problem = failure.message
            return False
        self._listener, self.problem = listener, ""
        log.event("forward.listening", forward=self.name, at=str(self.listen))
        return True

    async def _keep_trying(self) -> None:
        while True:
            await asyncio.sleep(AGAIN)
            if self._stopped or await self._listens():
                return

    def _accepted(self, client: TcpStream) -> None:
        if self._stopped:
            client.abort()
            return
        if len(self._clients) >= self._most:
            self._failed(LimitReached(f"{self._most} connections are open, as many as max_connections allows"))
            client.abort()
            return
        self._clients.add(client)
        self._tasks.start(self._serve(client), "client")

    async def _serve(self, client: TcpStream) -> None:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT) as limit:
                await self._carrier.tunnel(client, self.label, limit)
            self.problem = ""
        except TimeoutError:
            self._failed(HardlineError(f"no answer after {ANSWER_TIMEOUT:g} s"))
            client.abort()
        except HardlineError as failure:
            self._failed(failure)
            client.abort()
        except BaseException:
            client.abort()
            raise
        finally:
            self._clients.discard(client)
            await client.aclose()

    def _failed(self, failure: HardlineError) -> None:
        self.problem = failure.message
        log.debug("forward.refused", forward=self.name, reason=failure.message)
