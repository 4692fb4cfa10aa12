"""A service's socket whose requests and answers go by another name (http/rewriting.py), for whoever carries bytes.

    the visitor's pipe ── send ──▶ Rewriting.asked ──▶ the service
    the visitor's pipe ◀─ receive ◀─ Rewriting.heard ◀── the service

What is no request that all parsers read alike does not reach the service: the visitor is answered 400 once he has the
answers to what he asked before, and that is the end.  So is what the talk refuses, by another status.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from hardline.errors import ConnectionLost
from hardline.http.head import BadHead
from hardline.http.rewriting import Rewriting
from hardline.streams import DEFAULT_RECEIVE, ByteStream
from hardline.transport.tcp import TcpStream


class Renamed:
    """A ByteStream over `service`; `judge` finds out what an undecided `talk` wants to know."""

    def __init__(self, service: TcpStream, talk: Rewriting, judge: Callable[[], Awaitable[None]] | None = None) -> None:
        self._service, self._talk, self._judge = service, talk, judge
        self._heard = asyncio.Event()
        self._ended = False  # the service has said all
        self._over = False  # it wants no more
        self._refused = False

    async def receive(self, max_bytes: int = DEFAULT_RECEIVE) -> bytes:
        """As ByteStream.receive."""
        talk = self._talk
        while not self._refused:
            if talk.failure is not None and talk.whole:
                return self._refuse(talk.failure)
            try:
                data = await self._service.receive(max_bytes)
            except ConnectionLost:
                self._end()
                if talk.failure is not None and (talk.whole or talk.untold):
                    return self._refuse(talk.failure)
                raise
            passed = talk.heard(data) if data else talk.rest()
            self._ended = not data
            self._heard.set()
            if not data:
                if talk.failure is not None and not passed and (talk.whole or talk.untold):
                    return self._refuse(talk.failure)
                return passed
            if passed:
                return passed
        return b""

    async def send(self, data: bytes) -> None:
        """As ByteStream.send; a service that wants no more has it thrown away: what it says still counts."""
        while not self._over:
            passed, data = self._talk.asked(data), b""
            if passed:
                try:
                    await self._service.send(passed)
                except ConnectionLost:
                    self._end()
            if self._talk.failure is not None:
                await self._break_off()
            elif self._talk.undecided and self._judge is not None:
                await self._judge()
                continue
            elif self._talk.waits and not self._ended:
                self._heard.clear()
                await self._heard.wait()
                continue
            return

    async def send_eof(self) -> None:
        """As ByteStream.send_eof."""
        if not self._over:
            await self._service.send_eof()

    async def aclose(self) -> None:
        """As ByteStream.aclose."""
        self._end()
        await self._service.aclose()

    def abort(self) -> None:
        """Cut the service's connection."""
        self._end()
        self._service.abort()

    async def _break_off(self) -> None:
        """Nothing more is for the service; what it was asked before, it may answer."""
        self._over = True
        if self._talk.whole or self._talk.untold:
            self._service.abort()  # wakes who receives
        else:
            await self._service.send_eof()

    def _refuse(self, bad: BadHead) -> bytes:
        self._refused = True
        self._end()
        self._service.abort()
        return answer_of(bad)

    def _end(self) -> None:
        self._over = True
        self._heard.set()


class Begun:
    """A visitor's `pipe`, of whom `local` has bytes already that may pass only now: they do before he says more."""

    def __init__(self, pipe: ByteStream, local: Renamed) -> None:
        self._pipe, self._local = pipe, local
        self._has_passed = False

    async def receive(self, max_bytes: int = DEFAULT_RECEIVE) -> bytes:
        """As ByteStream.receive."""
        if not self._has_passed:
            self._has_passed = True
            await self._local.send(b"")
        return await self._pipe.receive(max_bytes)

    async def send(self, data: bytes) -> None:
        """As ByteStream.send."""
        await self._pipe.send(data)

    async def send_eof(self) -> None:
        """As ByteStream.send_eof."""
        await self._pipe.send_eof()

    async def aclose(self) -> None:
        """As ByteStream.aclose."""
        await self._pipe.aclose()


def answer_of(bad: BadHead) -> bytes:
    """What a visitor gets in place of the service's answer; the connection ends behind it."""
    body = f"the host did not pass this on: {bad.message}\n".encode()
    fields = "".join(f"{line}\r\n" for line in bad.fields)
    return (
        f"HTTP/1.1 {bad.status} {HTTPStatus(bad.status).phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\n{fields}Connection: close\r\n\r\n"
    ).encode() + body
