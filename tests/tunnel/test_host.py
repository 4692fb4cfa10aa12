"""The host's front door: how many may shake hands and be in, and who gives way when the house is full.

Sources are addresses of the loopback: 127.0.0.1, 127.0.0.2 and so on are different ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from hardline import certificates
from hardline.config import LocalService, ServiceSettings
from hardline.errors import ConnectionLost, PeerError
from hardline.identity import utc_day
from hardline.servicedir import Service
from hardline.session.session import SessionLimits
from hardline.transport.contexts import visitor_context
from hardline.transport.listener import Listener
from hardline.transport.tcp import TcpStream
from hardline.transport.tls import TlsStream
from hardline.tunnel.host import Host, HostLimits
from tests.support import needs
from tests.tunnel.pair import eventually

pytestmark = needs.linux()  # elsewhere 127.0.0.2 is no address of the machine

PER_SOURCE = 4


class House:
    """A host on every loopback address."""

    def __init__(self, host: Host, service: Service, port: int) -> None:
        self.host, self.port = host, port
        self._label = service.label

    @contextlib.asynccontextmanager
    async def caller(self, source: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A TCP connection from `source`, and nothing said."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(source, 0))
        try:
            yield reader, writer
        finally:
            writer.close()

    async def guest(self, source: str, stack: contextlib.AsyncExitStack) -> Guest:
        """Somebody with a session, or an attempt at one."""
        target = self._label.key_hash
        _, tcp = await asyncio.get_running_loop().create_connection(
            TcpStream, "127.0.0.1", self.port, local_addr=(source, 0)
        )
        tls = await TlsStream.over(tcp, visitor_context(), target.rolling(utc_day(time.time())), target=target)
        stack.callback(tls.abort)
        await tls.send(b'{"v":2}\n')
        try:
            return Guest(tls, await tls.receive())
        except ConnectionLost:
            return Guest(tls, b"")


class Guest:
    def __init__(self, tls: TlsStream, hello: bytes) -> None:
        self._tls = tls
        self.was_greeted = bool(hello)

    async def is_cut(self) -> None:
        with contextlib.suppress(ConnectionLost):
            while await self._tls.receive():
                pass


def run(
    directory: Path, story: Callable[[House], Awaitable[None]], *, sessions: int = 1000, handshakes: int = 512
) -> None:
    async def whole() -> None:
        settings = ServiceSettings(target=LocalService("tcp", "127.0.0.1", 9), title="Test")
        identity = certificates.load_or_create(directory / "s.cert")
        service = Service("test", settings, identity, directory / "s.ini")
        limits = HostLimits(SessionLimits(), sessions, PER_SOURCE, handshakes, hello_timeout=20.0)
        host = Host(limits, clock=time.time, instance="00" * 16)
        host.replace([service])
        listener = await Listener.open(["127.0.0.1"], 0, host.accepted, what="p2pport")
        try:
            async with asyncio.timeout(20):
                await story(House(host, service, listener.port))
        finally:
            await listener.aclose()
            await host.aclose()

    asyncio.run(whole())


async def is_refused(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read(1) == b""
    except ConnectionResetError:
        return True


def test_one_source_may_shake_so_many_hands_and_another_one_still_may(tmp_path):
    async def story(house: House) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(PER_SOURCE):
                await stack.enter_async_context(house.caller("127.0.0.2"))
            one_more, _ = await stack.enter_async_context(house.caller("127.0.0.2"))
            assert await is_refused(one_more)
            assert (await house.guest("127.0.0.3", stack)).was_greeted

    run(tmp_path, story)


def test_of_all_who_wait_the_one_that_waits_longest_gives_way(tmp_path):
    async def story(house: House) -> None:
        async with contextlib.AsyncExitStack() as stack:
            sources = [f"127.0.0.{10 + number // 2}" for number in range(8)]
            silent = [await stack.enter_async_context(house.caller(source)) for source in sources]
            assert (await house.guest("127.0.0.3", stack)).was_greeted
            assert await is_refused(silent[0][0])
            assert not any(reader.at_eof() for reader, _ in silent[1:])

    run(tmp_path, story, handshakes=8)


def test_who_waits_with_most_connections_gives_way_first(tmp_path):
    async def story(house: House) -> None:
        async with contextlib.AsyncExitStack() as stack:
            first, _ = await stack.enter_async_context(house.caller("127.0.0.4"))
            greedy = [await stack.enter_async_context(house.caller("127.0.0.5")) for _ in range(4)]
            for _ in range(3):
                assert (await house.guest("127.0.0.3", stack)).was_greeted
            assert await is_refused(greedy[0][0])
            assert not first.at_eof()

    run(tmp_path, story, handshakes=5)


def test_in_a_full_house_whoever_has_most_sessions_gives_up_the_one_not_used_for_longest(tmp_path):
    async def story(house: House) -> None:
        async with contextlib.AsyncExitStack() as stack:
            greedy = [await house.guest("127.0.0.2", stack) for _ in range(3)]
            modest = await house.guest("127.0.0.3", stack)
            newcomer = await house.guest("127.0.0.4", stack)
            assert newcomer.was_greeted
            await greedy[0].is_cut()
            await eventually(lambda: len(house.host.visitors) == 4, "four are in")
            left = sorted(visitor.endpoint.host for visitor in house.host.visitors)
            assert left == ["127.0.0.2", "127.0.0.2", "127.0.0.3", "127.0.0.4"]
            assert modest.was_greeted

    run(tmp_path, story, sessions=4)


def test_whoever_has_most_sessions_is_refused_one_more(tmp_path):
    async def story(house: House) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for source in ("127.0.0.2", "127.0.0.2", "127.0.0.3"):
                await house.guest(source, stack)
            assert not (await house.guest("127.0.0.2", stack)).was_greeted
            assert len(house.host.visitors) == 3

    run(tmp_path, story, sessions=3)


def test_connections_that_say_nothing_take_no_room_from_those_who_are_in(tmp_path):
    async def story(house: House) -> None:
        async with contextlib.AsyncExitStack() as stack:
            guest = await house.guest("127.0.0.2", stack)
            for number in range(20):
                await stack.enter_async_context(house.caller(f"127.0.1.{1 + number}"))
            assert guest.was_greeted
            assert len(house.host.visitors) == 1

    run(tmp_path, story, sessions=1)


def test_who_left_is_not_counted_any_more(tmp_path):
    async def story(house: House) -> None:
        async with contextlib.AsyncExitStack() as callers:
            for _ in range(PER_SOURCE):
                await callers.enter_async_context(house.caller("127.0.0.2"))
            one_more, _ = await callers.enter_async_context(house.caller("127.0.0.2"))
            assert await is_refused(one_more)
        for _ in range(2 * PER_SOURCE):
            async with contextlib.AsyncExitStack() as stack:
                guest = await _welcomed(house, stack)
                assert guest.was_greeted

    run(tmp_path, story)


async def _welcomed(house: House, stack: contextlib.AsyncExitStack) -> Guest:
    """The host sees the ends of earlier connections only when it comes to them."""
    while True:
        with contextlib.suppress(ConnectionLost, PeerError):
            return await house.guest("127.0.0.2", stack)
