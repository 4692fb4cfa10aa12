"""A host that asks its relay to dial it: what it believes, what it does then, and what a relay dials."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hardline.allowance import Allowance
from hardline.errors import ConnectionLost
from hardline.relay.access import Access
from hardline.relay.askedback import is_here, is_public_ipv4
from hardline.relay.dialback import is_outside
from hardline.relay.expected import Expected
from hardline.relay.handles import make_port_name
from hardline.relay.lines import Verb, encode_line
from hardline.relay.messages import Dialback, Hello, Kind, encode
from hardline.relay.needed import Need, Reaching
from hardline.relay.opening import CONTROL
from hardline.relay.ports import Ports
from hardline.relay.wanted import Wanted
from hardline.routes import Endpoint
from hardline.tasks import TaskSet
from hardline.transport import tcp
from hardline.transport.contexts import visitor_context
from hardline.transport.listener import Listener
from hardline.transport.tcp import TcpStream
from hardline.transport.tls import TlsStream
from tests.relay.running import NOW, RunningHost, RunningRelay, echoed, in_loop, name_of, running_relay, until
from tests.support.node import free_port

NAME = "00112233445566778899aabbccddeeff"


class Asking:
    """A host with a P2P port of its own, at which it is dialled."""

    def __init__(self, relay: RunningRelay, listener: Listener, expected: Expected) -> None:
        self.listener, self.expected = listener, expected
        self.arrived: list[TcpStream] = []
        self.told: list[Endpoint] = []
        self.busy = False
        self.found = self.looked = 0
        self.drained: list[Endpoint] = []
        self.opened = True  # whether the world is told of where the relay has found it
        self.host = RunningHost(relay.address)
        self.client = self.host.client
        self.at = Reaching(
            expected,
            self._told,
            lambda: self.listener.port,
            self._is_busy,
            self._found,
            proves=lambda host: True,
            is_here=lambda host: False,
        )
        self.ask_as(self.at)
        self.client._drains = self.drained.append

    def ask_as(self, at: Reaching) -> None:
        self.need = self.client.need = Need(self.client.relay.endpoint, at)

    def _told(self) -> list[Endpoint]:
        return [self.need.reached] if self.opened and self.need.reached else self.told

    def _found(self) -> None:
        self.found += 1

    def _is_busy(self, relay: Endpoint) -> bool:
        self.looked += 1
        return self.busy


@contextlib.asynccontextmanager
async def asking(relay: RunningRelay, prepare: Callable[[Asking], None] = lambda one: None) -> AsyncIterator[Asking]:
    expected, made = Expected(most=64, of_a_source=64, timeout=100.0), list[Asking]()
    listener = await Listener.open(
        ["127.0.0.1"], 0, lambda stream: expected.accepted(stream, made[0].arrived.append), what="p2p"
    )
    made.append(Asking(relay, listener, expected))
    prepare(made[0])
    tasks = TaskSet("host")
    tasks.start(made[0].client.run(), "relay")
    try:
        yield made[0]
    finally:
        await tasks.aclose()
        await made[0].host.aclose()
        expected.close()
        await listener.aclose()


@contextlib.asynccontextmanager
async def dialling_relay(dials: bool = True) -> AsyncIterator[RunningRelay]:
    async with running_relay() as relay:
        relay.relay._dialbacks._proves = lambda host: dials
        yield relay


Dials = Callable[[RunningRelay, bool], None]


@pytest.fixture
def dials(monkeypatch: pytest.MonkeyPatch) -> Dials:
    """Have a relay dial who asks for it, or not; what does not come is not waited for."""

    def change(relay: RunningRelay, reaches: bool) -> None:
        relay.relay._dialbacks._proves = lambda host: reaches
        monkeypatch.setattr("hardline.relay.askedback.COMES_WITHIN", 60.0 if reaches else 0.1)

    return change


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is asked again at once."""
    monkeypatch.setattr("hardline.relay.askedback.COMES_WITHIN", 60.0)
    monkeypatch.setattr("hardline.relay.needed.WITHDRAWN_WITHIN", 0.1)
    monkeypatch.setattr("hardline.relay.needed.LOOKS_AGAIN", 0.02)
    monkeypatch.setattr("hardline.relay.askings.SETTLES", 0.05)
    monkeypatch.setattr("hardline.relay.askings.AT_LEAST", 0.1)
    monkeypatch.setattr("hardline.relay.dialback.EVERY", 0.01)


@in_loop
async def test_a_host_that_the_relay_reaches_is_not_registered_there(hurried: None) -> None:
    async with dialling_relay() as relay, asking(relay) as host:
        await until(lambda: host.client.state == "not needed")
        assert host.need.reached == Endpoint("127.0.0.1", host.listener.port)
        assert (host.client.registered, host.client.problem, host.found) == (0, "", 1)
        await until(lambda: relay.relay.describe().nodes == 0)
        assert relay.relay.describe().names == 0
        assert not host.arrived, "the host heard nothing of it"


@in_loop
async def test_one_that_it_does_not_reach_is_registered(hurried: None, dials: Dials) -> None:
    async with running_relay() as relay:
        dials(relay, False)
        async with asking(relay) as host:
            await until(lambda: bool(host.client.tested))
            assert (host.client.state, host.need.reached) == ("registered", None)
            assert await echoed(await host.host.visit(relay.endpoint), b"hello") == b"hello"


@in_loop
async def test_one_of_which_nobody_is_told_is_registered_although_it_is_reached(hurried: None) -> None:
    def nobody_told(host: Asking) -> None:
        host.opened = False
        host.told = [Endpoint("127.0.0.2", host.listener.port)]

    async with dialling_relay() as relay, asking(relay, nobody_told) as host:
        await until(lambda: bool(host.client.tested))
        assert (host.client.state, host.need.reached) == ("registered", Endpoint("127.0.0.1", host.listener.port))


@in_loop
async def test_a_name_that_the_world_is_told_counts_as_what_it_stands_for(hurried: None) -> None:
    def by_name(host: Asking) -> None:
        host.opened = False
        host.told = [Endpoint("localhost", host.listener.port)]

    async with dialling_relay() as relay, asking(relay, by_name) as host:
        await until(lambda: host.client.state == "not needed")


@pytest.mark.parametrize("what", ["proves", "is_here"])
@in_loop
async def test_what_proves_nothing_is_not_believed(hurried: None, what: str) -> None:
    """A relay that sees a private address is in the same network, and a probe from this machine came by no router."""
    asked: list[str] = []

    def answer(address: str) -> bool:
        asked.append(address)
        return what == "is_here"

    def prepare(host: Asking) -> None:
        host.ask_as(replace(host.at, **{what: answer}))

    async with dialling_relay() as relay, asking(relay, prepare) as host:
        await until(lambda: bool(host.client.tested))
        assert (host.client.state, host.need.reached) == ("registered", None)
        assert asked == ["127.0.0.1"]


@in_loop
async def test_a_relay_that_knows_no_dialback_is_registered_with(
    hurried: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hardline.relay.askedback.COMES_WITHIN", 0.1)
    async with dialling_relay() as relay:
        relay.relay._dialbacks.asked = lambda control, wanted: None  # type: ignore[method-assign]
        async with asking(relay) as host:
            await until(lambda: bool(host.client.tested))


@contextlib.asynccontextmanager
async def registered(dials: Dials) -> AsyncIterator[tuple[RunningRelay, Asking]]:
    """A host that the relay does not reach."""
    async with running_relay() as relay:
        dials(relay, False)
        async with asking(relay) as host:
            await until(lambda: bool(host.client.tested))
            yield relay, host


@in_loop
async def test_a_host_that_becomes_reachable_leaves_when_its_visitors_have(hurried: None, dials: Dials) -> None:
    async with registered(dials) as (relay, host):
        visitor = await host.host.visit(relay.endpoint)
        host.busy = True
        dials(relay, True)
        host.need.whereabouts_changed()
        await until(lambda: host.client.state == "not needed")
        assert host.drained == [relay.endpoint]
        assert host.client.name_of(host.host.key_hash) == "", "nobody is told any more"
        await until(lambda: host.looked > 3)
        assert relay.relay.describe().names == 1
        assert await echoed(visitor, b"still here") == b"still here"
        assert await echoed(await host.host.visit(relay.endpoint), b"late") == b"late", "who was told before gets in"
        host.busy = False
        await until(lambda: relay.relay.describe().nodes == 0)
        assert host.client.state == "not needed"
        assert await echoed(visitor, b"and on") == b"and on"
        visitor.abort()


@in_loop
async def test_one_that_is_not_reached_any_more_registers_again(hurried: None, dials: Dials) -> None:
    async with dialling_relay() as relay, asking(relay) as host:
        await until(lambda: host.client.state == "not needed")
        dials(relay, False)
        host.need.whereabouts_changed()
        await until(lambda: host.client.state == "registered" and bool(host.client.tested))
        assert host.need.reached is None
        assert await echoed(await host.host.visit(relay.endpoint), b"hello") == b"hello"


@in_loop
async def test_one_that_is_about_to_leave_stays_where_it_is_not_reached_any_more(hurried: None, dials: Dials) -> None:
    async with registered(dials) as (relay, host):
        host.busy = True
        dials(relay, True)
        host.need.whereabouts_changed()
        await until(lambda: host.client.state == "not needed")
        dials(relay, False)
        host.need.whereabouts_changed()
        await until(lambda: host.client.state == "registered")
        assert host.client.name_of(host.host.key_hash) == host.host.name
        assert relay.relay.describe().nodes == 1


@in_loop
async def test_where_the_relay_does_not_even_answer_nothing_is_learnt(
    hurried: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else at this address has asked within the minute."""
    async with dialling_relay() as relay, asking(relay) as host:
        await until(lambda: host.client.state == "not needed")
        reached = host.need.reached
        assert reached is not None
        monkeypatch.setattr("hardline.relay.askedback.COMES_WITHIN", 0.1)
        monkeypatch.setattr("hardline.relay.dialback.EVERY", 1000.0)
        for _ in range(3):
            host.need.whereabouts_changed()
            await asyncio.sleep(0.3)
        assert host.client.state == "not needed"
        assert host.need.reached == reached


@in_loop
async def test_after_a_change_of_network_it_is_registered_until_it_may_ask(
    hurried: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hardline.relay.askings.AT_LEAST", 1000.0)
    async with dialling_relay() as relay, asking(relay) as host:
        await until(lambda: host.client.state == "not needed")
        host.client.network_changed()
        assert host.need.reached is None
        await until(lambda: bool(host.client.tested))
        assert host.client.state == "registered"


@in_loop
async def test_a_relay_that_cannot_be_asked_is_not_needed_still(hurried: None) -> None:
    async with dialling_relay() as relay, asking(relay) as host:
        await until(lambda: host.client.state == "not needed")
        await relay.listener.aclose()
        host.need.whereabouts_changed()
        await until(lambda: bool(host.client.problem))
        assert host.client.state == "not needed"


# What a relay dials.


async def control_of(relay: RunningRelay) -> TlsStream:
    stream = await tcp.connect_any([relay.endpoint])
    code = name_of(relay.me).rolling(int(NOW // 86_400))
    context = visitor_context(protocol=CONTROL.encode())
    tls = await TlsStream.over(stream, context, code, target=name_of(relay.me), protocol=CONTROL.encode())
    await tls.send(encode(Hello()))
    assert b"welcome" in await tls.receive()
    return tls


async def lines(tls: TlsStream, last: bytes) -> bytes:
    got = b""
    while last not in got or not got.endswith(b"\n"):
        piece = await tls.receive()
        assert piece
        got += piece
    return got


@contextlib.asynccontextmanager
async def dialled() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A port, and what was said there by each who came."""
    said: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said.append(await reader.read())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], said
    finally:
        server.close()


@in_loop
async def test_a_relay_says_the_probe_and_no_more_and_tells_no_result() -> None:
    async with dialling_relay() as relay, dialled() as (port, said):
        tls = await control_of(relay)
        await tls.send(encode(Dialback(port, NAME)) + b'{"ping":1}\n')
        assert await lines(tls, b"pong") == b'{"dialled":{"id":"%s"}}\n{"pong":1}\n' % NAME.encode()
        await until(lambda: bool(said))
        assert said == [encode_line(Verb.PROBE, NAME)]
        tls.abort()


@pytest.mark.parametrize("proves", [True, False])
@in_loop
async def test_the_answer_is_the_same_for_who_is_not_dialled_and_where_nobody_listens(proves: bool) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        async with dialling_relay(proves) as relay:
            tls = await control_of(relay)
            await tls.send(encode(Dialback(taken.getsockname()[1], NAME)) + b'{"ping":1}\n')
            assert await lines(tls, b"pong") == b'{"dialled":{"id":"%s"}}\n{"pong":1}\n' % NAME.encode()
            tls.abort()


@in_loop
async def test_a_source_is_dialled_once_a_minute_whatever_connections_it_has() -> None:
    async with dialling_relay() as relay, dialled() as (port, said):
        one, other = await control_of(relay), await control_of(relay)
        for tls in (one, one, other):
            await tls.send(encode(Dialback(port, NAME)) + b'{"ping":1}\n')
            await lines(tls, b"pong")
        await until(lambda: bool(said))
        assert len(said) == 1
        for tls in (one, other):
            tls.abort()


@in_loop
async def test_a_relay_has_so_many_dials_under_way_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardline.relay.dialback.MOST", 2)
    async with dialling_relay() as relay:
        relay.relay._dialbacks._often = Allowance(100, 100)

        async def for_ever() -> None:
            await asyncio.Event().wait()

        for _ in range(2):
            relay.relay._dialbacks._dials.start(for_ever(), "dialback")
        tls = await control_of(relay)
        await tls.send(encode(Dialback(7008, NAME)) + b'{"ping":1}\n')
        assert await lines(tls, b"pong") == b'{"pong":1}\n'
        tls.abort()


@pytest.mark.parametrize("said", [b'{"dialback":{"port":80,"id":"%s"}}', b'{"dialback":{"port":7008,"id":"x"}}'])
@in_loop
async def test_who_asks_for_what_is_not_dialled_is_cut(said: bytes) -> None:
    async with dialling_relay() as relay:
        tls = await control_of(relay)
        await tls.send(said.replace(b"%s", NAME.encode()) + b"\n")
        with contextlib.suppress(ConnectionLost):
            assert await tls.receive() == b""


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "192.168.1.9", "100.64.1.1", "10.0.0.1", "fe80::1", "a.example"])
def test_what_is_not_in_the_world_is_not_dialled_and_proves_nothing(host: str) -> None:
    assert not is_outside(host)
    assert not is_public_ipv4(host)


def test_only_ipv4_proves_that_every_visitor_gets_through() -> None:
    assert is_public_ipv4("11.22.33.44")
    assert not is_public_ipv4("2a0e:b107:77::5")


def test_this_machine_is_here() -> None:
    assert is_here("127.0.0.1")
    assert not is_here("11.22.33.44")


def wants_port(relay: RunningRelay, host: Asking) -> None:
    """It has a service with [Public] port, and the relay's owner lets it."""
    relay.relay.set_access(Access(everybody=True, ports=frozenset({name_of(host.host.me)})))
    name = make_port_name(b"key", "host", host.client.relay.key_hash)
    host.host.also.append(Wanted(host.host.key_hash, name, Kind.PORT))


@contextlib.asynccontextmanager
async def relay_with_a_port(tmp_path: Path) -> AsyncIterator[RunningRelay]:
    ports = Ports([free_port()], tmp_path / "ports")
    async with running_relay(ports=ports) as relay:
        relay.relay._dialbacks._proves = lambda host: True
        await ports.open(["127.0.0.1"], relay.relay.public)
        try:
            yield relay
        finally:
            await ports.aclose()


@in_loop
async def test_a_host_that_needs_no_relay_keeps_the_connection_for_its_ports_and_nothing_else(
    hurried: None, tmp_path: Path
) -> None:
    async with (
        relay_with_a_port(tmp_path) as relay,
        asking(relay, functools.partial(wants_port, relay)) as host,
    ):
        service = host.host.key_hash
        for _ in range(2):
            await until(lambda: host.client.state == "not needed" and isinstance(host.client.port_of(service), int))
            await until(lambda: relay.relay.describe().names == 1)
            assert (host.client.registered, relay.relay.describe().nodes) == (0, 1)
            host.client.network_changed()
            await until(lambda: host.client.port_of(service) is None)
        await until(lambda: host.client.state == "not needed" and isinstance(host.client.port_of(service), int))
        host.host.also.clear()
        host.client.services_changed()
        await until(lambda: relay.relay.describe().nodes == 0)


@in_loop
async def test_a_host_that_is_not_connected_comes_for_a_port(hurried: None, tmp_path: Path) -> None:
    async with relay_with_a_port(tmp_path) as relay, asking(relay) as host:
        await until(lambda: host.client.state == "not needed" and relay.relay.describe().nodes == 0)
        wants_port(relay, host)
        host.client.services_changed()
        await until(lambda: isinstance(host.client.port_of(host.host.key_hash), int))
        await until(lambda: relay.relay.describe().names == 1)
        assert host.client.state == "not needed"
