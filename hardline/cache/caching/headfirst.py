"""What lies between a connection to the local service and aiohttp: it hands over the head of an answer by itself.

    bytes ──▶ HeadFirst ──▶ 103, fields         told at once, and nothing else comes of it
                       ├──▶ head of the answer  aiohttp begins with the answer
                       └──▶ body, as it comes   what is wrong behind a body cannot spoil the answer any more

aiohttp drops interim answers, and with an answer everything that came in the same piece as an error behind it.

A service may be silent as long as it likes; but what it has begun comes to an end: a head within _HEAD_TIME seconds and
_MAX_HEAD bytes, interim answers within _MOST_INTERIM and _MAX_INTERIM bytes, the lines between chunks in proportion to
what is in the chunks.  What is longer ends the connection.

A service that has answered early does not read the rest of a request, so that sending it fails.  What it said before is
there all the same, and is read first (RFC 9112, section 9.6).
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable

from aiohttp import ClientPayloadError, StreamReader
from aiohttp.connector import Connection

from hardline.http.fields import Fields, is_token

Interim = Callable[[int, Fields], None]

_MAX_HEAD = 262_144
_HEAD_TIME = 30.0  # seconds from the first byte of a head to its last one
_MOST_INTERIM, _MAX_INTERIM = 8, 65_536
_LEFT_BEHIND = 1 << 20  # bytes that are still taken from a connection that broke
_PIECE = 65_536
_END = re.compile(rb"\r?\n\r?\n")  # some end their lines without a carriage return
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})")
_LINE_END = re.compile(rb"\r?\n")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_FRAMING, _MOST_FRAMING = 65_536, 16  # bytes of a body that are none of its content: at first, and for each that is
_SWITCHING = 101


class HeadFirst(asyncio.Protocol):
    """Takes a connection's transport over from aiohttp's protocol, for one request, and passes on what it hears.

    `failure` is why the connection was broken off from here, "" if it was not; `lost` is set once it is gone.
    """

    def __init__(self, inner: asyncio.Protocol, transport: asyncio.Transport, interim: Interim) -> None:
        self.failure = ""
        self.lost = asyncio.Event()
        self._inner = inner
        self._transport = transport
        self._head = bytearray()
        self._searched = 0
        self._waits = True
        self._interim = interim
        self._interims = self._interim_bytes = 0
        self._content: StreamReader | None = None
        self._body = 0  # bytes that came behind the head
        self._late: asyncio.TimerHandle | None = None

    @classmethod
    def on(cls, connection: Connection, interim: Interim) -> HeadFirst | None:
        """Prepare `connection` for a request; `interim` hears of each 1xx."""
        transport = connection.transport
        if transport is None:
            return None
        inner = transport.get_protocol()
        assert isinstance(inner, asyncio.Protocol)
        protocol = cls(inner, transport, interim)
        transport.set_protocol(protocol)
        return protocol

    @property
    def is_breaking(self) -> bool:
        """Whether nothing can be sent any more, and it will be lost in a moment."""
        return self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It was made before."""

    def data_received(self, data: bytes) -> None:
        if self.failure:
            return
        if not self._waits:
            self._pass_on(data)
            return
        self._head += data
        self._look()

    def eof_received(self) -> bool | None:
        self._give_up_waiting()
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and not self.failure:
            self._take_what_is_left()
        self._give_up_waiting()
        self._inner.connection_lost(exc)
        content = self._content
        if content is not None and not content.is_eof() and content.exception() is None:
            # aiohttp leaves whoever reads it waiting for ever when what is behind the last chunk is malformed.
            content.set_exception(ClientPayloadError("the body has no proper end"))
        self.lost.set()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def counts(self, content: StreamReader) -> None:
        """`content` is what becomes of the body: most of what comes has to be in it."""
        self._content = content

    def _pass_on(self, data: bytes) -> None:
        self._body += len(data)
        self._inner.data_received(data)
        if self._content is not None:
            content = self._content.total_bytes
            if self._body - content > _FRAMING + _MOST_FRAMING * content:
                self._break_off("sends a body without content")

    def _look(self) -> None:
        """Pass the heads on that have come whole."""
        while (end := _END.search(self._head, self._searched)) is not None:
            head = bytes(self._head[: end.end()])
            del self._head[: end.end()]
            self._searched = 0
            self._mind_being_late(False)
            status = _STATUS.match(head)
            code = int(status[1]) if status else 0
            if 100 <= code < 200 and code != _SWITCHING:
                if not self._tell(code, head):
                    return
                continue
            rest = self._stop_waiting()
            self._inner.data_received(tolerant(head))
            if rest:
                self._pass_on(rest)
            return
        self._searched = max(0, len(self._head) - 3)
        self._mind_being_late(bool(self._head))
        if len(self._head) > _MAX_HEAD:
            self._break_off("answers with a head that does not end")

    def _tell(self, code: int, head: bytes) -> bool:
        """Tell of an interim answer; False where there are too many of them."""
        self._interims += 1
        self._interim_bytes += len(head)
        if self._interims > _MOST_INTERIM or self._interim_bytes > _MAX_INTERIM:
            self._break_off("sends interim answers without an end")
            return False
        self._interim(code, _fields(head))
        return True

    def _mind_being_late(self, has_begun: bool) -> None:
        if not has_begun and self._late is not None:
            self._late.cancel()
            self._late = None
        elif has_begun and self._late is None:
            said = f"did not end the head of its answer within {_HEAD_TIME:g} s"
            self._late = asyncio.get_running_loop().call_later(_HEAD_TIME, self._break_off, said)

    def _break_off(self, failure: str) -> None:
        self.failure = failure
        self._head.clear()
        self._mind_being_late(False)
        self._transport.abort()

    def _take_what_is_left(self) -> None:
        """Read what came before the connection broke; behind TLS nothing can be read any more."""
        socket = self._transport.get_extra_info("socket")
        if socket is None or self._transport.get_extra_info("sslcontext") is not None:
            return
        taken = 0
        try:
            while taken < _LEFT_BEHIND and not self.failure and (data := os.read(socket.fileno(), _PIECE)):
                taken += len(data)
                self.data_received(data)
        except OSError:
            return

    def _stop_waiting(self) -> bytes:
        """Everything is aiohttp's from now on; returns what has come of it."""
        self._waits = False
        rest = bytes(self._head)
        self._head.clear()
        self._mind_being_late(False)
        return rest

    def _give_up_waiting(self) -> None:
        if self._head and (rest := self._stop_waiting()):
            self._inner.data_received(rest)
        self._mind_being_late(False)


def tolerant(head: bytes) -> bytes:
    """An answer's head as it was meant, for a parser that takes each word literally.

    Small devices send what is forbidden and every browser understands: a space before the colon, which a proxy takes
    away (RFC 9112, section 5.1), a bare CR (section 2.2), one Content-Length twice (RFC 9110, section 8.6), lines that
    are no fields.  Never for requests: those come from strangers, and another program reads them after us.
    """
    status, *lines = _LINE_END.split(head)
    kept = [status]
    is_dropped, length = True, None
    for line in lines:
        if line[:1] in (b" ", b"\t"):
            if not is_dropped:
                kept.append(line.replace(b"\r", b" "))
            continue
        name, colon, value = line.partition(b":")
        name, value = name.rstrip(b" \t"), value.replace(b"\r", b" ")
        is_dropped = not colon or not _NAME.match(name)
        if not is_dropped and name.lower() == b"content-length":
            is_dropped, length = value.strip() == length, value.strip()
        if not is_dropped:
            kept.append(name + b":" + value)
    return b"\r\n".join((*kept, b"", b""))


def _fields(head: bytes) -> Fields:
    lines = (line.partition(":") for line in re.split(r"\r?\n", head.decode("latin-1"))[1:])
    return tuple((name, value.strip(" \t")) for name, colon, value in lines if colon and is_token(name))
