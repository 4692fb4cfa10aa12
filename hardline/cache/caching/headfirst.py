"""What lies between a connection to the local service and aiohttp: it hands over the head of an answer by itself.

    bytes ──▶ HeadFirst ──▶ 103, fields         told at once, and nothing else comes of it
                       ├──▶ head of the answer  aiohttp begins with the answer
                       └──▶ body, as it comes   what is wrong behind a body cannot spoil the answer any more

aiohttp drops interim answers, and with an answer everything that came in the same piece as an error behind it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

from aiohttp.connector import Connection

from hardline.cache.policy.fields import Fields, is_token

Interim = Callable[[int, Fields], None]

_MAX_HEAD = 262_144
_END = re.compile(rb"\r?\n\r?\n")  # some end their lines without a carriage return
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})")
_SWITCHING = 101


class HeadFirst(asyncio.Protocol):
    """Takes a connection's transport over from aiohttp's protocol, and passes on what it hears."""

    def __init__(self, inner: asyncio.Protocol) -> None:
        self._inner = inner
        self._head = b""
        self._waits = True
        self._interim: Interim | None = None
        self._requests = 0

    @classmethod
    def on(cls, connection: Connection, interim: Interim) -> HeadFirst | None:
        """Prepare `connection` for a request; `interim` hears of each 1xx."""
        transport = connection.transport
        if transport is None:
            return None
        protocol = transport.get_protocol()
        if not isinstance(protocol, HeadFirst):
            assert isinstance(protocol, asyncio.Protocol)
            protocol = cls(protocol)
            transport.set_protocol(protocol)
        protocol._head, protocol._waits, protocol._interim = b"", True, interim
        protocol._requests += 1
        return protocol

    @property
    def is_left_unanswered(self) -> bool:
        """Whether it has served before, and not a byte has come for the last request."""
        return self._requests > 1 and self._waits and not self._head

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It was made before."""

    def data_received(self, data: bytes) -> None:
        if self._waits:
            data = self._look(self._head + data, max(0, len(self._head) - 3))
        if data:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        self._give_up_waiting()
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._give_up_waiting()
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def _look(self, data: bytes, start: int) -> bytes:
        """Pass the heads on that begin `data`, and end after `start`; return what follows the last of them."""
        while True:
            end = _END.search(data, start)
            if end is None:
                if len(data) <= _MAX_HEAD:
                    self._head = data
                    return b""
                self._waits, self._head = False, b""
                return data  # aiohttp says what is wrong with it
            head, data = data[: end.end()], data[end.end() :]
            status = _STATUS.match(head)
            code = int(status[1]) if status else 0
            if 100 <= code < 200 and code != _SWITCHING:
                if self._interim is not None:
                    self._interim(code, _fields(head))
                start = 0
                continue
            self._waits, self._head = False, b""
            self._inner.data_received(head)
            return data

    def _give_up_waiting(self) -> None:
        data, self._head = self._head, b""
        if data:
            self._waits = False
            self._inner.data_received(data)


def _fields(head: bytes) -> Fields:
    lines = (line.partition(":") for line in re.split(r"\r?\n", head.decode("latin-1"))[1:])
    return tuple((name, value.strip(" \t")) for name, colon, value in lines if colon and is_token(name))
