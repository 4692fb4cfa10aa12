"""Listening: the port that was asked for, on every family, or an error that says what to do."""

from __future__ import annotations

import asyncio
import socket

import pytest

from hardline.errors import ConfigError
from hardline.routes import Endpoint
from hardline.transport import tcp
from hardline.transport.listener import ALL_ADDRESSES, Listener

uvloop = pytest.importorskip("uvloop")


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


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_accepting_that_pauses_again_and_again_drops_nobody(factory, monkeypatch):
    monkeypatch.setattr("hardline.transport.listener.is_one_of_the_last", lambda fd: True)
    monkeypatch.setattr("hardline.transport.listener.scarce", lambda: False)
    monkeypatch.setattr("hardline.transport.listener._LOOK_AGAIN", 0.001)

    async def story():
        accepted: list[tcp.TcpStream] = []

        def welcome(stream: tcp.TcpStream) -> None:
            stream.transport.write(b"x")
            accepted.append(stream)

        listener = await Listener.open(["127.0.0.1"], 0, welcome, what="p2pport")
        clients = [await tcp.connect(listener.endpoints[0]) for _ in range(100)]
        assert [await client.receive() for client in clients] == [b"x"] * 100
        for stream in [*clients, *accepted]:
            await stream.aclose()
        await listener.aclose()

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(asyncio.wait_for(story(), 100))
