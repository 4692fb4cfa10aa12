"""Many at a relay at once, and some who do not behave: nobody gets what is another's, nobody waits for another."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

import pytest

from hardline.errors import ConnectionLost, HardlineError, PeerError
from hardline.relay.control import _AT_ONCE
from hardline.relay.controls import Controls
from hardline.relay.limits import RelayLimits
from hardline.relay.lines import Verb, encode_line
from hardline.relay.messages import Hello, Ping, Welcome, encode
from hardline.relay.opening import CONTROL
from hardline.relay.parking import PARK
from hardline.relay.registry import RegistryLimits
from hardline.relay.wanted import Wanted
from hardline.routes import Endpoint, RelayAddress
from hardline.tasks import TaskSet
from hardline.transport import tcp
from hardline.transport.contexts import front_context
from hardline.transport.handshake import Names
from hardline.transport.listener import Listener
from hardline.transport.sources import networks
from hardline.transport.tcp import TcpStream
from hardline.transport.tls import TlsStream
from tests.relay.hellos import of_openssl
from tests.relay.running import (
    RunningHost,
    RunningRelay,
    echoed,
    in_loop,
    name_of,
    prover,
    running_host,
    running_relay,
    until,
)
from tests.relay.test_relay import control, ends, read_lines, said

TASKS = TaskSet("test")
ROOM = RelayLimits(RegistryLimits(), pairs=300, pairs_per_source=1000, new_pairs=1000)


@pytest.fixture
def nothing_parked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardline.relay.joins.MAX_PARKED", 0)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred handshakes in one process may take longer than a visitor waits for one."""
    for constant in ("waiting.JOIN_WITHIN", "joins.JOIN_WITHIN", "joins.ANSWER_WITHIN"):
        monkeypatch.setattr(f"hardline.relay.{constant}", 60.0)


@contextlib.asynccontextmanager
async def hosts_of(relay: RunningRelay, count: int) -> AsyncIterator[list[RunningHost]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(running_host(relay.address)) for _ in range(count)]


async def still_serves(relay: RunningRelay, host: RunningHost) -> None:
    visitor = await host.visit(relay.endpoint)
    assert await echoed(visitor, b"hello" * 1000) == b"hello" * 1000
    await visitor.aclose()


@pytest.mark.usefixtures("nothing_parked", "patient")
@in_loop
async def test_two_hundred_at_once_come_by_tokens_of_their_own_and_to_their_own_host() -> None:
    async with running_relay(ROOM) as relay, hosts_of(relay, 8) as hosts:
        used: list[str] = []
        real = relay.relay.line

        def line(stream: TcpStream, line) -> None:
            used.append(line.rest)
            real(stream, line)

        relay.relay.line = line
        all_here = asyncio.Barrier(200)

        async def visit(number: int) -> str:
            host = hosts[number % len(hosts)]
            visitor = await host.visit(relay.endpoint)
            assert visitor.key_hash == host.key_hash
            own = visitor._transport_or_fail().get_extra_info("sockname")
            await all_here.wait()
            data = random.Random(number).randbytes(5000)
            assert await echoed(visitor, data) == data
            await visitor.aclose()
            return f"{own[0]}:{own[1]}"

        came = await asyncio.gather(*(visit(number) for number in range(200)))
        assert len(used) == len(set(used)) == 200
        for number, host in enumerate(hosts):
            assert sorted(str(one.source) for one in host.joined) == sorted(came[number :: len(hosts)])
            assert {one.service for one in host.joined} == {host.key_hash}
        await until(lambda: relay.relay.describe().pairs == 0)
        assert not relay.relay._waiting._visitors


@in_loop
async def test_a_parked_token_is_good_once_for_its_own_purpose_and_a_guessed_one_never() -> None:
    async with running_relay() as relay, running_host(relay.address) as host:
        await until(lambda: relay.relay.describe().parked == PARK)
        host.client._joins.park = lambda at, tokens: None  # from now on nobody comes with those it is given
        visitor = await host.visit(relay.endpoint)
        [token] = relay.relay._parking._awaited
        for line in (encode_line(Verb.PARK, "0" * 32), encode_line(Verb.JOIN, token)):
            assert await said(relay.endpoint, line) == b"HARDLINE-NO gone\r\n"
        early = await tcp.connect_any([relay.endpoint])
        await early.send(encode_line(Verb.PARK, token) + b"something")
        with contextlib.suppress(ConnectionLost):
            assert await early.receive() == b""
        assert await said(relay.endpoint, encode_line(Verb.PARK, token)) == b"HARDLINE-NO gone\r\n"
        assert await echoed(visitor, b"hello") == b"hello"
        await visitor.aclose()


@in_loop
async def test_what_one_host_has_ready_is_for_no_visitor_of_another() -> None:
    async with running_relay(ROOM) as relay, hosts_of(relay, 2) as (one, two):
        await until(lambda: relay.relay.describe().parked == 2 * PARK)
        one.client._joins._under_way = 10_000  # it comes by what it has ready alone
        for _ in range(2 * PARK + 1):
            await still_serves(relay, two)
        assert not one.joined
        await until(lambda: relay.relay.describe().parked == 2 * PARK)
        await still_serves(relay, one)
        assert [joined.service for joined in one.joined] == [one.key_hash]


@in_loop
async def test_a_host_that_comes_and_goes_leaves_nothing_behind() -> None:
    async with running_relay(ROOM) as relay, hosts_of(relay, 1) as (steady,):
        me = prover()
        for number in range(25):
            async with running_host(relay.address, wait=False, me=me, name=b"flaps") as host:
                await until(lambda host=host: host.client.registered == 1)
                with contextlib.suppress(HardlineError):
                    visitor = await host.visit(relay.endpoint)
                    if number % 2:
                        visitor.abort()
                    else:
                        await visitor.aclose()
            await still_serves(relay, steady)
        await until(lambda: relay.relay.describe().nodes == 1)
        await until(lambda: relay.relay.describe().pairs == 0 and relay.relay.describe().waiting == 0)
        await until(lambda: not relay.relay.visits.names)
        state = relay.relay.describe()
        assert (state.names, len(relay.relay._controls._of_source)) == (1, 1)
        assert len(relay.relay._parking) + state.parked <= PARK
        assert host.client.problem == "", "it was never told that somebody else is it"


@in_loop
async def test_a_service_that_is_offered_and_withdrawn_again_and_again_is_there_in_the_end() -> None:
    async with running_relay(ROOM) as relay, hosts_of(relay, 2) as (host, steady):
        wanted = host.client._wanted
        for _ in range(20):
            host.client._wanted = list
            host.client.services_changed()
            await asyncio.sleep(0)
            host.client._wanted = wanted
            host.client.services_changed()
            await still_serves(relay, steady)
        await until(lambda: host.client.tested == 1)
        await still_serves(relay, host)
        assert relay.relay.describe().names == 2


@in_loop
async def test_a_host_of_many_services_tests_them_a_few_at_a_time(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    limits = RelayLimits(RegistryLimits(per_connection=200), pairs_per_source=1000, new_pairs=1000)
    async with running_relay(limits, most=24) as relay:
        host = RunningHost(relay.address)
        host.also = [Wanted(host.key_hash, prover()) for _ in range(100)]
        running = TASKS.start(host.client.run(), "host")
        await until(lambda: host.client.tested == 101)
        failed = [record for record in caplog.records if record.message == "relay.not_reached"]
        assert not failed, "each of its visits got through at once"
        running.cancel()
        await asyncio.wait([running])
        await host.aclose()


@pytest.mark.parametrize("who", ["visitor", "host"])
@in_loop
async def test_who_breaks_off_is_heard_breaking_off(who: str) -> None:
    async with running_relay() as relay, running_host(relay.address) as host:
        host.answers = False
        kept: list[TcpStream] = []
        host.client._joins._joined = lambda joined: kept.append(joined.tcp)
        visitor = await tcp.connect_any([relay.endpoint])
        await visitor.send(await first_flight(host))
        await until(lambda: bool(kept))
        [there] = kept
        await there.receive()
        await there.send(b"answer")
        assert await visitor.receive() == b"answer"
        breaks, hears = (visitor, there) if who == "visitor" else (there, visitor)
        breaks.abort()
        assert await end_of(hears) == "broken off"
        hears.abort()
        await until(lambda: relay.relay.describe().pairs == 0)


@in_loop
async def test_who_does_not_read_holds_up_nobody_else() -> None:
    async with running_relay(ROOM) as relay, hosts_of(relay, 2) as (host, other):
        deaf = await host.visit(relay.endpoint)
        deaf.hold()
        sent = 0

        async def flood() -> None:
            nonlocal sent
            while True:
                await deaf.send(bytes(65_536))  # it comes back, and is not read
                sent += 65_536

        flooding = TASKS.start(flood(), "flood", expects=HardlineError)
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.3)
        assert sent < 50_000_000, "it is not kept anywhere"
        for one in (host, other):
            await still_serves(relay, one)
        flooding.cancel()
        await asyncio.wait([flooding])
        deaf.abort()
        await until(lambda: relay.relay.describe().pairs == 0)


@in_loop
async def test_a_node_may_say_so_many_lines_and_no_more() -> None:
    async with running_relay() as relay, running_host(relay.address) as host:
        modest = await control(relay)
        modest.put(encode(Hello()))
        count = int(_AT_ONCE) // 2
        for number in range(count):
            modest.put(encode(Ping(number)))
        assert (await read_lines(modest, 1 + count))[-1] == b'{"pong":%d}' % (count - 1)
        talker = await control(relay)
        talker.put(encode(Hello()) + encode(Ping(1)) * int(3 * _AT_ONCE))
        await ends(talker)
        modest.put(encode(Ping(7)))
        await read_lines(modest, 1)
        modest.abort()
        await still_serves(relay, host)


@in_loop
async def test_a_relay_that_stops_reading_costs_its_host_a_connection_and_no_other_relay() -> None:
    me, kept = prover(), list[TcpStream]()
    names, tasks = Names(lambda name: name_of(me), lambda _: me), TaskSet("deaf")

    async def talk(stream: TcpStream) -> None:
        tls = await TlsStream.over(stream, front_context(CONTROL.encode()), names=names)
        tls.put(encode(Welcome("192.0.2.1:1")))
        await tls.receive()
        tls.hold()
        await asyncio.sleep(100)

    def accepted(stream: TcpStream) -> None:
        kept.append(stream)
        tasks.start(talk(stream), "deaf", expects=HardlineError)

    listener = await Listener.open(["127.0.0.1"], 0, accepted, what="deaf")
    async with running_relay() as relay, running_host(relay.address) as host:
        deaf = RunningHost(RelayAddress(listener.endpoints[0], name_of(me)), me=host.me)
        running = tasks.start(deaf.client.run(), "host")
        await until(lambda: deaf.client._greeted)
        wanted = deaf.client._wanted
        for _ in range(20_000):
            deaf.client._wanted = list
            deaf.client.services_changed()
            deaf.client._wanted = wanted
            deaf.client.services_changed()
            if deaf.client.problem:
                break
            await asyncio.sleep(0)
        assert deaf.client.problem, "it was given up before anything was to be answered"
        await still_serves(relay, host)
        running.cancel()
    await tasks.aclose()
    await listener.aclose()
    for stream in kept:
        stream.abort()


async def end_of(stream: TcpStream) -> str:
    """How it ends, whatever comes before."""
    try:
        while await stream.receive():
            pass
    except ConnectionLost:
        return "broken off"
    return "in order"


async def first_flight(host: RunningHost) -> bytes:
    """What a visitor says first."""
    came: asyncio.Future[TcpStream] = asyncio.get_running_loop().create_future()
    listener = await Listener.open(["127.0.0.1"], 0, came.set_result, what="first")
    visit = TASKS.start(host.visit(listener.endpoints[0]), "visit", expects=HardlineError)
    stream = await came
    said = await stream.receive()
    stream.abort()
    with pytest.raises((ConnectionLost, PeerError)):
        await visit
    await listener.aclose()
    return said


async def waits_from(address: str, relay: RunningRelay, name: str) -> asyncio.StreamWriter:
    """Somebody there wants to visit `name`."""
    at = relay.endpoint
    _, writer = await asyncio.open_connection(at.host, at.port, local_addr=(address, 0))
    writer.write(of_openssl(name))
    return writer


@pytest.mark.usefixtures("nothing_parked")
@in_loop
async def test_who_fills_the_places_of_those_who_wait_keeps_nobody_else_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardline.relay.visits.MAX_WAITING", 4)
    monkeypatch.setattr("hardline.relay.waiting.JOIN_WITHIN", 60.0)
    async with running_relay() as relay, running_host(relay.address) as his, running_host(relay.address) as host:
        his.client._joins._under_way = 10_000  # it comes for nobody
        state = relay.relay.describe
        strangers = [await waits_from("127.0.0.5", relay, his.name) for _ in range(4)]
        await until(lambda: state().waiting == 4)
        await still_serves(relay, host)
        await until(lambda: state().waiting == 3)
        assert state().refused["waiting"] == 1
        strangers += [await waits_from("127.0.0.5", relay, his.name) for _ in range(6)]
        await until(lambda: state().refused["waiting"] == 6)
        assert state().waiting == 4
        for one in strangers:
            one.close()
        await until(lambda: state().waiting == 0)


class Knocks(TcpStream):
    """A node's connection that says nothing."""

    def __init__(self, host: str) -> None:
        super().__init__()
        self._from = Endpoint(host, 4000)
        self.was_cut = False

    @property
    def peer(self) -> Endpoint:
        return self._from

    def abort(self) -> None:
        self.was_cut = True


@in_loop
async def test_a_network_of_many_sources_has_not_all_the_places_of_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(self: Controls, tcp: TcpStream, source: str) -> None:
        try:
            await asyncio.sleep(100)
        finally:
            self._is_gone(source, networks(tcp.peer.host)[0])

    monkeypatch.setattr(Controls, "_secure", silent)
    limits = RelayLimits(RegistryLimits(registrations=8, per_network=5))
    async with running_relay(limits) as relay:
        strangers = [Knocks(f"2001:db8:5:{number:x}::1") for number in range(20)]
        others = [Knocks("203.0.113.9"), Knocks("2001:db8:6::1"), Knocks("2001:db8:7::1"), Knocks("203.0.113.10")]
        for one in (*strangers, *others):
            relay.relay.control(one)
        assert [one.was_cut for one in strangers] == [False] * 5 + [True] * 15
        assert [one.was_cut for one in others] == [False, False, False, True]
        controls = relay.relay._controls
        await asyncio.sleep(0)  # they have begun
        await controls._tasks.aclose()
        assert not controls._of_source
        assert not controls._of_network
