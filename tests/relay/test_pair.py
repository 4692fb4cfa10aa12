"""Two sockets that a relay joins, and who of their ends is gone without a word."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest

from hardline.relay import pair as pair_module
from hardline.relay.pair import Pair
from hardline.relay.rates import RateLimits, Rates
from tests.relay.running import in_loop, until
from tests.support.pairs import tcp_pair


@pytest.mark.parametrize("gone", [True, False])
def test_who_has_ended_and_then_is_gone_is_not_kept_for_a_service_that_says_nothing(
    gone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair_module, "LOOKS_EVERY", 0.02)

    @in_loop
    async def story() -> None:
        async with tcp_pair() as (theirs, visitor), tcp_pair() as (service, host):
            (left, *_), (right, *_), (client, *_) = visitor.detach(), host.detach(), theirs.detach()
            rates, ended = Rates(RateLimits()), asyncio.Event()
            pair = Pair(left, right, "192.0.2.7", rates, lambda _: ended.set())
            pair.start()
            client.sendall(b"said")
            client.shutdown(socket.SHUT_WR)
            assert await service.receive() == b"said"
            assert await service.receive() == b""
            if gone:  # as its kernel answers for it when a minute has passed
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
                await until(ended.is_set)
            else:
                await asyncio.sleep(0.2)
                assert not ended.is_set()
                await service.send(b"heard")
                await service.send_eof()
                await until(ended.is_set)
                assert client.recv(100) == b"heard"
                client.close()
            rates.close()

    story()
