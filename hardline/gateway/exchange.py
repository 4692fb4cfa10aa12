"""One request and its answer, between a client and a stream to its service.

    client ── rest of the body ──▶ a task, where there is any ──▶ stream
    client ◀── head, body as it comes ────────────────────────── stream

Nothing is collected: what one side sends leaves to the other, and who is slow holds the other back.  Where an answer
that has begun cannot be ended, the client's connection is cut, so that a part is never taken for the whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hardline.errors import ConnectionLost, PeerError
from hardline.gateway.answers import Answer, AnswerReader
from hardline.http.bodies import Body
from hardline.session.stream import Stream
from hardline.streams import ByteStream
from hardline.transport.tcp import TcpStream
from hardline.tunnel.pump import carry


class Sent:
    """The request's body on its way: what of it has not come yet, and what came behind it (`leftover`)."""

    def __init__(self, client: TcpStream, body: Body, leftover: bytes) -> None:
        self._client, self.body, self.leftover = client, body, leftover
        self.moved = 0
        self._wanted = True

    def begin(self) -> bytes:
        """What of the body is there.  Raises PeerError for chunks that are none."""
        part = self.body.take(self.leftover)
        self.leftover = self.leftover[len(part) :]
        return part

    async def pump(self, pipe: Stream | ByteStream) -> None:
        """Send the rest.  A service may answer and close before it has read all: then the rest is dropped."""
        try:
            while not self.body.done:
                data = await self._client.receive()
                if not data:
                    raise ConnectionLost("the client ended in the middle of its request")
                part = self.body.take(data)
                self.leftover = data[len(part) :]
                self.moved += len(part)
                if self._wanted:
                    await self._send(pipe, part)
        except (ConnectionLost, PeerError):
            await pipe.aclose()

    async def _send(self, pipe: ByteStream, part: bytes) -> None:
        try:
            await pipe.send(part)
        except ConnectionLost:
            self._wanted = False


class Received:
    """The answer, as it comes through `pipe`; `count` bytes of its body have been passed on."""

    def __init__(self, pipe: ByteStream, client: TcpStream, sent: Sent, idle_timeout: float) -> None:
        self._pipe, self._client, self._sent, self._idle = pipe, client, sent, idle_timeout
        self._reader = AnswerReader()
        self.count = 0
        self.begun = False  # the client has got something

    @property
    def heard(self) -> bool:
        """The service has said something."""
        return self._reader.begun or self.begun

    async def head(self, said: bytes, timeout: float, interim: Callable[[Answer], bytes]) -> Answer:
        """The head of the answer, those before it (1xx) passed on as `interim` writes them.

        Raises TimeoutError after `timeout` seconds in which nothing moved; PeerError, ConnectionLost.
        """
        answer = self._reader.feed(said)
        while answer is None or answer.interim:
            if answer is not None:
                if head := interim(answer):
                    await self._give(head)
                answer = self._reader.feed(b"")
                continue
            answer = self._reader.feed(await self._said(timeout))
        return answer

    async def _said(self, timeout: float) -> bytes:
        while True:
            moved = self._sent.moved
            try:
                async with asyncio.timeout(timeout):
                    data = await self._pipe.receive()
            except TimeoutError:
                if self._sent.moved == moved:
                    raise
                continue
            if not data:
                raise ConnectionLost("the service ended before its answer")
            return data

    async def body(self, head: bytes, body: Body | None) -> bool:
        """Pass on `head` and the body behind it; whether the stream may be asked again."""
        data = self._reader.leftover
        part = data if body is None else body.take(data)
        await self._give(head + part)
        self.count += len(part)
        surplus = len(data) > len(part)
        while body is None or not body.done:
            async with asyncio.timeout(self._idle):
                data = await self._pipe.receive()
            if not data:
                if body is None:
                    return False
                raise ConnectionLost("the service ended in the middle of its answer")
            part = data if body is None else body.take(data)
            surplus = len(data) > len(part)
            await self._give(part)
            self.count += len(part)
        return not surplus

    async def switched(self, head: bytes, early: bytes) -> None:
        """It is no HTTP any more: carry bytes both ways to their end, `early` being what the client said already."""
        await self._give(head + self._reader.leftover)
        if early:
            await self._pipe.send(early)
        await carry(self._pipe, self._client, self._idle)

    async def _give(self, data: bytes) -> None:
        self.begun = True
        async with asyncio.timeout(self._idle):
            await self._client.send(data)
