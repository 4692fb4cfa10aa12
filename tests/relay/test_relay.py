"""A relay with real hosts and visitors: who is joined with whom, who is refused and why, what comes back by itself."""

from __future__ import annotations

import asyncio
import os
import random
import socket

import pytest
from OpenSSL import SSL

from hardline.errors import ConnectionLost, HardlineError, PeerError
from hardline.identity import KeyHash
from hardline.proof import Prover
from hardline.relay import client as client_module
from hardline.relay import controls as controls_module
from hardline.relay.access import Access
from hardline.relay.limits import RelayLimits
from hardline.relay.lines import Verb, encode_line
from hardline.relay.messages import Hello, Kind, Register, Tokens, Welcome, encode
from hardline.relay.opening import CONTROL
from hardline.relay.pipes import Pipes
from hardline.relay.proofs import NODE, prove_registration
from hardline.relay.registry import RegistryLimits
from hardline.relay.server import Relay
from hardline.relay.wanted import Wanted
from hardline.routes import Endpoint, RelayAddress
from hardline.tasks import TaskSet
from hardline.transport import tcp
from hardline.transport.contexts import front_context, visitor_context
from hardline.transport.handshake import Names
from hardline.transport.listener import Listener
from hardline.transport.tcp import TcpStream
from hardline.transport.tls import TlsStream
from tests.relay.running import (
    NOW,
    OWN_NAME,
    RunningHost,
    RunningRelay,
    echoed,
    name_of,
    prover,
    running_host,
    running_relay,
    until,
)

uvloop = pytest.importorskip("uvloop")
TASKS = TaskSet("test")


def run(story, loop=uvloop.new_event_loop):
    async def whole() -> None:
        async with asyncio.timeout(100):
            await story()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(whole())


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_visitor_reaches_a_host_that_only_dials_out(loop) -> None:
    async def story() -> None:
        async with running_relay() as relay, running_host(relay.address) as host:
            assert host.client.state == "registered"
            visitor = await host.visit(relay.endpoint)
            data = random.Random(1).randbytes(3_000_000)
            assert await echoed(visitor, data) == data
            [joined] = host.joined
            assert joined.service == host.key_hash
            assert joined.source.host == "127.0.0.1"
            state = relay.relay.describe()
            assert (state.nodes, state.names, state.pairs, state.waiting) == (1, 1, 1, 0)
            assert state.passed > 2 * len(data)
            await visitor.send_eof()
            assert await visitor.receive() == b"", "its end is passed on, and the host's comes back"
            await visitor.aclose()
            await until(lambda: relay.relay.describe().pairs == 0)
            assert relay.relay.describe().passed > 2 * len(data)

    run(story, loop)


def test_nothing_that_the_relay_has_names_the_service() -> None:
    async def story() -> None:
        async with running_relay() as relay, running_host(relay.address) as host:
            visitor = await host.visit(relay.endpoint)
            assert await echoed(visitor, b"hello") == b"hello"
            parts = [vars(part) for part in vars(relay.relay).values() if hasattr(part, "__dict__")]
            held = repr((relay.relay.__dict__, parts, list(relay.relay._registrar._registry._pools)))
            assert host.name in held
            assert str(host.key_hash) not in held
            visitor.abort()

    run(story)


def test_two_hundred_visitors_at_once_each_get_their_own_answer(monkeypatch) -> None:
    for limit in ("waiting.JOIN_WITHIN", "joins.JOIN_WITHIN", "joins.ANSWER_WITHIN"):
        monkeypatch.setattr(f"hardline.relay.{limit}", 60.0)  # all of them are in this one process

    async def story() -> None:
        limits = RelayLimits(pairs=300, new_pairs=300)
        async with (
            running_relay(limits) as relay,
            running_host(relay.address) as one,
            running_host(relay.address) as two,
        ):

            async def visit(host: RunningHost, number: int) -> None:
                visitor = await host.visit(relay.endpoint)
                data = f"{number} {host.name} ".encode() * 50
                assert await echoed(visitor, data) == data
                await visitor.aclose()

            await asyncio.gather(*(visit(host, number) for number in range(60) for host in (one, two)))
            assert len(one.joined) == len(two.joined) == 60
            await until(lambda: relay.relay.describe().pairs == 0)

    run(story)


def test_a_name_that_is_not_registered_is_not_recognized() -> None:
    async def story() -> None:
        async with running_relay() as relay:
            host = RunningHost(relay.address)
            with pytest.raises(PeerError, match="unrecognized name"):
                await host.visit(relay.endpoint)

    run(story)


@pytest.fixture
def nothing_parked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardline.relay.joins.MAX_PARKED", 0)


def test_a_host_that_does_not_come_is_told_of_after_five_seconds(monkeypatch, nothing_parked) -> None:
    monkeypatch.setattr("hardline.relay.waiting.JOIN_WITHIN", 1.0)

    async def story() -> None:
        async with running_relay() as relay, running_host(relay.address) as host:
            host.client._joins._under_way = 10_000  # it has too much to do
            with pytest.raises(PeerError, match="internal error"):
                await host.visit(relay.endpoint)
            assert relay.relay.describe().refused["nobody_joined"] >= 1
            assert relay.relay.describe().waiting == 0

    run(story)


def test_a_visitor_that_leaves_first_is_forgotten(nothing_parked) -> None:
    async def story() -> None:
        async with running_relay() as relay, running_host(relay.address) as host:
            host.client._joins._under_way = 10_000
            visit = TASKS.start(host.visit(relay.endpoint), "visit")
            await until(lambda: relay.relay.describe().waiting == 1)
            visit.cancel()
            await until(lambda: relay.relay.describe().waiting == 0)

    run(story)


def test_a_token_is_good_once_and_a_guessed_one_never(nothing_parked) -> None:
    async def story() -> None:
        async with running_relay() as relay, running_host(relay.address) as host:
            host.client._joins._under_way = 10_000
            visit = TASKS.start(host.visit(relay.endpoint), "visit")
            await until(lambda: relay.relay.describe().waiting == 1)
            assert await said(relay.endpoint, encode_line(Verb.JOIN, "0" * 32)) == b"HARDLINE-NO gone\r\n"
            [token] = relay.relay._waiting._visitors
            first = await tcp.connect_any([relay.endpoint])
            await first.send(encode_line(Verb.JOIN, token))
            answer = await first.receive()
            assert answer.startswith(b"HARDLINE-OK 127.0.0.1:")
            assert await said(relay.endpoint, encode_line(Verb.JOIN, token)) == b"HARDLINE-NO gone\r\n"
            visit.cancel()
            first.abort()

    run(story)


def test_a_join_that_is_ready_is_used_and_another_one_made() -> None:
    async def story() -> None:
        async with running_relay() as relay, running_host(relay.address) as host:
            host.client._joins._under_way = 10_000  # no invite is followed
            for _ in range(5):
                await until(lambda: relay.relay.describe().parked == 2)
                visitor = await host.visit(relay.endpoint)
                assert await echoed(visitor, b"hello" * 100_000) == b"hello" * 100_000
                await visitor.aclose()
            assert len(host.joined) == 5
            assert host.joined[0].source.host == "127.0.0.1"

    run(story)


def test_a_join_that_was_ready_and_answers_nothing_is_left_for_the_next_one(monkeypatch) -> None:
    monkeypatch.setattr("hardline.relay.waiting.ANSWERS_WITHIN", 0.2)
    monkeypatch.setattr("hardline.relay.joins.JOIN_WITHIN", 3.0)

    async def story() -> None:
        async with running_relay() as relay, running_host(relay.address) as host:
            await until(lambda: relay.relay.describe().parked == 2)
            real, asked = host.client._joins._joined, []
            host.client._joins._joined = lambda joined: asked.append(joined) if len(asked) < 2 else real(joined)
            visitor = await host.visit(relay.endpoint)
            assert await echoed(visitor, b"hello") == b"hello"
            assert len(asked) == 2, "both that were ready were tried"
            await visitor.aclose()
            for one in asked:
                one.tcp.abort()

    run(story)


def test_a_join_that_is_ready_has_nothing_to_say_and_is_made_anew_when_it_ends(monkeypatch) -> None:
    monkeypatch.setattr("hardline.relay.parking.PARKS_AGAIN", 0.05)

    async def story() -> None:
        async with running_relay() as relay, running_host(relay.address) as host:
            await until(lambda: relay.relay.describe().parked == 2)
            [control] = relay.relay._controls
            before = control.parked
            for one in before:
                one.abort()
            await until(lambda: len(set(control.parked) - set(before)) == 2)
            assert relay.relay.describe().parked == 2
            assert len(relay.relay._parking) == 0
            visitor = await host.visit(relay.endpoint)
            assert await echoed(visitor, b"hello") == b"hello"
            await visitor.aclose()

    run(story)


def test_a_host_that_comes_back_replaces_itself() -> None:
    async def story() -> None:
        async with (
            running_relay() as relay,
            running_host(relay.address, name=b"n") as old,
            running_host(relay.address, name=b"n") as new,
        ):
            assert new.name == old.name
            visitor = await new.visit(relay.endpoint)
            assert await echoed(visitor, b"hello") == b"hello"
            assert (len(new.joined), len(old.joined)) == (1, 0)
            assert relay.relay.describe().names == 1
            assert "same secrets" in old.client.problem, "it does not fight for it"
            await visitor.aclose()

    run(story)


def test_a_relay_that_starts_again_is_registered_with_again() -> None:
    async def story() -> None:
        async with running_relay() as relay, running_host(relay.address) as host:
            for control in tuple(relay.relay._controls):
                control.tls.abort()
            await until(lambda: not host.client.registered)
            await until(lambda: bool(host.client.tested))
            visitor = await host.visit(relay.endpoint)
            assert await echoed(visitor, b"hello") == b"hello"
            await visitor.aclose()

    run(story)


def test_who_is_not_allowed_says_who_it_is_and_is_told_of_in_the_log(caplog) -> None:
    async def story() -> None:
        allowed = prover()
        async with running_relay(access=Access(frozenset({name_of(allowed)}))) as relay:
            async with running_host(relay.address, me=allowed) as host:
                visitor = await host.visit(relay.endpoint)
                assert await echoed(visitor, b"hello") == b"hello"
                await visitor.aclose()
            caplog.set_level("INFO")
            async with running_host(relay.address, wait=False) as other:
                await until(lambda: other.client.state == "refused")
                assert "does not serve this node" in other.client.problem
            told = [record.fields for record in caplog.records if record.message == "relay.node_unknown"]
            assert [str(one["hint"]) for one in told] == [f"[Relay] allow = {name_of(other.me)}"]

    run(story)


def test_who_is_allowed_no_more_is_cut_off_with_what_it_carries() -> None:
    async def story() -> None:
        async with running_relay() as relay, running_host(relay.address) as host:
            visitor = await host.visit(relay.endpoint)
            assert await echoed(visitor, b"hello") == b"hello"
            relay.relay.set_access(Access())
            with pytest.raises(ConnectionLost):
                await visitor.receive()
            await until(lambda: host.client.state == "refused")

    run(story)


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        (RegistryLimits(registrations=2), "full"),
        (RegistryLimits(per_source=2), "quota"),
        (RegistryLimits(per_connection=2), "quota"),
    ],
)
def test_there_is_room_for_so_many(limits: RegistryLimits, why: str) -> None:
    async def story() -> None:
        async with running_relay(RelayLimits(limits)) as relay:
            tls = await control(relay)
            tls.put(encode(Hello()))
            for number in range(3):
                proof = prove_registration(prover(), tls.exporter(NODE))
                tls.put(encode(Register(number, Kind.HANDLE, proof)))
            lines = [line for line in await read_lines(tls, 5) if b"tokens" not in line]
            assert b'"why":"' + why.encode() in lines[-1]
            assert all(b"registered" in line for line in lines[1:3])
            tls.abort()
            await until(lambda: relay.relay.describe().names == 0)

    run(story)


def test_so_many_visits_of_a_name_and_new_ones_of_a_source() -> None:
    async def story() -> None:
        async with running_relay(RelayLimits(pairs=2)) as relay, running_host(relay.address) as host:
            visitors = [await host.visit(relay.endpoint) for _ in range(2)]
            with pytest.raises(PeerError, match="internal error"):
                await host.visit(relay.endpoint)
            assert relay.relay.describe().refused == {"pairs": 1}
            for visitor in visitors:
                await visitor.aclose()
            await until(lambda: relay.relay.describe().pairs == 0)
            await (await host.visit(relay.endpoint)).aclose()
        async with running_relay(RelayLimits(new_pairs=1)) as relay, running_host(relay.address) as host:
            began, refused = asyncio.get_running_loop().time(), 0
            for _ in range(20):
                try:
                    (await host.visit(relay.endpoint)).abort()
                except PeerError:
                    refused += 1
            # Four at once, of which the host's own visit was one, and one more each second.
            assert 20 - refused <= 4 + asyncio.get_running_loop().time() - began
            assert relay.relay.describe().refused.get("new_pairs", 0) == refused

    run(story)


def test_a_registration_with_the_key_of_another_name_or_another_connection_ends_it() -> None:
    async def story() -> None:
        async with running_relay() as relay:
            for exporter in (os.urandom(32), None):
                tls = await control(relay)
                tls.put(encode(Hello()))
                proof = prove_registration(prover(), exporter or tls.exporter(NODE))
                if exporter is None:
                    proof = type(proof)(prover().certificate, proof.signature)
                tls.put(encode(Register(1, Kind.HANDLE, proof)))
                await ends(tls)
            assert relay.relay.describe().names == 0

    run(story)


@pytest.mark.parametrize(
    "line",
    [
        b'{"register":{}}',
        b"{}",
        b"no json",
        b'{"ping":1}',
        b'{"hello":{"v":1}}' * 400,
        b"{" * 5000,
        b'{"hello":{"v":2}}',
    ],
)
def test_a_node_that_breaks_the_rules_is_cut_off_and_nobody_else(line: bytes) -> None:
    async def story() -> None:
        async with running_relay() as relay, running_host(relay.address) as host:
            tls = await control(relay)
            tls.put(line + b"\n")
            await ends(tls)
            visitor = await host.visit(relay.endpoint)
            assert await echoed(visitor, b"hello") == b"hello"
            await visitor.aclose()

    run(story)


def test_a_node_that_floods_or_never_reads_is_cut_off() -> None:
    async def story() -> None:
        async with running_relay() as relay:
            tls = await control(relay)
            tls.put(encode(Hello()))
            tls.hold()

            async def flood() -> None:
                for _ in range(100_000):
                    await tls.send(b'{"ping":1}\n' * 200)
                    await asyncio.sleep(0)

            with pytest.raises(ConnectionLost):
                await flood()
            await until(lambda: relay.relay.describe().nodes == 0)

    run(story)


def test_who_knows_the_key_hash_of_the_relay_only_gets_in() -> None:
    async def story() -> None:
        async with running_relay() as relay:
            stranger = name_of(prover())
            stream = await tcp.connect_any([relay.endpoint])
            with pytest.raises(HardlineError):
                await TlsStream.over(
                    stream,
                    visitor_context(protocol=CONTROL.encode()),
                    name_of(relay.me).rolling(int(NOW // 86_400)),
                    target=stranger,
                    protocol=CONTROL.encode(),
                )

    run(story)


def test_first_bytes_decide_who_gets_a_connection() -> None:
    async def story() -> None:
        async with running_relay(timeout=1.0) as relay:
            answer = await said(relay.endpoint, b"GET / HTTP/1.1\r\nHost: relay.example\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"ann@relay.example" in answer
            assert await said(relay.endpoint, b"\x00\x01") == b""
            assert await said(relay.endpoint, b"HARDLINE-WHAT x\r\n") == b""
            assert await said(relay.endpoint, b"HARDLINE-JO") == b"", "it is not waited for for ever"
            assert await said(relay.endpoint, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 4000) == b""
            connection = SSL.Connection(visitor_context(), None)
            connection.set_connect_state()
            connection.set_tlsext_host_name(OWN_NAME.encode())
            with pytest.raises(SSL.WantReadError):
                connection.do_handshake()
            flight = connection.bio_read(65_536)
            stream = await tcp.connect_any([relay.endpoint])
            for byte in flight[:40]:
                await stream.send(bytes([byte]))
                await asyncio.sleep(0)
            await stream.send(flight[40:])
            own = await relay.own.get()
            assert own.heard == flight, "the host reads it from its beginning"
            stream.abort()
            own.abort()

    run(story)


def test_ten_thousand_silent_connections_are_held_within_bounds() -> None:
    async def story() -> None:
        async with running_relay(most=64) as relay, running_host(relay.address) as host:
            silent = [
                socket.create_connection(
                    (relay.endpoint.host, relay.endpoint.port), source_address=(f"127.0.0.{2 + number % 20}", 0)
                )
                for number in range(300)
            ]
            visitor = await host.visit(relay.endpoint)
            assert await echoed(visitor, b"hello") == b"hello"
            assert len(relay.porter._coming) <= 64
            for one in silent:
                one.close()
            await visitor.aclose()

    run(story)


@pytest.mark.parametrize("by", ["pings", "joins"])
def test_a_host_that_has_visitor_after_visitor_is_not_taken_for_a_silent_one(
    by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controls_module, "SILENT", 2.0)
    monkeypatch.setattr(client_module, "PING_AFTER", 0.2 if by == "pings" else 1000.0)
    if by == "pings":
        monkeypatch.setattr(Relay, "_lives", lambda relay, control: None, raising=False)

    async def story() -> None:
        async with running_relay() as relay, running_host(relay.address) as host:
            [before], loop = relay.relay._controls, asyncio.get_running_loop()
            end = loop.time() + 3.0
            while loop.time() < end:
                visitor = await host.visit(relay.endpoint)
                assert await echoed(visitor, b"hello") == b"hello"
                await visitor.aclose()
                await asyncio.sleep(0.1)
            assert list(relay.relay._controls) == [before]

    run(story)


def test_a_relay_that_drains_says_so_and_takes_nobody_new() -> None:
    async def story() -> None:
        async with running_relay() as relay, running_host(relay.address) as host:
            visitor = await host.visit(relay.endpoint)
            relay.relay.drain(30)
            await until(lambda: host.client.state == "draining")
            assert host.client.name_of(host.key_hash) == "", "nobody is told of it any more"
            with pytest.raises(PeerError):
                await host.visit(relay.endpoint)
            assert await echoed(visitor, b"goes on") == b"goes on"
            await visitor.aclose()

    run(story)


async def control(relay: RunningRelay) -> TlsStream:
    """A node's connection, before its hello."""
    stream = await tcp.connect_any([relay.endpoint])
    name = name_of(relay.me)
    protocol = CONTROL.encode()
    context = visitor_context(protocol=protocol)
    return await TlsStream.over(stream, context, name.rolling(int(NOW // 86_400)), target=name, protocol=protocol)


async def read_lines(tls: TlsStream, count: int) -> list[bytes]:
    data = b""
    while data.count(b"\n") < count:
        piece = await tls.receive()
        assert piece, data
        data += piece
    return data.splitlines()


async def ends(tls: TlsStream) -> None:
    """It ends, whatever is said before."""
    try:
        while await tls.receive():
            pass
    except ConnectionLost:
        pass
    tls.abort()


async def said(endpoint: Endpoint, data: bytes) -> bytes:
    """Everything that comes back."""
    stream = await tcp.connect_any([endpoint])
    answer = b""
    try:
        await stream.send(data)
        while piece := await stream.receive():
            answer += piece
    except ConnectionLost:
        pass
    stream.abort()
    return answer


def test_a_named_service_is_found_by_its_codes_and_by_its_plain_name_only_where_it_wants_that() -> None:
    async def story() -> None:
        async with running_relay() as relay, running_host(relay.address) as host:
            for legacy in (False, True):
                instance = f"one{legacy}"
                host.also = [Wanted(host.key_hash, host.service, Kind.NAMED, instance, legacy)]
                host.client.services_changed()
                await until(lambda: host.client.is_named(host.key_hash))
                host.joined.clear()
                day = int(NOW // 86_400)
                for near in (day - 1, day, day + 1):
                    stream = await tcp.connect_any([relay.endpoint])
                    tls = await TlsStream.over(
                        stream, visitor_context(), host.key_hash.rolling(near), target=host.key_hash
                    )
                    assert await echoed(tls, b"hello") == b"hello"
                    await tls.aclose()
                assert [joined.name for joined in host.joined] == [""] * 3
                assert relay.relay.has(relay.relay._meant_by(str(host.key_hash))) is legacy
                host.also = []
                host.client.services_changed()
                await until(lambda: relay.relay.describe().names == 1)
                assert not relay.relay.has(relay.relay._meant_by(host.key_hash.rolling(day)))

    run(story)


def test_a_visitor_who_came_before_his_host_was_back_is_joined(nothing_parked) -> None:
    async def story() -> None:
        async with running_relay() as relay, running_host(relay.address) as host:
            host.client._joins._under_way = 10_000
            visit = TASKS.start(host.visit(relay.endpoint), "visit")
            await until(lambda: relay.relay.describe().waiting == 1)
            host.client._joins._under_way = 0
            for control in tuple(relay.relay._controls):
                control.tls.abort()
            visitor = await visit
            assert await echoed(visitor, b"hello") == b"hello"
            await visitor.aclose()

    run(story)


def test_what_he_has_said_is_whole_for_a_host_that_came_back_while_a_ready_join_was_tried(monkeypatch) -> None:
    monkeypatch.setattr("hardline.relay.waiting.ANSWERS_WITHIN", 60.0)
    monkeypatch.setattr("hardline.relay.waiting.JOIN_WITHIN", 60.0)

    async def story() -> None:
        async with running_relay() as relay, running_host(relay.address) as host:
            await until(lambda: relay.relay.describe().parked == 2)
            real, silent = host.client._joins._joined, []
            host.client._joins._joined = silent.append
            visit = TASKS.start(host.visit(relay.endpoint), "visit")
            await until(lambda: bool(silent))
            host.client._joins._joined = real
            monkeypatch.setattr("hardline.relay.joins.MAX_PARKED", 0)
            for control in tuple(relay.relay._controls):
                control.tls.abort()
            visitor = await visit
            assert await echoed(visitor, b"hello") == b"hello"
            await visitor.aclose()
            silent[0].tcp.abort()

    run(story)


def test_what_a_node_carries_that_is_away_ends_too_when_it_is_served_no_more() -> None:
    async def story() -> None:
        asks_who = Access(everybody=True, deny=frozenset({KeyHash(bytes(20))}))
        async with (
            running_relay(access=asks_who) as relay,
            running_host(relay.address) as gone,
            running_host(relay.address) as host,
        ):
            visitors = [await one.visit(relay.endpoint) for one in (gone, host)]
            for visitor in visitors:
                assert await echoed(visitor, b"hello") == b"hello"
            gone.client._wanted = list
            for control in relay.relay._controls:
                if control.node == name_of(gone.me):
                    control.tls.abort()
            await until(lambda: relay.relay.describe().names == 1)
            assert relay.relay.describe().pairs == 2
            relay.relay.set_access(Access(everybody=True, deny=frozenset({name_of(gone.me)})))
            await until(lambda: relay.relay.describe().pairs == 1)
            assert await echoed(visitors[1], b"still") == b"still"
            for visitor in visitors:
                visitor.abort()

    run(story)


def test_proofs_of_one_source_are_bounded(monkeypatch) -> None:
    monkeypatch.setattr("hardline.relay.registrar.PROOFS", (3, 0))

    async def story() -> None:
        async with running_relay() as relay:
            tls = await control(relay)
            tls.put(encode(Hello()))
            for number in range(5):
                proof = prove_registration(prover(), tls.exporter(NODE))
                tls.put(encode(Register(number, Kind.HANDLE, proof)))
            lines = await read_lines(tls, 7)
            assert sum(b"registered" in line for line in lines) == 3
            assert sum(b'"why":"rate"' in line for line in lines) == 2
            tls.abort()

    run(story)


def test_when_all_have_gone_nothing_is_left_of_them() -> None:
    async def story() -> None:
        def descriptors() -> int:
            return len(os.listdir("/proc/self/fd"))

        before = descriptors()
        limits = RelayLimits(pairs=300, new_pairs=300)
        async with running_relay(limits) as relay, running_host(relay.address) as host:
            for round_ in range(3):
                visitors = await asyncio.gather(*(host.visit(relay.endpoint) for _ in range(50)))
                data = bytes(300_000)
                assert await asyncio.gather(*(echoed(visitor, data) for visitor in visitors)) == [data] * 50
                for number, visitor in enumerate(visitors):
                    if number % 2:
                        visitor.abort()
                    else:
                        await visitor.aclose()
                await until(lambda: relay.relay.describe().pairs == 0)
                assert Pipes.of_this_loop()._open <= 16, round_
            assert not relay.relay._waiting._visitors
            assert not relay.relay.visits.names
            assert not len(relay.porter._coming)
        await asyncio.sleep(0.1)
        assert descriptors() <= before + 2  # the loop's own
        assert Pipes.of_this_loop()._open == 0

    run(story)


def test_visits_leave_descriptors_for_everything_else(monkeypatch) -> None:
    async def story() -> None:
        async with running_relay() as relay, running_host(relay.address) as host:
            monkeypatch.setattr("hardline.relay.visits.scarce", lambda kept: kept >= 100)
            with pytest.raises(PeerError, match="internal error"):
                await host.visit(relay.endpoint)
            assert relay.relay.describe().refused == {"descriptors": 1}
            monkeypatch.setattr("hardline.relay.visits.scarce", lambda kept: False)
            visitor = await host.visit(relay.endpoint)
            assert await echoed(visitor, b"hello") == b"hello"
            await visitor.aclose()

    run(story)


def evil_relay(script) -> tuple[Prover, object]:
    """Somebody whose key hash is in `use`, and who says what he likes."""
    me = prover()
    names = Names(lambda name: name_of(me), lambda _: me)
    kept: list[TcpStream] = []

    def accepted(stream: TcpStream) -> None:
        kept.append(stream)
        if len(kept) == 1:
            TASKS.start(talk(stream), "evil", expects=HardlineError)

    async def talk(stream: TcpStream) -> None:
        tls = await TlsStream.over(stream, front_context(CONTROL.encode()), names=names)
        await script(tls)

    return me, (kept, accepted)


WELCOME = encode(Welcome("192.0.2.1:1"))


@pytest.mark.parametrize(
    "said",
    [
        b'{"tokens":["' + b"0" * 32 + b'"]}\n',
        b"".join(encode(Tokens((f"{number:032x}",))) for number in range(900)),
        b'{"registered":{"n":1,"name":"NAME"}}\n',
        b'{"drain":{"seconds":1}}\n',
        b'{"invite":{"n":1,"token":"' + b"1" * 32 + b'"}}\n',
        WELCOME,
    ],
)
def test_whatever_a_relay_says_again_and_again_costs_its_host_little(said: bytes) -> None:
    async def story() -> None:
        async def script(tls: TlsStream) -> None:
            tls.put(WELCOME)
            lines = b""
            while b"register" not in lines or not lines.endswith(b"\n"):
                lines += await tls.receive()
            for _ in range(30):
                tls.put(said.replace(b"NAME", host.name.encode()) * (1 if len(said) > 1000 else 30))
                await asyncio.sleep(0.01)

        me, (kept, accepted) = evil_relay(script)
        listener = await Listener.open(["127.0.0.1"], 0, accepted, what="evil")
        host = RunningHost(RelayAddress(listener.endpoints[0], name_of(me)))
        running = TASKS.start(host.client.run(), "host")
        await asyncio.sleep(1.0)
        assert len(kept) <= 100, "connections"
        joins = host.client._joins
        assert len(joins._tasks) + len(joins._parking) + len(host.client._connected) <= 80, "tasks"
        assert host.changes <= 4
        running.cancel()
        await asyncio.wait([running])
        await listener.aclose()
        for stream in kept:
            stream.abort()

    run(story)


def test_who_registers_nothing_makes_room_for_who_does() -> None:
    async def story() -> None:
        async with running_relay(RelayLimits(RegistryLimits(registrations=3))) as relay:
            strangers = [await control(relay) for _ in range(3)]
            for tls in strangers:
                tls.put(encode(Hello()))
            await until(lambda: relay.relay.describe().nodes == 3)
            async with running_host(relay.address) as host:
                assert host.client.state == "registered"
                assert relay.relay.describe().nodes == 3
            for tls in strangers:
                tls.abort()

    run(story)


def test_who_waits_when_the_month_is_used_up_is_sent_away(nothing_parked) -> None:
    async def story() -> None:
        async with running_relay() as relay, running_host(relay.address) as host:
            host.client._joins._under_way = 10_000
            visit = TASKS.start(host.visit(relay.endpoint), "visit", expects=PeerError)
            await until(lambda: relay.relay.describe().waiting == 1)
            relay.relay.used_up(True)
            with pytest.raises(PeerError, match="internal error"):
                await visit
            assert relay.relay.describe().waiting == 0
            with pytest.raises(PeerError):
                await host.visit(relay.endpoint)
            assert relay.relay.describe().refused["monthly"] == 1

    run(story)
