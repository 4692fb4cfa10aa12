"""A host and a visitor in one process, over real sockets on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hardline import certificates
from hardline.identity import KeyHash
from hardline.proof import Prover
from hardline.routes import Candidate, Code, Endpoint, FoundBy, PathKind, Plain, Trust, Via
from hardline.session.session import SessionLimits
from hardline.settings.directory import Service
from hardline.settings.local import LocalService
from hardline.settings.service import ServiceSettings
from hardline.signatures import signing_key
from hardline.transport.listener import Listener
from hardline.tunnel.dialer import Dialer
from hardline.tunnel.host import Host, HostLimits
from hardline.tunnel.inviting import Redeem
from hardline.tunnel.visitor import Invitations, Visitor, VisitorLimits

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

QUICK = SessionLimits(streams=8, ping_interval=0.3, ping_timeout=0.3)
DIAL_LASTS = 2.0  # seconds


@dataclass
class Noted:
    """A memory that only notes."""

    worked_calls: list[tuple[KeyHash, Endpoint, PathKind, str]] = field(default_factory=list)
    learned_calls: list[tuple[KeyHash, object, object, tuple[Via, ...] | None]] = field(default_factory=list)

    async def worked(self, target: KeyHash, endpoint: Endpoint, kind: PathKind, protocol: str) -> None:
        self.worked_calls.append((target, endpoint, kind, protocol))

    async def learned(
        self, target: KeyHash, wan_hosts: object, title: object, relayed: tuple[Via, ...] | None = None
    ) -> None:
        self.learned_calls.append((target, wan_hosts, title, relayed))


class Finding:
    """Finds the endpoints that are set, and counts the searches."""

    def __init__(self) -> None:
        self.endpoints: list[Endpoint] = []
        self.also: list[Candidate] = []
        self.plain = False
        self.searches = 0
        self.reasons: Sequence[str] = ()

    def silent(self, better_than: PathKind) -> Sequence[str]:
        return ()

    def search(self, target: KeyHash) -> Finding:
        self.searches += 1
        return self

    async def candidates(self) -> AsyncIterator[Candidate]:
        for endpoint in self.endpoints:
            yield Candidate(endpoint, PathKind.LAN, FoundBy("test", Trust.HEARD), Plain() if self.plain else Code())
        for candidate in self.also:
            yield candidate


class Pair:
    """Both ends.  `service` is shared at `endpoint` while the host runs."""

    def __init__(
        self,
        directory: Path,
        target: LocalService,
        limits: VisitorLimits,
        password: str,
        legacy: bool,
        invitations: Invitations | None = None,
        redeem: Redeem | None = None,
    ) -> None:
        settings = ServiceSettings(target=target, title="Test", password=password, legacy=legacy)
        identity = certificates.load_or_create(directory / "s.cert")
        self.service = Service("test", settings, identity, directory / "s.ini")
        self.finding, self.memory = Finding(), Noted()
        dialer = Dialer(self.finding.search, clock=time.time, timeout=DIAL_LASTS)
        key = certificates.load_or_create(directory / "key")
        prover = Prover(key.der, signing_key(key.private_key_pem)) if invitations is not None else None
        self.visitor = Visitor(dialer, self.memory, limits, prover=lambda _: prover, invitations=invitations)
        self._redeem = redeem
        self._session = limits.session
        self._port = 0

    async def start_host(self) -> None:
        self.host = Host(
            HostLimits(self._session, hello_timeout=1.0), clock=time.time, instance="00" * 16, redeem=self._redeem
        )
        self.host.replace([self.service])
        self._listener = await Listener.open(["127.0.0.1"], self._port, self.host.accepted, what="p2pport")
        self._port = self._listener.port
        self.finding.endpoints = [Endpoint("127.0.0.1", self._port)]

    async def stop_host(self) -> None:
        await self._listener.aclose()
        await self.host.aclose()

    @contextlib.asynccontextmanager
    async def also_at(self, address: str) -> AsyncIterator[Endpoint]:
        """The host listens at one more address, which is not found."""
        listener = await Listener.open([address], 0, self.host.accepted, what="p2pport")
        try:
            yield Endpoint(address, listener.port)
        finally:
            await listener.aclose()

    def retarget(self, **changes: object) -> None:
        self.service = replace(self.service, settings=replace(self.service.settings, **changes))
        self.host.replace([self.service])


@contextlib.asynccontextmanager
async def pair(
    directory: Path,
    handler: Handler,
    limits: VisitorLimits | None = None,
    password: str = "",
    legacy: bool = True,
    invitations: Invitations | None = None,
    redeem: Redeem | None = None,
) -> AsyncIterator[Pair]:
    """A running host in front of a local service that is `handler`, and a visitor that finds it."""
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    target = LocalService("tcp", "127.0.0.1", server.sockets[0].getsockname()[1])
    both = Pair(directory, target, limits or VisitorLimits(QUICK), password, legacy, invitations, redeem)
    await both.start_host()
    try:
        yield both
    finally:
        await both.visitor.aclose()
        await both.stop_host()
        server.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends back what it gets, and ends when the other side does."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def eventually(condition: Callable[[], object], what: str, timeout: float = 60.0) -> None:
    """Wait until `condition` holds.  AssertionError when it does not within `timeout` seconds."""
    try:
        async with asyncio.timeout(timeout):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"never happened: {what}") from None
