"""Listening: the port that was asked for, on every family, or an error that says what to do."""

from __future__ import annotations

import asyncio
import socket

import pytest

from hardline.errors import ConfigError
from hardline.routes import Endpoint
from hardline.transport import tcp
from hardline.transport.listener import ALL_ADDRESSES, Listener


def run(story):
    async def whole():
        async with asyncio.timeout(100):
            await story()

    asyncio.run(whole())


def test_any_free_port_is_the_same_on_both_families():
    async def story():
        listener = await Listener.open(ALL_ADDRESSES, 0, lambda tcp: None, what="p2pport")
        assert {endpoint.port for endpoint in listener.endpoints} == {listener.port}
        assert len(listener.endpoints) == 2
        await listener.aclose()

    run(story)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_connections_arrive_on_both_families_and_by_name(host):
    async def story():
        arrived: asyncio.Queue[tcp.TcpStream] = asyncio.Queue()
        listener = await Listener.open(ALL_ADDRESSES, 0, arrived.put_nowait, what="p2pport")
        ours = await tcp.connect(Endpoint(host, listener.port))
        theirs = await arrived.get()
        await ours.send(b"x")
        assert await theirs.receive() == b"x"
        await ours.aclose()
        await theirs.aclose()
        await listener.aclose()

    run(story)


def test_small_answers_are_not_held_back_on_either_end():
    async def story():
        arrived: asyncio.Queue[tcp.TcpStream] = asyncio.Queue()
        listener = await Listener.open(["127.0.0.1"], 0, arrived.put_nowait, what="p2pport")
        ours = await tcp.connect(listener.endpoints[0])
        theirs = await arrived.get()
        for stream in (ours, theirs):
            raw = stream.transport.get_extra_info("socket")
            assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        await ours.aclose()
        await theirs.aclose()
        await listener.aclose()

    run(story)


def test_a_taken_port_is_an_error_with_its_name_and_nothing_shifts():
    async def story():
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(ConfigError, match=f"p2pport: 127.0.0.1:{port} is taken") as caught:
                await Listener.open(["127.0.0.1"], port, lambda tcp: None, what="p2pport")
            assert "choose another" in caught.value.hint

    run(story)


def test_an_address_of_another_machine_is_said():
    async def story():
        with pytest.raises(ConfigError, match="not an address of this machine"):
            await Listener.open(["192.0.2.1"], 0, lambda tcp: None, what="p2pport")

    run(story)
