"""A node's own services are found without the network."""

from __future__ import annotations

import asyncio

import pytest

from hardline.discovery.own import OwnServices
from hardline.identity import KeyHash
from hardline.routes import Candidate, Endpoint, FoundBy, PathKind, Trust

pytestmark = pytest.mark.pure

OURS = KeyHash.parse("a946e7a560289417a2711f5b9686624852dd469b")
OTHER = KeyHash.parse("00" * 20)


def found(own: OwnServices, target: KeyHash) -> list[Candidate]:
    async def story() -> list[Candidate]:
        return [candidate async for candidate in own.find(target)]

    return asyncio.run(story())


@pytest.mark.parametrize(
    ("listening", "dialled"),
    [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("127.0.0.1", "127.0.0.1"), ("192.0.2.7", "192.0.2.7")],
)
def test_an_own_service_is_dialled_where_this_node_listens(listening, dialled):
    own = OwnServices(lambda: {OURS}, lambda: [Endpoint(listening, 7008)])
    assert found(own, OURS) == [Candidate(Endpoint(dialled, 7008), PathKind.LAN, FoundBy("this node", Trust.HEARD))]


def test_every_listener_is_a_candidate_in_its_order():
    own = OwnServices(lambda: {OURS}, lambda: [Endpoint("::", 7008), Endpoint("0.0.0.0", 7018)])
    assert [candidate.endpoint for candidate in found(own, OURS)] == [
        Endpoint("::1", 7008),
        Endpoint("127.0.0.1", 7018),
    ]


def test_a_strangers_service_is_not_found():
    assert found(OwnServices(lambda: {OURS}, lambda: [Endpoint("::", 7008)]), OTHER) == []


def test_services_and_listeners_are_asked_for_at_every_visit():
    services: set[KeyHash] = set()
    listening: list[Endpoint] = []
    own = OwnServices(lambda: services, lambda: listening)
    assert found(own, OURS) == []
    services.add(OURS)
    assert found(own, OURS) == []
    listening.append(Endpoint("::1", 7008))
    assert len(found(own, OURS)) == 1
    services.clear()
    assert found(own, OURS) == []
