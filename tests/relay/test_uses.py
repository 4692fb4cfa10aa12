"""What a host asks of each of its relays."""

from __future__ import annotations

import asyncio

import pytest

from hardline.identity import KeyHash
from hardline.relay.handles import handle_of, make_port_name
from hardline.relay.messages import Kind, Why
from hardline.relay.uses import Offered, RelayUses
from hardline.relay.wanted import Registration
from hardline.routes import Endpoint, RelayAddress
from hardline.tasks import TaskSet
from hardline.transport.listener import Listener
from tests.relay.running import NOW, RunningHost, in_loop, prover, running_relay
from tests.support.clock import run, since
from tests.support.dead import dead
from tests.support.node import free_port

ONE, OTHER = KeyHash(b"1" * 20), KeyHash(b"2" * 20)
RELAYS = (
    RelayAddress(Endpoint("one.example", 443), ONE),
    RelayAddress(Endpoint("other.example", 7008), OTHER),
    RelayAddress(Endpoint("other.example", 443), OTHER),
)


def uses(*offered: Offered) -> RelayUses:
    me = prover()
    return RelayUses(
        RELAYS,
        lambda: me,
        "secret",
        services=lambda: offered,
        joined=lambda joined: joined.tcp.close(),
        changed=lambda: None,
        clock=lambda: NOW,
    )


def offered(port: int | None, *relays: Endpoint, name: bytes = b"s") -> Offered:
    return Offered(KeyHash(name * 20), b"key of " + name, None, legacy=False, public_port=port, public_relays=relays)


@in_loop
async def test_a_public_port_is_asked_of_all_or_of_those_that_are_named() -> None:
    one = uses(
        offered(None, name=b"a"),
        offered(0, name=b"b"),
        offered(20_007, Endpoint("other.example", 443), name=b"c"),
        offered(0, Endpoint("elsewhere.example", 443), name=b"d"),
    )
    asked = [
        [(wanted.service.digest[:1], wanted.port) for wanted in client._wanted() if wanted.kind is Kind.PORT]
        for client in one.clients
    ]
    assert asked == [[(b"b", 0)], [(b"b", 0), (b"c", 20_007)]]
    [first, _] = one.clients
    [name] = [handle_of(wanted.prover) for wanted in first._wanted() if wanted.kind is Kind.PORT]
    assert name == handle_of(make_port_name(b"key of b", "secret", ONE)), "the same after every start"


@in_loop
async def test_where_it_is_and_why_not() -> None:
    service = offered(0)
    one = uses(service)
    first, other = one.clients
    assert one.public(service) == ((), ("one.example:443: not asked yet", "other.example:7008: not asked yet"))
    [wanted] = [wanted for wanted in first._wanted() if wanted.kind is Kind.PORT]
    first._registrations[1] = Registration(wanted, "name", registered=True, port=20_007)
    other._refused[service.key_hash, ""] = Why.ALLOW
    ports, without = one.public(service)
    assert ports == (Endpoint("one.example", 20_007),)
    assert [why.partition(" has to write")[0] for why in without] == ["other.example:7008: its owner"]
    elsewhere = offered(0, Endpoint("elsewhere.example", 443))
    assert uses(elsewhere).public(elsewhere) == ((), ("elsewhere.example:443: [Relay] use does not name it",))
    assert first.name_of(service.key_hash) == "", "nobody is told of a public port as of a way here"


@pytest.mark.parametrize("silent", [False, True], ids=["nobody listens", "a machine that is off"])
def test_row_71_that_a_relay_is_down_from_the_start_is_said_within_five_seconds(
    caplog: pytest.LogCaptureFixture, silent: bool
) -> None:
    caplog.set_level("INFO")
    port = free_port()

    async def story() -> None:
        began, tasks, me = asyncio.get_running_loop().time(), TaskSet("uses"), prover()
        one = RelayUses(
            (RelayAddress(Endpoint("127.0.0.1", port), ONE),),
            lambda: me,
            "secret",
            services=lambda: (offered(0),),
            joined=lambda joined: joined.tcp.close(),
            changed=lambda: None,
            clock=lambda: NOW,
        )
        tasks.start(one.run(), "run")
        while not one.clients[0].problem:
            await asyncio.sleep(0.5)
        assert since(began) <= 5.0
        assert (one.clients[0].state, one.clients[0].problem) == ("connecting", problem)
        await asyncio.sleep(600)
        assert [record.fields["reason"] for record in caplog.records if record.message == "relay.lost"] == [problem]  # type: ignore[attr-defined]
        await tasks.aclose()

    if silent:
        problem = "no answer"
        with dead("127.0.0.1", port):
            run(story)
    else:
        problem = "connection refused"
        run(story)


def test_row_22_pauses_grow_to_a_cap_and_differ_and_a_relay_that_is_back_after_a_minute_is_used_within_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")

    async def story() -> float:
        async with running_relay() as relay:
            host, tasks = RunningHost(relay.address), TaskSet("host")
            tasks.start(host.client.run(), "relay")
            while host.client.state != "registered":
                await asyncio.sleep(0.5)
            await relay.listener.aclose()
            for control in tuple(relay.relay._controls):
                control.tls.abort()
            await asyncio.sleep(60)
            assert host.client.state == "connecting"
            relay.listener = await Listener.open(["127.0.0.1"], relay.endpoint.port, relay.porter.accepted, what="it")
            back = asyncio.get_running_loop().time()
            while host.client.state != "registered":
                await asyncio.sleep(0.01)
            took = since(back)
            await tasks.aclose()
            await host.aclose()
            return took

    assert run(story) <= 8 * 1.2 + 0.1
    pauses = [record.fields["pause_s"] for record in caplog.records if record.message == "relay.waits"]  # type: ignore[attr-defined]
    usual = [min(0.2 * 2**number, 8) for number in range(len(pauses))]
    shares = [pause / one for pause, one in zip(pauses, usual, strict=True)]
    assert len(pauses) >= 10
    assert all(0.79 < share < 1.21 for share in shares), pauses
    assert len({round(share, 2) for share in shares}) > 3, "or all hosts of a relay would come back at once"
