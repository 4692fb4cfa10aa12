"""Both ends of every kind of pipe, on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from OpenSSL import SSL

from hardline import certificates
from hardline.certificates import Identity
from hardline.proof import Prover
from hardline.relay.pair import Pair
from hardline.relay.pipes import Pipes
from hardline.relay.rates import RateLimits, Rates
from hardline.session.legacy import LegacyPipe
from hardline.session.session import Session, SessionLimits, Stream
from hardline.signatures import signing_key
from hardline.streams import ByteStream
from hardline.transport import tcp
from hardline.transport.contexts import client_context, front_context, server_context, visitor_context
from hardline.transport.engine import BindingEngine, Engine, PublicEngine
from hardline.transport.handshake import Names
from hardline.transport.listener import Listener
from hardline.transport.native import NativeEngine, best_engine
from hardline.transport.tcp import TcpStream
from hardline.transport.tls import TlsStream
from tests.support.memory_stream import MemoryStream

DAY = 20_778
EngineMaker = Callable[[SSL.Connection], Engine]
ENGINES: list[type[Engine]] = [BindingEngine, PublicEngine, *([NativeEngine] if best_engine is NativeEngine else [])]


@functools.cache
def identity() -> Identity:
    """One certificate for all tests of a process."""
    directory = tempfile.mkdtemp(prefix="hardline-test-")
    return certificates.load_or_create(Path(directory) / "s.cert")


def host_context() -> SSL.Context:
    """Answers to any server name with the certificate of `identity`."""
    return server_context(identity().certificate_path, identity().private_key_path)


@contextlib.asynccontextmanager
async def tcp_pair() -> AsyncIterator[tuple[TcpStream, TcpStream]]:
    """(connecting end, accepting end)."""
    arrived: asyncio.Queue[TcpStream] = asyncio.Queue()
    listener = await Listener.open(["127.0.0.1"], 0, arrived.put_nowait, what="test")
    one = await tcp.connect(listener.endpoints[0])
    other = await arrived.get()
    try:
        yield one, other
    finally:
        await one.aclose()
        await other.aclose()
        await listener.aclose()


def names() -> Names:
    """What a host with `identity` answers to: its code of DAY."""
    ours, prover = identity(), Prover(identity().der, signing_key(identity().private_key_pem))
    return Names(lambda name: ours.key_hash if name == ours.key_hash.rolling(DAY) else None, lambda key_hash: prover)


@contextlib.asynccontextmanager
async def tls_pair(engine: EngineMaker = best_engine) -> AsyncIterator[tuple[TlsStream, TlsStream]]:
    """hardline/2: (visitor's end, host's end)."""
    target = identity().key_hash
    async with tcp_pair() as (one, other):
        client, server = await asyncio.gather(
            TlsStream.over(one, visitor_context(), target.rolling(DAY), target=target, engine=engine),
            TlsStream.over(other, front_context(), names=names(), engine=engine),
        )
        try:
            yield client, server
        finally:
            await client.aclose()
            await server.aclose()


@contextlib.asynccontextmanager
async def certificate_pair(engine: EngineMaker = best_engine) -> AsyncIterator[tuple[TlsStream, TlsStream]]:
    """TLS as hardline/1 and others have it: (client's end, server's end)."""
    async with tcp_pair() as (one, other):
        client, server = await asyncio.gather(
            TlsStream.over(one, client_context(), "any", engine=engine),
            TlsStream.over(other, host_context(), engine=engine),
        )
        try:
            yield client, server
        finally:
            await client.aclose()
            await server.aclose()


@contextlib.asynccontextmanager
async def session_pair(
    limits: SessionLimits | None = None, engine: EngineMaker = best_engine
) -> AsyncIterator[tuple[Session, Session, asyncio.Queue[Stream]]]:
    """(visitor's session, host's session, the streams that the host was opened)."""
    limits = limits or SessionLimits()
    opened: asyncio.Queue[Stream] = asyncio.Queue()
    async with tls_pair(engine) as (client, server):
        visitor = Session(client, limits, client=True)
        host = Session(server, limits, client=False, accept=opened.put_nowait)
        visitor.start()
        host.start()
        try:
            yield visitor, host, opened
        finally:
            await visitor.aclose()
            await host.aclose()


@contextlib.asynccontextmanager
async def memory() -> AsyncIterator[tuple[ByteStream, ByteStream]]:
    yield MemoryStream.pair()


@contextlib.asynccontextmanager
async def yamux_stream() -> AsyncIterator[tuple[ByteStream, ByteStream]]:
    async with session_pair() as (visitor, _, opened):
        yield visitor.open_stream(), await opened.get()


@contextlib.asynccontextmanager
async def accepted_yamux_stream() -> AsyncIterator[tuple[ByteStream, ByteStream]]:
    async with session_pair() as (visitor, _, opened):
        theirs = visitor.open_stream()
        yield await opened.get(), theirs


@contextlib.asynccontextmanager
async def legacy() -> AsyncIterator[tuple[ByteStream, ByteStream]]:
    async with certificate_pair() as (client, server):
        yield LegacyPipe(client), LegacyPipe(server)


@contextlib.asynccontextmanager
async def joined(*, copied: bool = False) -> AsyncIterator[tuple[TcpStream, TcpStream]]:
    """TCP through a relay: (visitor's end, host's end)."""
    pipes = Pipes.of_this_loop()
    if copied:
        pipes.take = lambda: None  # type: ignore[method-assign]
    async with tcp_pair() as (visitor, theirs), tcp_pair() as (host, ours):
        ended: asyncio.Queue[Pair] = asyncio.Queue()
        (left, early, _), (right, behind, _) = theirs.detach(), ours.detach()
        pair = Pair(left, right, "192.0.2.7", Rates(RateLimits()), ended.put_nowait, (early, behind))
        pair.start()
        try:
            yield visitor, host
        finally:
            await visitor.aclose()
            await host.aclose()
            async with asyncio.timeout(20):
                await ended.get()
            pipes.close()


KINDS = {
    "memory": memory,
    "TCP": tcp_pair,
    "TCP through a relay": joined,
    "TCP through a relay that copies": functools.partial(joined, copied=True),
    **{f"TLS by {engine.__name__}": functools.partial(tls_pair, engine) for engine in ENGINES},
    "a yamux stream": yamux_stream,
    "a yamux stream seen from the host": accepted_yamux_stream,
    "hardline/1": legacy,
}


def shake_hands(client: SSL.Connection, server: SSL.Connection) -> None:
    """Between two connections in memory."""
    client.set_connect_state()
    server.set_accept_state()
    for _ in range(3):
        for one, other in ((client, server), (server, client)):
            with contextlib.suppress(SSL.WantReadError):
                one.do_handshake()
            with contextlib.suppress(SSL.WantReadError):
                other.bio_write(one.bio_read(65_536))
