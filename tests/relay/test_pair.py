"""Two sockets that a relay joins, and who of their ends is gone without a word."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable

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


def read_to_the_end(one: socket.socket) -> None:
    while one.recv(65_536):
        pass


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("size", [24, 300_000])
def test_what_is_said_right_before_a_reset_arrives_and_so_does_the_reset(loop: str, size: int) -> None:
    made: Callable[[], asyncio.AbstractEventLoop] | None = None
    if loop == "uvloop":
        made = pytest.importorskip("uvloop").new_event_loop

    async def story() -> None:
        async with tcp_pair() as (theirs, visitor), tcp_pair() as (service, host):
            ends = [one.detach()[0] for one in (visitor, host, theirs, service)]
            left, right, client, server = ends
            for one in ends:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1_000_000)
            rates, ended = Rates(RateLimits()), asyncio.Event()
            pair = Pair(left, right, "192.0.2.7", rates, lambda _: ended.set())
            pair.start()
            client.sendall(b"hello")
            await asyncio.sleep(0.05)
            said = server.send(bytes(size))  # both are there when the event loop looks
            server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            server.close()
            async with asyncio.timeout(20):
                await ended.wait()
            assert said - 65_536 <= pair.down.passed <= said
            client.setblocking(True)
            client.settimeout(20)
            with pytest.raises(ConnectionResetError):
                read_to_the_end(client)
            client.close()
            rates.close()

    with asyncio.Runner(loop_factory=made) as runner:
        runner.run(story())
