"""A relay on loopback, a host that is reached by it, and a visitor who knows the service."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import functools
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, ParamSpec

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from hardline.errors import HardlineError
from hardline.identity import KeyHash
from hardline.proof import Prover
from hardline.relay.access import Access
from hardline.relay.client import RelayClient
from hardline.relay.dnsproof import DnsProofs
from hardline.relay.expected import Expected
from hardline.relay.handles import handle_of, make_handle
from hardline.relay.joins import Joined
from hardline.relay.limits import RelayLimits
from hardline.relay.page import page
from hardline.relay.porter import Porter
from hardline.relay.ports import Ports
from hardline.relay.server import Relay
from hardline.relay.wanted import Wanted
from hardline.routes import Endpoint, RelayAddress
from hardline.selfsigned import self_signed
from hardline.tasks import TaskSet
from hardline.transport import tcp
from hardline.transport.contexts import front_context, visitor_context
from hardline.transport.handshake import Names
from hardline.transport.listener import Listener
from hardline.transport.tcp import TcpStream
from hardline.transport.tls import TlsStream

P = ParamSpec("P")

NOW = 20_778 * 86_400.0
OWN_NAME = "0123456789012345678901234567890123456789"  # of a service that the relay's own node has


def in_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """A test that awaits."""

    @functools.wraps(test)
    def whole(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 100))

    return whole


def prover() -> Prover:
    """Somebody new."""
    key = Ed25519PrivateKey.generate()
    since = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    return Prover(self_signed(key, since).public_bytes(Encoding.DER), key)


def name_of(one: Prover) -> KeyHash:
    return KeyHash.of_certificate(one.certificate)


ANYBODY = Access(everybody=True)
_services: dict[bytes, Prover] = {}  # that several hosts have


class RunningRelay:
    """A relay with its listener; `own` are connections for the node's own services."""

    def __init__(
        self,
        limits: RelayLimits,
        access: Access,
        most: int,
        timeout: float,
        ports: Ports | None = None,
        dns: DnsProofs | None = None,
    ) -> None:
        self.me = prover()
        self.relay = Relay(
            self.me, limits, access, clock=lambda: NOW, contact="ann@relay.example", ports=ports, dns=dns
        )
        self.own: asyncio.Queue[TcpStream] = asyncio.Queue()
        self.expected = Expected(most=most, of_a_source=most, timeout=timeout)
        self.porter = Porter(
            self.relay,
            self.own.put_nowait,
            lambda name: name == OWN_NAME,
            lambda: page("ann@relay.example"),
            self.expected,
            most=most,
            of_a_source=most,
            timeout=timeout,
        )
        self.listener: Listener

    @property
    def endpoint(self) -> Endpoint:
        return self.listener.endpoints[0]

    @property
    def address(self) -> RelayAddress:
        return RelayAddress(self.endpoint, name_of(self.me))


@contextlib.asynccontextmanager
async def running_relay(
    limits: RelayLimits | None = None,
    access: Access = ANYBODY,
    *,
    most: int = 512,
    timeout: float = 10.0,
    ports: Ports | None = None,
    dns: DnsProofs | None = None,
) -> AsyncIterator[RunningRelay]:
    running = RunningRelay(limits or RelayLimits(), access, most, timeout, ports, dns)
    running.listener = await Listener.open(["127.0.0.1"], 0, running.porter.accepted, what="relay")
    try:
        yield running
    finally:
        await running.listener.aclose()
        running.porter.close()
        await running.relay.aclose()


class RunningHost:
    """A host with one service, which says `answer` to whoever visits it, and then what it was told."""

    def __init__(self, address: RelayAddress, *, me: Prover | None = None, name: bytes = b"") -> None:
        self.service, self.me = _services.setdefault(name, prover()) if name else prover(), me or prover()
        self.key_hash = name_of(self.service)
        self.handle = make_handle(name or self.service.certificate, "host", address.key_hash, 1)
        self.name = handle_of(self.handle)
        self.also: list[Wanted] = []
        self.joined: list[Joined] = []
        self.answers = True
        self._tasks = TaskSet("host")
        self.changes = 0
        self.client = RelayClient(
            address,
            lambda: self.me,
            lambda: [Wanted(self.key_hash, self.handle), *self.also],
            self._arrived,
            self._changed,
            clock=lambda: NOW,
        )

    def _changed(self) -> None:
        self.changes += 1

    def _arrived(self, joined: Joined) -> None:
        self.joined.append(joined)
        if self.answers:
            self._tasks.start(self._serve(joined), "serve", expects=HardlineError)
        else:
            joined.tcp.abort()

    async def _serve(self, joined: Joined) -> None:
        day = int(NOW // 86_400)
        said = [joined.name] if joined.name else [self.key_hash.rolling(day + off) for off in (-1, 0, 1)]
        names = Names(lambda name: self.key_hash if name in said else None, lambda _: self.service)
        tls = await TlsStream.over(joined.tcp, front_context(), names=names)
        while data := await tls.receive():
            await tls.send(data)
        await tls.send_eof()
        await tls.aclose()

    async def visit(self, at: Endpoint) -> TlsStream:
        """As somebody who knows the service does by the relay.  Raises PeerError, ConnectionLost."""
        stream = await tcp.connect_any([at])
        return await TlsStream.over(stream, visitor_context(), self.name, target=self.key_hash)

    async def aclose(self) -> None:
        await self._tasks.aclose()


@contextlib.asynccontextmanager
async def running_host(
    address: RelayAddress, *, wait: bool = True, me: Prover | None = None, name: bytes = b""
) -> AsyncIterator[RunningHost]:
    """With `wait`, once it has visited itself by the relay."""
    host, tasks = RunningHost(address, me=me, name=name), TaskSet("host")
    tasks.start(host.client.run(), "relay")
    try:
        if wait:
            await until(lambda: bool(host.client.tested))
            host.joined.clear()
        yield host
    finally:
        await tasks.aclose()
        await host.aclose()


async def until(condition: Callable[[], bool], limit: float = 20.0) -> None:
    """Wait for it."""
    async with asyncio.timeout(limit):
        while not condition():
            await asyncio.sleep(0.005)


async def echoed(tls: TlsStream, data: bytes) -> bytes:
    """What comes back of what is sent."""
    got = bytearray()

    async def read() -> None:
        while len(got) < len(data):
            piece = await tls.receive()
            assert piece, f"ended after {len(got)} of {len(data)} bytes"
            got.extend(piece)

    async def send() -> None:
        for start in range(0, len(data), 65_536):
            await tls.send(data[start : start + 65_536])

    await asyncio.gather(read(), send())
    return bytes(got)
