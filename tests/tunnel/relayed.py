"""A pair of tests/tunnel/pair.py whose only way to each other is a relay, and who punch: all on loopback.

    visitor ──▶ 127.0.0.2 │ carried │ ◀── the host's own connection ──▶ Host, as a relay would bring it

What the relay sees is what is there, or `lies`.  Nobody is public on loopback: who uses this has the rules of
plan.py that refuse it switched off.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from hardline.node.brought import Brought
from hardline.punching import Punching
from hardline.routes import Candidate, Endpoint, FoundBy, PathKind, Trust
from hardline.session.session import SessionLimits
from hardline.tasks import TaskSet
from hardline.transport import tcp
from hardline.transport.listener import Listener
from hardline.transport.tcp import TcpStream
from hardline.tunnel.arrival import Arrival, By
from hardline.tunnel.visitor import Visitor, VisitorLimits
from tests.tunnel.pair import Pair, echo, pair

RELAY = "127.0.0.2"  # not where anybody else is: what connects from there is the relay
BY_RELAY = FoundBy("relay", Trust.SIGNED)


class Relayed:
    """`lies` replaces what the relay says that it sees: our end and the other's, of the host's half."""

    def __init__(self, both: Pair) -> None:
        self.both = both
        self.lies: Callable[[Endpoint, Endpoint], tuple[Endpoint, Endpoint]] = lambda seen, other: (seen, other)
        self.joined = 0
        self.carried = 0  # bytes
        self.open_at: list[Endpoint] = []
        self.expected: dict[str, Callable[[TcpStream], None]] = {}
        self._tasks = TaskSet("relay")
        self.brought = Brought(lambda: both.host, lambda: self.punching, lambda joined: joined.tcp.abort())
        self.deliver = self.brought.punched
        self.seen_at: set[str] = set()
        self.punching = Punching(
            list,
            lambda: self.open_at,
            lambda: self.seen_at,
            lambda punched: self.deliver(punched),
            self._expect,
            lambda name: self.expected.pop(name, None),
        )

    def _expect(self, name: str, take: Callable[[TcpStream], None], seconds: float) -> None:
        self.expected[name] = take

    def accepted(self, visitor: TcpStream) -> None:
        self._tasks.start(self._join(visitor), "join")

    async def _join(self, visitor: TcpStream) -> None:
        came: asyncio.Future[TcpStream] = asyncio.get_running_loop().create_future()
        listener = await Listener.open(["127.0.0.1"], 0, came.set_result, what="relay")
        host = await tcp.connect_any([Endpoint("127.0.0.1", listener.port)], tcp.SHARING)
        there = await came
        await listener.aclose()
        self.joined += 1
        seen, other = self.lies(host.local, visitor.peer)
        key_hash = self.both.service.key_hash
        self.both.host.arrived(Arrival(host, other, By.RELAY, key_hash, between="relay", saw=seen))
        self._tasks.start(self._carry(visitor, there), "carry")
        self._tasks.start(self._carry(there, visitor), "carry")

    async def _carry(self, one: TcpStream, other: TcpStream) -> None:
        with contextlib.suppress(Exception):
            while data := await one.receive():
                self.carried += len(data)
                await other.send(data)
        other.abort()

    async def aclose(self) -> None:
        await self._tasks.aclose()
        await self.punching.aclose()


@contextlib.asynccontextmanager
async def relayed(directory: Path, limits: VisitorLimits | None = None) -> AsyncIterator[Relayed]:
    """A visitor who finds the host by the relay alone."""
    async with pair(directory, echo, limits or VisitorLimits(SessionLimits())) as both:
        relay = Relayed(both)
        await both.visitor.aclose()
        both.visitor = Visitor(
            both.visitor._dialer, both.memory, limits or VisitorLimits(SessionLimits()), punches=relay.punching.visits
        )
        both.host._control = relay.brought.controlled
        listener = await Listener.open([RELAY], 0, relay.accepted, what="relay")
        both.finding.endpoints = []
        both.finding.also = [Candidate(Endpoint(RELAY, listener.port), PathKind.RELAYED, BY_RELAY)]
        try:
            yield relay
        finally:
            await both.visitor.aclose()
            await listener.aclose()
            await relay.aclose()
