"""The beginning of a control connection, as a node makes it: to whom it is, and where the relay sees it come from.

    TCP ─▶ TLS (PSK of the relay's own name) ─▶ hello ─▶ welcome

Source: docs/PROTOCOL.md, section 9.2.
"""

from __future__ import annotations

import asyncio

from hardline.allowance import Allowance
from hardline.errors import ConnectionLost, PeerError
from hardline.identity import KeyHash, utc_day
from hardline.relay.messages import Hello, Message, Welcome, encode, parse
from hardline.relay.opening import CONTROL
from hardline.session.messages import Lines
from hardline.transport.contexts import visitor_context
from hardline.transport.tcp import TcpStream
from hardline.transport.tls import TlsStream

MAX_LINES = 20_000, 5_000  # that a relay may say at once, and in a second: strangers can make it send invites

_NOT_THERE = (
    "no relay of this key hash answers there: its line may be of another node, [Relay] enabled = yes may be missing "
    "there, or one of the two clocks is days off"
)


class Heard:
    """The lines of a control connection, one after the other."""

    def __init__(self, tls: TlsStream) -> None:
        self._tls, self._said, self._lines = tls, Allowance(*MAX_LINES), Lines()

    async def next(self) -> Message | None:
        """The next one; None for one that is not known.  Raises PeerError, ConnectionLost.  Safe to cancel."""
        while True:
            if (line := self._lines.next()) is not None:
                if not self._said.take("", asyncio.get_running_loop().time()):
                    raise PeerError("the relay says more than there is to say")
                return parse(line)
            data = await self._tls.receive()
            if not data:
                raise ConnectionLost("the relay ended the connection")
            self._lines.feed(data)


async def greet(stream: TcpStream, relay: KeyHash, clock: float) -> tuple[TlsStream, Heard, Welcome]:
    """Say hello over `stream`, which is this call's; `clock` is seconds since 1970.

    Raises PeerError for who is not that relay, ConnectionLost; has no time limit.  Safe to cancel.
    """
    tls = await secured(stream, relay, clock)
    try:
        tls.put(encode(Hello()))
        heard = Heard(tls)
        while not isinstance(message := await heard.next(), Welcome):
            pass
    except BaseException:
        tls.abort()
        raise
    return tls, heard, message


async def secured(stream: TcpStream, relay: KeyHash, clock: float) -> TlsStream:
    """TLS with that relay over `stream`, which is this call's; nothing has been said in it.  As `greet`."""
    over = TlsStream.over(
        stream,
        visitor_context(protocol=CONTROL.encode()),
        relay.rolling(utc_day(clock)),
        target=relay,
        protocol=CONTROL.encode(),
    )
    try:
        return await over
    except PeerError as failure:
        raise PeerError(_NOT_THERE if failure.message.endswith("not offered there") else str(failure)) from None
