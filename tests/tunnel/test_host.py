"""The host's front door: how many may shake hands and be in, and who gives way when the house is full.

Sources are addresses of the loopback: 127.0.0.1, 127.0.0.2 and so on are different ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hardline import certificates
from hardline.errors import ConnectionLost, PeerError
from hardline.identity import utc_day
from hardline.routes import Endpoint
from hardline.session.session import SessionLimits
from hardline.settings.directory import Service
from hardline.settings.local import LocalService
from hardline.settings.service import ServiceSettings
from hardline.transport.contexts import visitor_context
from hardline.transport.listener import Listener
from hardline.transport.sources import networks
from hardline.transport.tcp import TcpStream, peer_endpoint
from hardline.transport.tls import TlsStream
from hardline.tunnel import host as hosting
from hardline.tunnel.guesses import ALLOWED
from hardline.tunnel.host import Host, HostLimits
from hardline.tunnel.parting import LINGER
from tests.support import clock, needs
from tests.tunnel.pair import eventually

pytestmark = needs.linux()  # elsewhere 127.0.0.2 is no address of the machine

PER_SOURCE = 4


class House:
    """A host on every loopback address."""

    def __init__(self, host: Host, service: Service, port: int) -> None:
        self.host, self.service, self.port = host, service, port
        self._label = service.label
        self.local_connections = self.most_connections = self.all_connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The local service: it waits until the other side has gone."""
        self.local_connections += 1
        self.all_connections += 1
        self.most_connections = max(self.most_connections, self.local_connections)
        try:
            with contextlib.suppress(ConnectionError):
                while await reader.read(4096):
                    pass
        finally:
            self.local_connections -= 1
            writer.close()

    @contextlib.asynccontextmanager
    async def caller(self, source: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A TCP connection from `source`, and nothing said."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(source, 0))
        try:
            yield reader, writer
        finally:
            writer.close()

    async def original(self, source: str, password: str, stack: contextlib.AsyncExitStack) -> bytes:
        """What an original is answered."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, local_addr=(source, 0), ssl=context, server_hostname=str(self._label.key_hash)
        )
        stack.callback(writer.close)
        writer.write(f'{{"password":"{password}"}}\n'.encode())
        return await reader.readline()

    async def earlier(self, source: str) -> None:
        """Somebody who knows the rolling name and has no PSK, and is refused."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        name = str(self._label.key_hash.rolling(utc_day(time.time())))
        with pytest.raises(ssl.SSLError):
            await asyncio.open_connection(
                "127.0.0.1", self.port, local_addr=(source, 0), ssl=context, server_hostname=name
            )

    async def guest(self, source: str, stack: contextlib.AsyncExitStack, says: str = '{"v":2}') -> Guest:
        """Somebody with a session, or an attempt at one."""
        tls = await self.shaken(source, stack)
        hello = await self.greeting(tls, says)
        line, end, frames = hello.partition(b"\n")
        return Guest(tls, line + end, frames)

    async def shaken(self, source: str, stack: contextlib.AsyncExitStack) -> TlsStream:
        """Somebody who has shaken hands and says nothing."""
        target = self._label.key_hash
        _, tcp = await asyncio.get_running_loop().create_connection(
            TcpStream, "127.0.0.1", self.port, local_addr=(source, 0)
        )
        tls = await TlsStream.over(tcp, visitor_context(), target.rolling(utc_day(time.time())), target=target)
        stack.callback(tls.abort)
        return tls

    async def greeting(self, tls: TlsStream, says: str) -> bytes:
        """What comes after `says`, as far as the first line goes."""
        await tls.send(says.encode() + b"\n")
        hello = b""
        with contextlib.suppress(ConnectionLost):
            while b"\n" not in hello and (data := await tls.receive()):
                hello += data
        return hello


class Guest:
    def __init__(self, tls: TlsStream, hello: bytes, frames: bytes = b"") -> None:
        self._tls, self._frames = tls, frames
        self._next_stream = 1
        self.hello = hello
        self.was_greeted = b'"v":2' in hello

    async def say(self, frames: bytes) -> None:
        await self._tls.send(frames)

    async def open_stream(self) -> None:
        await self.say(struct.pack(">BBHII", 0, 1, 1, self._next_stream, 0))
        self._next_stream += 2

    async def take_back(self, count: int) -> None:
        """Reset the streams that were opened last."""
        for number in range(self._next_stream - 2 * count, self._next_stream, 2):
            await self.say(struct.pack(">BBHII", 0, 1, 8, number, 0))

    async def status(self) -> str:
        """The next status line that comes on any stream."""
        while True:
            _, kind, _, _, length = struct.unpack(">BBHII", await self._exactly(12))
            if kind == 0 and length:
                return (await self._exactly(length)).decode().strip()

    async def _exactly(self, count: int) -> bytes:
        while len(self._frames) < count:
            self._frames += await self._tls.receive()
        data, self._frames = self._frames[:count], self._frames[count:]
        return data

    def close(self) -> None:
        self._tls.abort()

    async def is_cut(self) -> None:
        with contextlib.suppress(ConnectionLost):
            while await self._tls.receive():
                pass


def _for_real(story: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(story())


def run(
    directory: Path,
    story: Callable[[House], Awaitable[None]],
    *,
    sessions: int = 1000,
    handshakes: int = 512,
    streams: int = 1000,
    password: str = "",
    max_connections: int | None = None,
    by: Callable[[Callable[[], Awaitable[None]]], None] = _for_real,
) -> None:
    async def whole() -> None:
        house: House
        local = await asyncio.start_server(lambda *ends: house.serve(*ends), "127.0.0.1", 0)
        target = LocalService("tcp", "127.0.0.1", local.sockets[0].getsockname()[1])
        settings = ServiceSettings(target, "Test", password=password, max_connections=max_connections)
        identity = certificates.load_or_create(directory / "s.cert")
        service = Service("test", settings, identity, directory / "s.ini")
        limits = HostLimits(SessionLimits(), sessions, PER_SOURCE, handshakes, 20.0, streams)
        host = Host(limits, clock=time.time, instance="00" * 16)
        host.replace([service])
        listener = await Listener.open(["127.0.0.1"], 0, host.accepted, what="p2pport")
        house = House(host, service, listener.port)
        try:
            async with asyncio.timeout(100):
                await story(house)
        finally:
            await listener.aclose()
            await host.aclose()
            local.close()

    by(whole)


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
            await eventually(lambda: len(house.host.guests) == 4, "four are in")
            left = sorted(visitor.source.host for visitor in house.host.guests)
            assert left == ["127.0.0.2", "127.0.0.2", "127.0.0.3", "127.0.0.4"]
            assert modest.was_greeted

    run(tmp_path, story, sessions=4)


def test_whoever_has_most_sessions_gives_up_one_of_its_own_for_one_more_while_it_has_one_that_is_not_used(tmp_path):
    async def story(house: House) -> None:
        async with contextlib.AsyncExitStack() as stack:
            first, second, other = [await house.guest(f"127.0.0.{number}", stack) for number in (2, 2, 3)]
            third = await house.guest("127.0.0.2", stack)
            assert third.was_greeted
            await first.is_cut()
            for guest in (second, third):
                await guest.open_stream()
            await eventually(
                lambda: sum(bool(visitor.session.open_streams) for visitor in house.host.guests) == 2, "both are used"
            )
            assert not (await house.guest("127.0.0.2", stack)).was_greeted
            assert len(house.host.guests) == 3
            assert other.was_greeted

    run(tmp_path, story, sessions=3)


@pytest.mark.parametrize("kind", ["one address", "one /64", "many /16"])
def test_a_house_full_of_idle_sessions_has_room_for_a_newcomer(tmp_path, monkeypatch, kind):
    if kind == "one /64":
        for judge in ("tunnel.guests", "transport.newcomers"):
            monkeypatch.setattr(f"hardline.{judge}.networks", _as_ipv6)
    sources = {"one address": ["127.0.0.2"] * 30}.get(kind, [f"127.{number}.0.2" for number in range(10, 40)])

    async def story(house: House) -> None:
        async with contextlib.AsyncExitStack() as stack:
            guests = [await house.guest(source, stack) for source in sources]
            assert all(guest.was_greeted for guest in guests)
            for newcomer in ("127.0.0.3", "127.0.0.4"):
                assert (await house.guest(newcomer, stack)).was_greeted
            await guests[0].is_cut()
            await guests[1].is_cut()
            assert len(house.host.guests) == 30

    run(tmp_path, story, sessions=30)


def _as_ipv6(address: str) -> tuple[str, str, str]:
    """127.X.0.Y of our strangers as 2001:db8::X:Y, others elsewhere."""
    _, network, _, host = address.split(".")
    return networks(f"2001:db8::{network}:{host}" if network != "0" else f"2001:db8:ffff::{host}")


def test_of_one_network_that_shakes_too_many_hands_who_has_many_gives_way_to_who_has_none(tmp_path, monkeypatch):
    monkeypatch.setattr("hardline.transport.newcomers.networks", lambda address: ("one network",) * 3)

    async def story(house: House) -> None:
        async with contextlib.AsyncExitStack() as stack:
            silent = [await stack.enter_async_context(house.caller("127.0.0.2")) for _ in range(PER_SOURCE)]
            assert (await house.guest("127.0.0.3", stack)).was_greeted
            assert await is_refused(silent[0][0])
            assert not any(reader.at_eof() for reader, _ in silent[1:])

    run(tmp_path, story)


# Passwords.


@pytest.fixture
def _no_time_passes(monkeypatch):
    monkeypatch.setattr("hardline.tunnel.guesses.ALLOWED", tuple((most, 1e9) for most, _ in ALLOWED))
    monkeypatch.setattr("hardline.tunnel.guesses.SERVICE_EVERY", 1e9)


async def _guess(house: House, source: str, password: str, stack: contextlib.AsyncExitStack) -> bytes:
    return (await house.guest(source, stack, f'{{"v":2,"password":"{password}"}}')).hello


@pytest.mark.usefixtures("_no_time_passes")
def test_a_visitor_of_an_earlier_build_is_in_the_log_once_for_its_source(tmp_path, caplog):
    caplog.set_level("INFO")

    async def story(house: House) -> None:
        for source in ("127.0.0.2", "127.0.0.2", "127.0.0.3", "127.0.0.2"):
            await house.earlier(source)
        told = [record for record in caplog.records if record.getMessage() == "visitor.outdated"]
        assert [record.fields["endpoint"].host for record in told] == ["127.0.0.2", "127.0.0.3"]

    run(tmp_path, story)


def test_guesses_are_judged_five_times_and_then_once_in_ten_seconds_and_nobody_else_waits(tmp_path, caplog):
    async def story(house: House) -> None:
        async with contextlib.AsyncExitStack() as stack:
            answers = [await _guess(house, "127.0.0.2", f"wrong{number}", stack) for number in range(12)]
            assert answers == [b'{"error":"password"}\n'] * 5 + [b'{"error":"wait"}\n'] * 7
            assert await _guess(house, "127.0.0.2", "sesame", stack) == b'{"error":"wait"}\n', (
                "it is not even looked at"
            )
            assert b'"v":2' in await _guess(house, "127.0.0.3", "sesame", stack)
            warnings = [record for record in caplog.records if record.levelname == "WARNING"]
            assert [(record.getMessage(), record.fields["count"]) for record in warnings] == [("password.refused", 5)]

    run(tmp_path, story, password="sesame")


@pytest.mark.usefixtures("_no_time_passes")
def test_many_who_guess_take_nothing_from_who_does_not(tmp_path):
    async def story(house: House) -> None:
        async with contextlib.AsyncExitStack() as stack:
            answers = [await _guess(house, f"127.0.1.{1 + number % 30}", "wrong", stack) for number in range(90)]
            assert answers == [b'{"error":"password"}\n'] * 60 + [b'{"error":"wait"}\n'] * 30
            assert b'"v":2' in await _guess(house, "127.0.0.3", "sesame", stack)

    run(tmp_path, story, password="sesame")


@pytest.fixture
def _all_are_neighbours(monkeypatch):
    """127.X.0.Y of our strangers is 2001:db8:0:X::Y, all of one /48."""

    def seen(transport: asyncio.BaseTransport) -> Endpoint:
        endpoint = peer_endpoint(transport)
        _, network, _, host = endpoint.host.split(".")
        return Endpoint(f"2001:db8:0:{network}::{host}", endpoint.port)

    monkeypatch.setattr("hardline.transport.tcp.peer_endpoint", seen)


@pytest.mark.usefixtures("_no_time_passes", "_all_are_neighbours")
def test_a_neighbour_who_guesses_makes_nobody_wait_but_himself(tmp_path):
    async def story(house: House) -> None:
        async with contextlib.AsyncExitStack() as stack:
            answers = [await _guess(house, "127.0.0.2", "wrong", stack) for _ in range(6)]
            assert answers == [b'{"error":"password"}\n'] * 5 + [b'{"error":"wait"}\n']
            assert b'"v":2' in await _guess(house, "127.0.0.3", "sesame", stack)

    run(tmp_path, story, password="sesame")


@pytest.mark.usefixtures("_no_time_passes", "_all_are_neighbours")
def test_all_the_networks_of_one_who_guesses_have_an_end_and_who_knows_the_word_is_let_in(tmp_path):
    async def story(house: House) -> None:
        async with contextlib.AsyncExitStack() as stack:
            assert b'"v":2' in await _guess(house, "127.0.0.3", "sesame", stack)
            # Of two /56 thirty /64 each: it is the /48 that ends it.
            sources = [f"127.{network}.0.9" for number in range(1, 36) for network in (number, 100 + number)]
            answers = [await _guess(house, source, "wrong", stack) for source in sources]
            assert answers == [b'{"error":"password"}\n'] * 60 + [b'{"error":"wait"}\n'] * 10
            assert await _guess(house, "127.0.0.4", "sesame", stack) == b'{"error":"wait"}\n'
            assert b'"v":2' in await _guess(house, "127.0.0.3", "sesame", stack)

    run(tmp_path, story, password="sesame")


@pytest.mark.usefixtures("_no_time_passes", "_all_are_neighbours")
def test_who_knew_the_last_password_has_proven_nothing(tmp_path):
    async def story(house: House) -> None:
        async with contextlib.AsyncExitStack() as stack:
            assert b'"v":2' in await _guess(house, "127.0.0.3", "sesame", stack)
            settings = replace(house.service.settings, password="another")
            house.host.replace([replace(house.service, settings=settings)])
            sources = [f"127.0.0.{host}" for host in range(10, 30)]
            assert {await _guess(house, source, "wrong", stack) for source in sources} == {b'{"error":"password"}\n'}
            assert await _guess(house, "127.0.0.3", "another", stack) == b'{"error":"wait"}\n'

    run(tmp_path, story, password="sesame")


def test_who_is_refused_may_still_be_sending_and_is_read_until_he_has_heard_why(tmp_path):
    async def story(house: House) -> None:
        async with contextlib.AsyncExitStack() as stack:
            late, silent = [await house.shaken(f"127.0.0.{host}", stack) for host in (2, 3)]
            assert await house.greeting(late, '{"v":2,"password":"wrong"}') == b'{"error":"password"}\n'
            for _ in range(3):  # his first streams, on a slow link
                await late.send(bytes(1000))
                await asyncio.sleep(LINGER / 4)
            await clock.settled()
            assert not late.closed.done()
            assert await house.greeting(silent, '{"v":2,"password":"wrong"}') == b'{"error":"password"}\n'
            await asyncio.sleep(LINGER)
            await clock.settled()
            for one in (late, silent):
                for _ in range(2):  # the first is answered by a reset
                    with contextlib.suppress(ConnectionLost):
                        await one.send(b"x")
                    await clock.settled()
                with pytest.raises(ConnectionLost):
                    await one.send(b"x")

    run(tmp_path, story, password="sesame", by=clock.run)


def test_a_hello_that_was_held_back_is_judged_by_the_password_of_now(tmp_path):
    async def story(house: House) -> None:
        async with contextlib.AsyncExitStack() as stack:
            held = [await house.shaken("127.0.0.2", stack) for _ in range(2)]
            changed = replace(house.service, settings=replace(house.service.settings, password="another"))
            house.host.replace([changed])
            assert await house.greeting(held[0], '{"v":2,"password":"sesame"}') == b'{"error":"password"}\n'
            house.host.replace([])
            assert await house.greeting(held[1], '{"v":2,"password":"another"}') == b""

    run(tmp_path, story, password="sesame")


def test_what_an_old_password_opened_comes_to_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(hosting, "OLD_PASSWORD", 0.5)  # a guest answers no pings, and is not there for long

    async def story(house: House) -> None:
        async with contextlib.AsyncExitStack() as stack:
            guest = await house.guest("127.0.0.2", stack, '{"v":2,"password":"sesame"}')
            await guest.open_stream()
            await house.original("127.0.0.3", "sesame", stack)
            await eventually(lambda: house.local_connections == 2, "both are used")
            house.host.replace([replace(house.service, settings=replace(house.service.settings, title="Another"))])
            await asyncio.sleep(0.75)
            assert house.local_connections == 2, "only another password is one"
            house.host.replace([replace(house.service, settings=replace(house.service.settings, password="another"))])
            await asyncio.sleep(0.375)
            await clock.settled()
            assert house.local_connections == 2
            await asyncio.sleep(0.125)
            await clock.settled()
            assert house.local_connections == 0
            assert not house.host.guests

    run(tmp_path, story, password="sesame", by=clock.run)


def test_who_is_connected_to_what_is_removed_is_cut_in_either_protocol(tmp_path):
    async def story(house: House) -> None:
        async with contextlib.AsyncExitStack() as stack:
            guest = await house.guest("127.0.0.2", stack)
            await guest.open_stream()
            await house.original("127.0.0.3", "", stack)
            await eventually(lambda: house.local_connections == 2, "both are used")
            house.host.replace([])
            await eventually(lambda: house.local_connections == 0 and not house.host.guests, "both are cut")

    run(tmp_path, story)


@pytest.mark.usefixtures("_no_time_passes")
def test_originals_guess_no_faster_and_both_protocols_count_together(tmp_path):
    async def story(house: House) -> None:
        async with contextlib.AsyncExitStack() as stack:
            assert await house.original("127.0.0.3", "sesame", stack) != b""
            for number in range(5):
                assert await house.original("127.0.0.2", f"wrong{number}", stack) == b""
            assert await house.original("127.0.0.2", "sesame", stack) == b""
            assert await _guess(house, "127.0.0.2", "sesame", stack) == b'{"error":"wait"}\n'

    run(tmp_path, story, password="sesame")


# Streams, and what becomes of them.


def test_a_source_has_so_many_streams_over_all_its_sessions_and_is_told_so(tmp_path):
    async def story(house: House) -> None:
        async with contextlib.AsyncExitStack() as stack:
            guests = [await house.guest("127.0.0.2", stack) for _ in range(3)]
            for guest in guests[:2]:
                for _ in range(4):
                    await guest.open_stream()
            await eventually(lambda: house.local_connections == 8, "eight are open")
            await guests[2].open_stream()
            assert "too many connections" in await guests[2].status()
            other = await house.guest("127.0.0.3", stack)
            await other.open_stream()
            assert await other.status() == "{}"
            guests[0].close()
            await eventually(lambda: house.local_connections == 5, "four have ended")
            await guests[1].open_stream()
            await eventually(lambda: house.local_connections == 6, "there is room again")

    run(tmp_path, story, streams=8)


def test_a_service_has_no_more_connections_than_it_takes_and_one_source_not_all_of_them(tmp_path):
    async def story(house: House) -> None:
        async with contextlib.AsyncExitStack() as stack:
            greedy, modest = await house.guest("127.0.0.2", stack), await house.guest("127.0.0.3", stack)
            for _ in range(6):
                await greedy.open_stream()
            assert await greedy.status() == "{}"
            await modest.open_stream()
            assert await modest.status() == "{}"
            assert house.local_connections == house.most_connections == 3
            greedy.close()
            for _ in range(2):
                await modest.open_stream()
            await eventually(lambda: house.local_connections == 2, "it has half of what is left")
            assert house.most_connections <= 4

    run(tmp_path, story, max_connections=4)


def test_a_visitor_with_hundreds_of_streams_keeps_nobody_of_the_same_address_from_the_service(tmp_path, monkeypatch):
    monkeypatch.setattr("hardline.tunnel.serving.CONNECT_TIMEOUT", 1000.0)  # no wait ends by itself

    async def story(house: House) -> None:
        async with contextlib.AsyncExitStack() as stack:
            greedy = await house.guest("127.0.0.2", stack)
            for _ in range(200):
                await greedy.open_stream()
            await eventually(lambda: house.local_connections == 9, "it has what it gets")
            modest = await house.guest("127.0.0.2", stack)
            await modest.open_stream()
            assert await modest.status() == "{}"
            assert house.most_connections == 10

    run(tmp_path, story, max_connections=20)


def test_what_was_taken_back_while_it_waited_waits_no_more_and_never_reaches_the_service(tmp_path, monkeypatch):
    monkeypatch.setattr("hardline.tunnel.serving.CONNECT_TIMEOUT", 1000.0)

    async def story(house: House) -> None:
        async with contextlib.AsyncExitStack() as stack:
            first, second = await house.guest("127.0.0.2", stack), await house.guest("127.0.0.3", stack)
            await first.open_stream()
            assert await first.status() == "{}"
            quiet = len(asyncio.all_tasks())
            for _ in range(100):
                await second.open_stream()
            await eventually(lambda: len(asyncio.all_tasks()) == quiet + 100, "all of them wait")
            await second.take_back(99)
            await eventually(lambda: len(asyncio.all_tasks()) == quiet + 1, "one of them does")
            assert house.all_connections == 1
            first.close()
            assert await second.status() == "{}"
            assert house.all_connections == 2

    run(tmp_path, story, max_connections=1)


def test_a_session_that_breaks_a_rule_leaves_no_connection_to_the_service(tmp_path, caplog):
    async def story(house: House) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for turn in range(20):
                guest = await house.guest("127.0.0.2", stack)
                for _ in range(8):
                    await guest.open_stream()
                if turn % 2:
                    await eventually(lambda: house.local_connections, "some are open")
                await guest.say(struct.pack(">BBHII", 9, 9, 9, 9, 9))
                await guest.is_cut()
            await eventually(lambda: not house.local_connections, "none is left")
            assert not [record for record in caplog.records if record.levelname == "WARNING"]

    run(tmp_path, story)


def test_connections_that_say_nothing_take_no_room_from_those_who_are_in(tmp_path):
    async def story(house: House) -> None:
        async with contextlib.AsyncExitStack() as stack:
            guest = await house.guest("127.0.0.2", stack)
            for number in range(20):
                await stack.enter_async_context(house.caller(f"127.0.1.{1 + number}"))
            assert guest.was_greeted
            assert len(house.host.guests) == 1

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
