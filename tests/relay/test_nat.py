"""What kind of router is before a node, by what relays see of one port of ours."""

from __future__ import annotations

import pytest

from hardline.relay.nat import Nat, judge
from hardline.relay.router import RouterWatch
from hardline.routes import Endpoint
from hardline.transport.listener import Listener
from hardline.transport.tcp import TcpStream
from tests.relay.running import NOW, in_loop, running_host, running_relay

LOCAL, SEEN = Endpoint("192.168.1.5", 40_022), Endpoint("11.22.33.101", 40_022)
OTHER_PORT, OTHER_ADDRESS = Endpoint("11.22.33.101", 50_000), Endpoint("11.22.33.102", 40_022)


@pytest.mark.parametrize(
    ("seen", "elsewhere", "nat"),
    [
        (LOCAL, [], Nat.NONE),
        (LOCAL, [LOCAL], Nat.NONE),
        (SEEN, [], Nat.KEPT),
        (OTHER_PORT, [], Nat.UNKNOWN),
        (SEEN, [SEEN], Nat.SAME),
        (OTHER_PORT, [OTHER_PORT], Nat.SAME),
        (SEEN, [OTHER_PORT], Nat.EACH),
        (SEEN, [OTHER_ADDRESS], Nat.EACH),
        (LOCAL, [SEEN], Nat.EACH),
    ],
)
def test_what_two_relays_see_tells_which_router_it_is(seen: Endpoint, elsewhere: list[Endpoint], nat: Nat) -> None:
    assert judge(LOCAL, seen, elsewhere) is nat


@in_loop
async def test_a_second_relay_is_asked_from_the_port_that_the_first_one_sees() -> None:
    async with running_relay() as one, running_relay() as other:
        asked: list[Endpoint] = []
        real = other.porter.accepted

        def accepted(tcp: TcpStream) -> None:
            asked.append(tcp.peer)
            real(tcp)

        other.listener._ports[0]._accepted = accepted
        async with running_host(one.address) as host, running_host(other.address) as second:
            watch = RouterWatch(lambda: [host.client, second.client], lambda: NOW)
            assert await watch._look() is Nat.NONE
            assert host.client.local in asked
            # A relay that does not answer says nothing, and nothing is made up.
            second.client.endpoints = (Endpoint("127.0.0.1", 1),)
            assert await watch._look() is Nat.NONE
            host.client.local = None
            second.client.local = None
            assert await watch._look() is None, "a proxy's connection says nothing of our router"


@in_loop
async def test_one_relay_with_two_ports_is_enough() -> None:
    async with running_relay() as relay, running_host(relay.address) as host:
        also = await Listener.open(["127.0.0.1"], 0, relay.porter.accepted, what="relay")
        host.client.endpoints = (relay.endpoint, Endpoint("127.0.0.1", also.port))
        seen: list[str] = []
        real = relay.relay.control
        relay.relay.control = lambda tcp: (seen.append(str(tcp.peer)), real(tcp))  # type: ignore[method-assign]
        watch = RouterWatch(lambda: [host.client], lambda: NOW)
        assert await watch._look() is Nat.NONE
        assert seen == [str(host.client.local)]
        assert host.client.state == "registered", "its control connection is none the worse for it"
        await also.aclose()
