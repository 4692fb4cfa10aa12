"""A relay's control connections: how each begins, how many there may be, and which of them have fallen silent.

    tcp ──TLS──▶ what it says first ─┬─ HARDLINE-… ──▶ the relay, which knows who expects that line
                                     └─ anything else ──▶ Control, until it leaves or falls silent

Where all places are taken, who is here for longest and has registered nothing makes room.
Source: docs/PROTOCOL.md, sections 9.2, 9.4 and 9.6.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

from hardline import log
from hardline.deadlines import Deadlines
from hardline.errors import ConnectionLost, HardlineError
from hardline.identity import KeyHash, utc_day
from hardline.proof import Prover
from hardline.relay.control import Control, Served
from hardline.relay.inside import line_bytes, unwrapped
from hardline.relay.limits import RelayLimits
from hardline.relay.lines import BEGINNING, Line, Verb, encode_line, read_line
from hardline.relay.messages import Bye, Leave
from hardline.relay.opening import CONTROL
from hardline.relay.visits import DESCRIPTORS_LEFT
from hardline.tasks import TaskSet
from hardline.transport.contexts import front_context
from hardline.transport.descriptors import scarce
from hardline.transport.handshake import Names
from hardline.transport.sources import networks
from hardline.transport.tcp import TcpStream
from hardline.transport.tls import TlsStream

SILENT = 60.0  # seconds of silence after which a node is gone


class ServedBeside(Served, Protocol):
    """The relay, as they see it."""

    def expects(self, line: Line) -> bool:
        """Whether somebody waits for a connection that begins with it."""
        ...

    def line(self, tcp: TcpStream, line: Line) -> None:
        """One came that does; `line.size` bytes of it are still to be received."""
        ...


class Controls:
    """Those of one relay, whose other ends know it as `me`; `clock` is seconds since 1970.

    `tasks` are the relay's, and what is refused is counted in `refusals`.
    """

    def __init__(
        self,
        relay: ServedBeside,
        me: Prover,
        limits: RelayLimits,
        tasks: TaskSet,
        refusals: Counter[str],
        clock: Callable[[], float],
    ) -> None:
        self._relay, self._limits, self._tasks, self._refusals, self._clock = relay, limits, tasks, refusals, clock
        self._name = KeyHash.of_certificate(me.certificate)
        self._context = front_context(CONTROL.encode())
        self._names = Names(self._find_myself, lambda _: me)
        self._here: set[Control] = set()
        self._idle: dict[Control, None] = {}  # those that have registered nothing, in order of arrival
        self._of_source: Counter[str] = Counter()
        self._of_network: Counter[str] = Counter()  # a /48 has as many sources as there are places, and more
        self._silent: Deadlines[Control] = Deadlines(SILENT, self._is_silent)

    def __len__(self) -> int:
        return len(self._here)

    def __iter__(self) -> Iterator[Control]:
        """Those that are here now, whoever leaves meanwhile."""
        return iter(tuple(self._here))

    def accepted(self, tcp: TcpStream) -> None:
        """A node wants to register; its first flight is still to be received."""
        limits, (network, _, source) = self._limits.registry, networks(tcp.peer.host)
        full = self._of_source[source] >= limits.per_source or self._of_network[network] >= limits.per_network
        if full or not self._has_room():
            self._refusals["connections"] += 1
            tcp.abort()
            return
        self._of_source[source] += 1
        self._of_network[network] += 1
        self._tasks.start(self._secure(tcp, source), "control")

    def heard(self, control: Control) -> None:
        """It has said something."""
        self._silent.add(control)

    def has_registered(self, control: Control) -> None:
        """It has something, and keeps its place."""
        self._idle.pop(control, None)

    def has_nothing(self, control: Control) -> None:
        """What it had is registered no more."""
        self._idle[control] = None

    def left(self, control: Control) -> None:
        """It has ended."""
        self._here.discard(control)
        self._idle.pop(control, None)
        self._is_gone(control.source, control.network)
        self._silent.discard(control)

    def close(self) -> None:
        """Tell all that the relay ends, and end them."""
        for control in self:
            control.say(Bye(Leave.DRAIN))
            control.end("the relay is stopping")
        self._silent.close()

    def _has_room(self) -> bool:
        """Who is here for longest and has registered nothing makes room, where there is none."""
        if self._of_source.total() < self._limits.registry.registrations:
            return True
        for control in self._idle:
            self._refusals["connections"] += 1
            control.end("others needed the room")
            return True
        return False

    async def _secure(self, tcp: TcpStream, source: str) -> None:
        peer, network = tcp.peer, networks(tcp.peer.host)[0]
        tls: TlsStream | None = None
        try:
            async with asyncio.timeout(self._limits.hello_timeout):
                tls = await TlsStream.over(tcp, self._context, names=self._names)
                said = await self._said_first(tls)
                if said.startswith(BEGINNING):
                    self._is_gone(source, network)
                    source = ""  # it counts as what it is from here on
                    await self._line_inside(tls, said)
                    return
        except BaseException as failure:
            if source:
                self._is_gone(source, network)
            if tls is not None:
                tls.abort()
            if not isinstance(failure, HardlineError | OSError | TimeoutError):
                raise
            log.debug("relay.node_failed", endpoint=peer, reason=str(failure) or "it said nothing in time")
            return
        control = Control(self._relay, tls, source)
        self._here.add(control)
        self._idle[control] = None
        self._silent.add(control)
        log.debug("relay.node_came", endpoint=peer)
        control.start(said)

    async def _said_first(self, tls: TlsStream) -> bytes:
        """Its first byte, or its first line and nothing behind that.  No JSON begins as a line of 9.4 does."""
        said = await tls.receive(1)
        if not said:
            raise ConnectionLost("it left")
        return await line_bytes(tls, said) if BEGINNING.startswith(said) else said

    async def _line_inside(self, tls: TlsStream, said: bytes) -> None:
        """A join inside TLS.  Sockets are made for what is expected only."""
        line = read_line(said)
        assert line is not None, "it was read to its end"
        if not self._relay.expects(line) or scarce(DESCRIPTORS_LEFT):
            tls.put(encode_line(Verb.NO, "gone"))
            tls.close_soon()
            return
        tls.keep_alive()
        tcp = await unwrapped(tls)
        self._relay.line(tcp, replace(line, size=0))  # another one may have used its token meanwhile

    def _is_gone(self, source: str, network: str) -> None:
        for counted, whose in ((self._of_source, source), (self._of_network, network)):
            counted[whose] -= 1
            if not counted[whose]:
                del counted[whose]

    def _find_myself(self, server_name: str) -> KeyHash | None:
        """A node's key hash is no right to visit anything: by it, this node is found as a relay."""
        today = utc_day(self._clock())
        return self._name if server_name in {self._name.rolling(today + off) for off in (-1, 0, 1)} else None

    def _is_silent(self, control: Control) -> None:
        control.say(Bye(Leave.IDLE))
        control.end("it fell silent")
