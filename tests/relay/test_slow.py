"""A relay whose way on is slow: its kernel confirms what the other end has not got, and nobody takes that for death."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from hardline.errors import ConnectionLost
from hardline.relay.pair import Pair
from hardline.relay.rates import RateLimits, Rates
from hardline.session.session import Session, SessionLimits
from hardline.session.stream import Stream
from hardline.session.watch import RELAYED_PATIENCE
from hardline.transport.contexts import front_context, visitor_context
from hardline.transport.tls import TlsStream
from tests.support.check_byte_stream import read_exactly
from tests.support.pairs import DAY, identity, names, tcp_pair

QUICK, QUICKER = SessionLimits(ping_interval=0.5, ping_timeout=1.5), SessionLimits(ping_interval=0.3, ping_timeout=0.7)
SIZE, RATE = 400_000, 80_000


@asynccontextmanager
async def slow_sessions(
    patience: float, limits: SessionLimits = QUICK
) -> AsyncIterator[tuple[Session, Session, asyncio.Queue[Stream]]]:
    """(visitor's, host's, the streams that the host was opened) by a relay that passes RATE bytes a second."""
    target, opened = identity().key_hash, asyncio.Queue[Stream]()
    async with tcp_pair() as (visitor, theirs), tcp_pair() as (host, ours):
        (left, early, _), (right, behind, _) = theirs.detach(), ours.detach()
        rates = Rates(RateLimits())
        pair = Pair(left, right, "192.0.2.7", rates, lambda pair: None, (early, behind))
        pair.start()
        client, server = await asyncio.gather(
            TlsStream.over(visitor, visitor_context(), target.rolling(DAY), target=target),
            TlsStream.over(host, front_context(), names=names()),
        )
        one = Session(client, limits, client=True, patience=patience)
        other = Session(server, limits, client=False, accept=opened.put_nowait, patience=patience)
        one.start()
        other.start()
        rates.set_limits(RateLimits(per_pair=RATE))
        try:
            yield one, other, opened
        finally:
            await one.aclose()
            await other.aclose()
            pair.close(reset=True)
            rates.close()


async def download(patience: float, limits: SessionLimits = QUICK) -> None:
    async with slow_sessions(patience, limits) as (visitor, _, opened):
        stream = visitor.open_stream()
        await stream.send(b"x")
        served = await opened.get()
        async with asyncio.timeout(60):
            _, got = await asyncio.gather(served.send(bytes(SIZE)), read_exactly(stream, SIZE))
        assert got == bytes(SIZE)


def test_a_slow_download_by_a_relay_comes_to_its_end() -> None:
    asyncio.run(download(RELAYED_PATIENCE))


def test_without_patience_it_would_be_cut() -> None:
    with pytest.raises(ConnectionLost):
        asyncio.run(download(0.0, QUICKER))


def test_who_is_gone_is_given_up_soon_where_little_was_sent() -> None:
    async def story() -> None:
        async with slow_sessions(RELAYED_PATIENCE) as (visitor, host, opened):
            stream = visitor.open_stream()
            await stream.send(b"x")
            await opened.get()
            host._tls.hold()
            async with asyncio.timeout(20):
                await asyncio.shield(visitor.closed)

    asyncio.run(story())
