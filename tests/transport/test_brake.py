"""A socket stands while there is one reason to, and what it does not take at once is the event loop's."""

from __future__ import annotations

import asyncio
import socket

import pytest

from hardline.transport.brake import Brake
from hardline.transport.outlet import push
from tests.support.pairs import tcp_pair

FULL, TURN = 1, 2


class Told(asyncio.Transport):
    """A transport that only writes down what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []
        self.closing = False

    def pause_reading(self) -> None:
        self.told.append("pause")

    def resume_reading(self) -> None:
        self.told.append("resume")

    def is_closing(self) -> bool:
        return self.closing


def test_it_pauses_at_the_first_reason_and_goes_on_after_the_last():
    transport = Told()
    brake = Brake(transport)
    assert not brake.held
    brake.hold(FULL)
    brake.hold(TURN)
    brake.hold(TURN)
    brake.release(FULL)
    assert brake.held
    assert transport.told == ["pause"]
    brake.release(TURN)
    brake.release(TURN)
    brake.release(FULL)
    assert not brake.held
    assert transport.told == ["pause", "resume"]


def test_nobody_pauses_or_goes_on_with_a_socket_that_closes():
    transport = Told()
    brake = Brake(transport)
    transport.closing = True
    brake.hold(FULL)
    assert brake.held
    brake.release(FULL)
    assert transport.told == []


@pytest.mark.parametrize("direct", [True, False])
def test_what_a_socket_does_not_take_follows_in_order(direct):
    async def story() -> None:
        async with tcp_pair() as (one, other):
            raw = one.transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            data = bytes(range(256)) * 40_000
            taken = push(raw.fileno() if direct else -1, one.transport, memoryview(data))
            assert (taken > 0) is direct
            assert taken < len(data)
            await one.send_eof()
            got = bytearray()
            while piece := await other.receive():
                got += piece
            assert got == data

    asyncio.run(asyncio.wait_for(story(), 60))


def test_a_socket_that_broke_says_so():
    async def story() -> None:
        async with tcp_pair() as (one, other):
            other.abort()
            await other._closed
            raw = one.transport.get_extra_info("socket")
            with pytest.raises(ConnectionError):
                push(raw.fileno(), one.transport, memoryview(b"x"))

    asyncio.run(asyncio.wait_for(story(), 60))
