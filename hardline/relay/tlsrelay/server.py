"""Public ports for programs that speak the lines of tx_tlsrelay: servers that dial out, with clients that know nothing.

    server ──TLS, both show certificates──▶ the control port: a lease, two lines, and one for each client
    client ──▶ a public port, waits ─┬─▶ Pair: from here on only bytes
    server ──▶ its reverse port ─────┘

Every connection counts as one of the relay's visits, and so do its bytes.  Source: docs/PROTOCOL.md, section 9.9.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from OpenSSL import SSL

from hardline import log
from hardline.deadlines import Deadlines
from hardline.errors import ConnectionLost, HardlineError
from hardline.relay.pair import Pair, sockets_of
from hardline.relay.rates import Rates
from hardline.relay.server import RelayState
from hardline.relay.tlsrelay.credentials import load
from hardline.relay.tlsrelay.switchboard import Switchboard
from hardline.relay.tlsrelay.words import (
    NEW_CONNECTION,
    NO_AVAILABLE_LISTENERS,
    NO_CONTROLLER_LINKED,
    Silence,
    listeners,
)
from hardline.relay.visits import Visits, makes_room, wait_in
from hardline.routes import Endpoint
from hardline.settings.node import RelaySection
from hardline.tasks import TaskSet
from hardline.transport.crowd import Crowd
from hardline.transport.listener import Listener
from hardline.transport.newcomers import Newcomers
from hardline.transport.sources import source_of
from hardline.transport.tcp import TcpStream, keep_alive
from hardline.transport.tls import TlsStream

NEWCOMERS, OF_A_SOURCE = 64, 16  # control connections that have not shown a certificate
DIALS_WITHIN = 30.0  # seconds that a client waits: as long as a server of tx_tlsrelay tries to connect
GONE = 60  # seconds after which a machine that confirms nothing is gone
_MOST_UNREAD = 64  # lines for a server that does not read

_WHAT = "[Relay] tlsrelay"


@dataclass(eq=False, slots=True)
class _Client:
    """One that waits for its server."""

    tcp: TcpStream
    pair: int
    source: str


@dataclass(eq=False, slots=True)
class _Server:
    """A control connection; `left` is called once, with why it ended."""

    tls: TlsStream
    left: Callable[[_Server, str], None]
    silence: Silence = field(default_factory=Silence)
    unread: int = 0
    gone: bool = False

    def say(self, line: bytes) -> None:
        """Tell it something; one that does not read is cut."""
        if self.gone:
            return
        self.unread = self.unread + 1 if self.tls.blocked else 0
        if self.unread > _MOST_UNREAD:
            self.end("it does not read")
            return
        with contextlib.suppress(ConnectionLost):  # `plaintext_ended` says so, too
            self.tls.put(line)

    def end(self, why: str) -> None:
        """Close it."""
        if not self.gone:
            self.gone = True
            self.left(self, why)
        self.tls.close_soon()

    # What the TlsStream calls.

    def plaintext_received(self, data: memoryview) -> None:
        if self.silence.is_broken(bytes(data)):
            self.end("it said something")

    def plaintext_ended(self, failure: Exception | None) -> None:
        self.end("it left" if failure is None else str(failure))

    def writable(self) -> None:
        self.unread = 0


class TlsRelay:
    """`ports` are the control port, then as many reverse ports as public ones.  `open` one, at the end `aclose`.

    Servers are told that it is at `host`, or where they have reached it where that is empty; `context` is what their
    certificates are judged by; `timeout` is in seconds, for a handshake.
    """

    def __init__(
        self, ports: Sequence[int], host: str, context: SSL.Context, visits: Visits, rates: Rates, timeout: float
    ) -> None:
        half = len(ports) // 2
        self._control_port, self._reverse, self._public = ports[0], ports[1 : 1 + half], ports[1 + half :]
        self._host, self._context, self._visits, self._rates, self._timeout = host, context, visits, rates, timeout
        self._listeners: list[Listener] = []
        self._tasks = TaskSet("tlsrelay")
        self._newcomers: Newcomers[TcpStream] = Newcomers(NEWCOMERS, OF_A_SOURCE)
        self._board: Switchboard[_Server, _Client] = Switchboard(half)
        self._room: Crowd[_Client] = Crowd()  # who waits there
        self._servers: set[_Server] = set()
        self._pairs: dict[int, dict[Pair, None]] = {pair: {} for pair in range(half)}  # in order of arrival
        self._impatient: Deadlines[_Client] = Deadlines(DIALS_WITHIN, self._nobody_dialled)
        self._refusals: Counter[str] = Counter()
        self._passed = 0  # by pairs that have ended

    @property
    def endpoints(self) -> list[Endpoint]:
        """Where it listens."""
        return [at for listener in self._listeners for at in listener.endpoints]

    @classmethod
    async def open(
        cls, addresses: Sequence[str], settings: RelaySection, visits: Visits, rates: Rates, timeout: float
    ) -> TlsRelay:
        """The one that `settings` are about, listening; `visits` and `rates` are the relay's.  Raises ConfigError."""
        assert settings.tlsrelay_keys is not None, "settings without are refused"
        context = await asyncio.to_thread(load, settings.tlsrelay_keys)
        opened = cls(settings.tlsrelay, settings.tlsrelay_host, context, visits, rates, timeout)
        try:
            await opened._open(addresses)
        except BaseException:
            await opened.aclose()
            raise
        return opened

    async def _open(self, addresses: Sequence[str]) -> None:
        await self._listen(addresses, self._control_port, self._control)
        for pair, (reverse, public) in enumerate(zip(self._reverse, self._public, strict=True)):
            await self._listen(addresses, reverse, functools.partial(self._dialled, pair))
            await self._listen(addresses, public, functools.partial(self._came, pair))

    async def _listen(self, addresses: Sequence[str], port: int, accepted: Callable[[TcpStream], None]) -> None:
        self._listeners.append(await Listener.open(addresses, port, accepted, what=_WHAT))

    def describe(self, others: RelayState) -> RelayState:
        """What there is, with what the relay has of others."""
        pairs = [pair for pairs in self._pairs.values() for pair in pairs]
        return replace(
            others,
            tlsrelay=self._board.leased,
            pairs=others.pairs + len(pairs),
            waiting=others.waiting + self._board.waits,
            passed=others.passed + self._passed + sum(pair.passed for pair in pairs),
            refused=dict(sorted((Counter(others.refused) + self._refusals).items())),
        )

    def cut(self) -> None:
        """End what is carried, and who waits to be."""
        for pair in self._pairs:
            self._cut(pair)

    async def stop_accepting(self) -> None:
        """Nobody new."""
        for listener in self._listeners:
            await listener.aclose()

    async def aclose(self) -> None:
        """End everything."""
        await self.stop_accepting()
        await self._tasks.aclose()
        for server in tuple(self._servers):
            server.end("the relay is stopping")
        self._impatient.close()

    # Servers.

    def _control(self, tcp: TcpStream) -> None:
        for leaving in self._newcomers.come(tcp, tcp.peer.host):
            self._refusals["connections"] += 1
            leaving.abort()
            if leaving is tcp:
                return
        self._tasks.start(self._secure(tcp), "control")

    async def _secure(self, tcp: TcpStream) -> None:
        peer = tcp.peer
        try:
            async with asyncio.timeout(self._timeout):
                tls = await TlsStream.over(tcp, self._context)
        except (HardlineError, OSError, TimeoutError) as failure:
            self._refusals["certificate"] += 1
            log.debug("relay.server_refused", endpoint=peer, reason=str(failure) or "no handshake in time")
            return
        finally:
            self._newcomers.known(tcp)
        self._welcome(_Server(tls, self._left))

    def _welcome(self, server: _Server) -> None:
        takes_nobody = self._visits.draining or self._visits.used_up
        pair = None if takes_nobody else self._board.lease(server)
        if pair is None:
            self._refusals["ports"] += 1
            server.say(NO_AVAILABLE_LISTENERS)
            server.tls.close_soon()
            return
        self._servers.add(server)
        _watch(server.tls)
        log.debug("relay.server_came", endpoint=server.tls.peer, port=self._public[pair])
        server.say(listeners(self._host or server.tls.local, self._public[pair], self._reverse[pair]))
        server.tls.attach(server)

    def _left(self, server: _Server, why: str) -> None:
        self._servers.discard(server)
        pair, waited = self._board.leave(server)
        for client in waited:
            self._turn_away(client)
        self._cut(pair)
        log.debug("relay.server_left", port=self._public[pair], reason=why)

    # Clients, and who dials for them.

    def _came(self, pair: int, tcp: TcpStream) -> None:
        server = self._board.server_at(pair)
        if server is None:
            _nobody_is_there(tcp)
            return
        name, source = _name(pair), source_of(tcp.peer.host)
        makes_room = functools.partial(self._makes_room, pair, tcp.peer.host)
        if why := self._visits.why_not(name, source, makes_room):
            self._refusals[why] += 1
            tcp.close()
            return
        client = _Client(tcp, pair, source)
        wait_in(self._room, client, tcp.peer.host, self._give_up, self._refusals)
        self._visits.began(name, source)
        self._board.come(client, pair)
        self._impatient.add(client)
        server.say(NEW_CONNECTION)

    def _makes_room(self, pair: int, address: str) -> bool:
        here: list[_Client | Pair] = [*self._board.waiting(pair), *self._pairs[pair]]
        return makes_room(here, address, self._give_up, self._refusals)

    def _nobody_dialled(self, client: _Client) -> None:
        self._refusals["nobody_joined"] += 1
        self._give_up(client)

    def _give_up(self, client: _Client) -> None:
        self._board.give_up(client, client.pair)
        self._turn_away(client)

    def _turn_away(self, client: _Client) -> None:
        """It waited in vain, and waits no more."""
        self._room.discard(client)
        self._impatient.discard(client)
        self._visits.ended(_name(client.pair), client.source)
        client.tcp.close()

    def _dialled(self, pair: int, tcp: TcpStream) -> None:
        """The dial itself says nothing of who it is, so that only the address of the server may."""
        server = self._board.server_at(pair)
        if server is None:
            _nobody_is_there(tcp)
        elif source_of(tcp.peer.host) != source_of(server.tls.peer.host):
            self._refusals["foreign_dial"] += 1
            tcp.close()
        elif (client := self._board.dialled(pair)) is None:
            tcp.close()
        else:
            self._room.discard(client)
            self._impatient.discard(client)
            self._join(client, tcp)

    def _join(self, client: _Client, tcp: TcpStream) -> None:
        name, source = _name(client.pair), client.source
        if client.tcp.transport.is_closing():  # it was reset meanwhile; what it had said is still its server's
            tcp.transport.write(client.tcp.heard)
            tcp.close()
            self._visits.ended(name, source)
            return
        if (taken := sockets_of(client.tcp, tcp)) is None:
            self._visits.ended(name, source)
            return
        (ours, early), (theirs, answered) = taken
        pairs = self._pairs[client.pair]

        def ended(pair: Pair) -> None:
            self._passed += pair.passed
            self._visits.ended(name, source)
            del pairs[pair]

        for one in (ours, theirs):
            keep_alive(one)
        pair = Pair(ours, theirs, source, self._rates, ended, (early, answered))
        pairs[pair] = None
        pair.start()

    def _cut(self, pair: int) -> None:
        for client in self._board.waiting(pair):
            self._give_up(client)
        for one in tuple(self._pairs[pair]):
            one.close(reset=True)


def _name(pair: int) -> str:
    """By which its visits are counted: no name of a registration has a colon at its end."""
    return f"tlsrelay {pair}:"


def _nobody_is_there(tcp: TcpStream) -> None:
    tcp.transport.write(NO_CONTROLLER_LINKED)
    tcp.close()


def _watch(tls: TlsStream) -> None:
    """Have the kernel find out that a server's machine is gone, also while lines for it are on their way."""
    tls.keep_alive(idle=GONE // 2)
    if tls.socket is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
        with contextlib.suppress(OSError):
            tls.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GONE * 1000)
