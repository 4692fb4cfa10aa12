"""A browser's socket while a pipe that is no stream has it: what passes is judged as at a Joint (session/joint.py).

    browser ── receive ──▶ Conversation.asked ──▶ the pipe to an original
    browser ◀── send ◀──── Conversation.heard ◀── the pipe

Whoever carries the bytes may end it as they like: the door has its socket back afterwards.
"""

from __future__ import annotations

import asyncio

from hardline.errors import ConnectionLost
from hardline.session.gate import Gate
from hardline.streams import DEFAULT_RECEIVE
from hardline.transport.tcp import TcpStream


class Lent:
    """A ByteStream over `browser`, without its end; `talk` says what may pass, None for everything."""

    def __init__(self, browser: TcpStream, talk: Gate | None) -> None:
        self._browser = browser
        self._talk = talk
        self._changed = asyncio.Event()

    async def receive(self, max_bytes: int = DEFAULT_RECEIVE) -> bytes:
        """As ByteStream.receive.  Raises ConnectionLost also when the conversation is over."""
        talk = self._talk
        while talk is not None and not talk.opaque:
            if passed := talk.released():
                return passed
            if talk.over:
                raise ConnectionLost("the next request is for another service")
            if not talk.stopped:
                data = await self._more(talk, max_bytes)
                passed = bytes(talk.asked(data))
                if passed or not data:
                    return passed
                continue
            self._changed.clear()
            try:
                async with asyncio.timeout(talk.patience if talk.hopeless else None):
                    await self._changed.wait()
            except TimeoutError:
                raise ConnectionLost("nobody can tell where the answer ends") from None
        if talk is not None and (passed := talk.released()):
            return passed
        return await self._browser.receive(max_bytes)

    async def send(self, data: bytes) -> None:
        """As ByteStream.send."""
        if self._talk is not None:
            self._talk.heard(memoryview(data))
            self._changed.set()
            if self._talk.astray:
                self._browser.abort()
                raise ConnectionLost("the service said more than it was asked")
        await self._browser.send(data)

    async def send_eof(self) -> None:
        """As ByteStream.send_eof."""
        await self._browser.send_eof()

    async def aclose(self) -> None:
        """Nothing: it is lent."""

    def abort(self) -> None:
        """Nothing: it is lent."""

    async def _more(self, talk: Gate, max_bytes: int) -> bytes:
        try:
            async with asyncio.timeout(talk.patience if talk.partial else None):
                return await self._browser.receive(max_bytes)
        except TimeoutError:
            talk.late()
            return b""
