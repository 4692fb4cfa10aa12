"""A node's control connection, as the relay has it.

    bytes ──▶ lines ──parse──▶ Message ──▶ Relay.said            Relay ──▶ say(Message) ──▶ bytes

It takes no task and no timer of its own: a relay has thousands, and nearly all of them are silent nearly all the time.
Source: docs/PROTOCOL.md, section 9.2.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from hardline.errors import ConnectionLost, HardlineError, PeerError
from hardline.identity import KeyHash
from hardline.relay.messages import Message, encode, parse
from hardline.routes import Endpoint
from hardline.session.messages import MAX_LINE
from hardline.transport.sources import networks
from hardline.transport.tcp import TcpStream
from hardline.transport.tls import TlsStream

_AT_ONCE, _PER_SECOND = 256.0, 20.0  # lines that a node may send
_MOST_WAITING = 64  # lines for a node that does not read


class Served(Protocol):
    """The relay, as a control connection sees it."""

    def said(self, control: Control, message: Message) -> None:
        """It said something.  Raises PeerError for what it must not say."""
        ...

    def left(self, control: Control, why: str) -> None:
        """It is gone.  Called once."""
        ...


class Control:
    """Made when the connection is secured; counts for `source`; `node` is who has proven itself, None until then."""

    __slots__ = (
        "_bucket",
        "_buffer",
        "_gone",
        "_relay",
        "_since",
        "_tls",
        "_waiting",
        "greeted",
        "network",
        "node",
        "parked",
        "peer",
        "since",
        "source",
        "tokens",
    )

    def __init__(self, relay: Served, tls: TlsStream, source: str) -> None:
        self._relay, self._tls = relay, tls
        self.peer: Endpoint = tls.peer
        self.source, self.network = source, networks(self.peer.host)[0]
        self.since = self._since = asyncio.get_running_loop().time()
        self.node: KeyHash | None = None
        self.greeted = False
        self.tokens: tuple[str, ...] | None = None  # given to it for joins that it parks; None before the first
        self.parked: tuple[TcpStream, ...] = ()  # the newest last
        self._bucket = _AT_ONCE
        self._buffer = b""
        self._waiting = 0
        self._gone = False

    def start(self, said: bytes = b"") -> None:
        """From now on it is heard; it has `said` something already."""
        self._tls.keep_alive()
        self.plaintext_received(memoryview(said))
        self._tls.attach(self)

    @property
    def tls(self) -> TlsStream:
        """The connection."""
        return self._tls

    @property
    def gone(self) -> bool:
        """It has ended."""
        return self._gone

    def say(self, message: Message) -> None:
        """Tell it something; one that does not read is cut."""
        if self._gone:
            return
        if self._tls.blocked:
            self._waiting += 1
            if self._waiting > _MOST_WAITING:
                self.end("it does not read")
                return
        try:
            self._tls.put(encode(message))
        except ConnectionLost:
            return  # `plaintext_ended` says so, too

    def end(self, why: str) -> None:
        """Close it; what was said last is still delivered."""
        self._over(why)
        self._tls.close_soon()

    # What the TlsStream calls.

    def plaintext_received(self, data: memoryview) -> None:
        *lines, rest = (self._buffer + bytes(data)).split(b"\n")
        self._buffer = rest
        try:
            if len(rest) >= MAX_LINE:
                raise PeerError(f"a line of more than {MAX_LINE} bytes")
            for line in lines:
                if self._gone:
                    return
                self._take(line)
        except HardlineError as failure:
            self.end(failure.message)

    def plaintext_ended(self, failure: Exception | None) -> None:
        self._over("it left" if failure is None else str(failure))
        self._tls.close_soon()

    def writable(self) -> None:
        self._waiting = 0

    def _take(self, line: bytes) -> None:
        now = asyncio.get_running_loop().time()
        self._bucket = min(_AT_ONCE, self._bucket + (now - self._since) * _PER_SECOND) - 1
        self._since = now
        if self._bucket < 0:
            raise PeerError("more lines than a node has to say")
        if (message := parse(line)) is not None:
            self._relay.said(self, message)

    def _over(self, why: str) -> None:
        if not self._gone:
            self._gone = True
            self._relay.left(self, why)
