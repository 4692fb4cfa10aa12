"""A node's part in getting through routers, its own and others': as host, and as visitor.

Host ─ a session by a relay ─▶ HostPunches ─┐                         ┌─▶ Host.arrived
                                            ├─ 4 s, at the same time ─┤
Visitor ─ its control stream ─▶ VisitorPunches ─┘                     └─▶ Visitor: a better path
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from hardline.addresses import Kind, kind_of, parse
from hardline.identity import KeyHash
from hardline.punch.hosting import Half, HostPunches, Punched
from hardline.punch.visiting import VisitorPunches, Wish
from hardline.relay.lines import Verb, encode_line
from hardline.routes import Endpoint
from hardline.session.session import Session
from hardline.session.stream import Stream
from hardline.transport import tcp
from hardline.transport.tcp import TcpStream
from hardline.transport.ways import way_to

CALL_WITHIN = 4.0  # seconds


class Punching:
    """One node's.

    `addresses` are those of this machine, `open_at` where the world can connect to it; `deliver` gets visitors whom
    nobody stands between any more; `expect` has those who call here and say a name brought to a callback, for so many
    seconds.
    """

    def __init__(
        self,
        addresses: Callable[[], Sequence[str]],
        open_at: Callable[[], Sequence[Endpoint]],
        deliver: Callable[[Punched], None],
        expect: Callable[[str, Callable[[TcpStream], None], float], None],
    ) -> None:
        def sixes() -> list[str]:
            found = [(text, parse(text)) for text in addresses()]
            return [text for text, one in found if one is not None and one.version == 6 and kind_of(one) is Kind.PUBLIC]

        self._host = HostPunches(sixes, way_to, deliver, _call)
        self._visitor = VisitorPunches(sixes, open_at, way_to, expect)

    def hosts(self, session: Session, service: KeyHash, local: Endpoint, seen: Endpoint, other: Endpoint) -> None:
        """A visitor's `session` goes by a relay: our end begins at `local` and is `seen` there, the visitor's at
        `other`."""
        self._host.begin(session, service, Half(local, seen, other))

    def visits(
        self,
        stream: Stream,
        local: Endpoint,
        wanted: Callable[[frozenset[str]], bool],
        take: Callable[[TcpStream, str], Awaitable[bool]],
        over: Callable[[str], None],
    ) -> None:
        """As tunnel.punched.Punches."""
        self._visitor.begin(stream, Wish(local, wanted, take, over))

    async def aclose(self) -> None:
        """End all that is under way."""
        await self._host.aclose()
        await self._visitor.aclose()


async def _call(endpoint: Endpoint, name: str) -> TcpStream:
    """Connect to a visitor who waits for it.  Raises OSError, TimeoutError, ConnectionLost."""
    async with asyncio.timeout(CALL_WITHIN):
        stream = await tcp.connect_any([endpoint])
        try:
            await stream.send(encode_line(Verb.REVERSE, name))
        except BaseException:
            stream.abort()
            raise
        return stream
