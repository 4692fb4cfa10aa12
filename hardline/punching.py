"""A node's part in getting through routers, its own and others': as host, and as visitor.

    Host ──── a session by a relay ─▶ HostPunches ────┐                         ┌─▶ Host.arrived
                                                      ├─ 4 s, at the same time ─┤
    Visitor ─ its control stream ───▶ VisitorPunches ─┘                         └─▶ Visitor: a better path

Source: docs/PROTOCOL.md, section 10.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

from hardline.addresses import Kind, kind_of, parse
from hardline.identity import KeyHash
from hardline.punch.hosting import Half, HostPunches, Punched
from hardline.punch.visiting import Expects, Here, VisitorPunches, Wish
from hardline.relay.lines import Verb, encode_line
from hardline.routes import Endpoint
from hardline.session.controlstream import ControlStream
from hardline.transport import tcp
from hardline.transport.tcp import TcpStream
from hardline.transport.ways import way_to

CALL_WITHIN = 4.0  # seconds


class Punching:
    """One node's.

    `addresses` are those of this machine that it may be reached at, `open_at` where the world can connect to it,
    `seen_at` the addresses that others have seen it at; `deliver` gets visitors whom nobody stands between any more;
    `expect` and `forget` are for those who call here, by the name that they say.
    """

    def __init__(
        self,
        addresses: Callable[[], Iterable[str]],
        open_at: Callable[[], Sequence[Endpoint]],
        seen_at: Callable[[], Collection[str]],
        deliver: Callable[[Punched], None],
        expect: Expects,
        forget: Callable[[str], None],
    ) -> None:
        def sixes() -> list[str]:
            found = [(text, parse(text)) for text in sorted(addresses())]
            return [text for text, one in found if one is not None and one.version == 6 and kind_of(one) is Kind.PUBLIC]

        self._host = HostPunches(sixes, way_to, deliver, _call)
        self._visitor = VisitorPunches(Here(sixes, open_at, seen_at, way_to), expect, forget)

    def hosts(self, control: ControlStream, service: KeyHash, half: Half) -> None:
        """A visitor's session goes by a relay, and he takes a `control` stream."""
        self._host.begin(control, service, half)

    def visits(
        self,
        control: ControlStream,
        host: KeyHash,
        local: Endpoint,
        wanted: Callable[[frozenset[str]], bool],
        take: Callable[[TcpStream, str], Awaitable[bool]],
        over: Callable[[str, bool], None],
    ) -> None:
        """As tunnel.punched.Punches."""
        self._visitor.begin(control, Wish(str(host), local, wanted, take, over))

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
