"""Hosts are found through a real DHT: after nodes died, under a flood, by proxies alone, and soon after they moved."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import subprocess
import time
from collections.abc import Iterator

import pytest

from hardline import certificates
from hardline.dht.either import Either
from hardline.dht.finder import DhtFinder
from hardline.dht.node import NodeOptions, OpenDhtNode
from hardline.dht.proxy import Proxies
from hardline.dht.record import days, plain_key, record_key
from hardline.routes import Candidate, Endpoint, FoundBy, PathKind, Trust
from tests.dht.hosting import HERE, Host, first, node, unknown
from tests.dht.island import Dhtnode, Island, Nodes, dht, marks
from tests.dht.keys import boxed_record
from tests.support.size import FULL
from tests.support.waiting import wait_until

pytestmark = marks("dhtnode", "curl")

PROCESSES, EACH, KILLED, SERVICES = (12, 5, 4, 50) if FULL else (6, 2, 2, 10)
THERE = Endpoint("11.22.33.45", 7008)


@pytest.fixture(scope="module")
def network() -> Iterator[tuple[Island, list[Nodes]]]:
    with dht(PROCESSES, EACH) as made:
        yield made


@pytest.fixture(scope="module")
def identities(tmp_path_factory: pytest.TempPathFactory) -> list[certificates.Identity]:
    directory = tmp_path_factory.mktemp("services")
    return [certificates.load_or_create(directory / f"{number}.cert") for number in range(SERVICES)]


def test_a_warm_node_finds_a_service_at_once_and_a_cold_one_soon(network, identities):
    island, nodes = network

    async def story() -> None:
        async with node(nodes[0].endpoints) as hosting, Host(hosting, identities[:1]).announced():
            name = identities[0].key_hash
            async with node(nodes[1].endpoints) as visiting:
                candidate, took = await first(visiting, name)
                assert candidate == Candidate(HERE, PathKind.DIRECT, FoundBy("DHT", Trust.SIGNED))
                assert took < 2
            cold = OpenDhtNode(NodeOptions(nodes[1].endpoints[:1], bind=("127.0.0.1",)))
            candidate, took = await first(cold, name)
            await cold.aclose()
            assert candidate is not None
            assert took < 10

    island.run(story)


@pytest.mark.slow
def test_all_services_are_found_after_many_nodes_died(identities):
    def killed(network: list[Nodes]) -> None:
        for nodes in random.Random(7).sample(network[2:], KILLED):
            nodes.kill()

    with dht(PROCESSES, EACH) as (island, nodes):

        async def story() -> None:
            async with node(nodes[0].endpoints) as hosting, node(nodes[1].endpoints) as visiting:
                host = Host(hosting, identities)
                async with host.announced():
                    await asyncio.to_thread(killed, nodes)
                    results = [await first(visiting, name) for name in host.names]
            assert [candidate.endpoint for candidate, _ in results if candidate] == [HERE] * SERVICES
            assert max(took for _, took in results) < 30
            print(f"slowest {max(took for _, took in results):.2f} s")

        island.run(story)


def test_a_service_that_moved_is_found_at_its_new_address(network, identities):
    island, nodes = network

    async def story() -> None:
        async with node(nodes[0].endpoints) as hosting, node(nodes[1].endpoints) as visiting:
            host = Host(hosting, identities[:1])
            async with host.announced():
                finder = DhtFinder(visiting, ours=lambda: (), protocol_of=unknown)
                host.hosts = [THERE]
                host.publisher.changed()
                async with asyncio.timeout(100):
                    while THERE not in [each.endpoint async for each in finder.find(host.names[0])]:
                        await asyncio.sleep(0.1)

    island.run(story)


@pytest.mark.full
def test_two_hundred_forged_records_hide_nothing(network, identities):
    island, nodes = network
    identity = identities[1]

    def flood() -> None:
        now = time.time()
        for day in days(now):
            forged = [
                boxed_record(identity.der, identity.key_hash, int(now), (f"11.22.0.{n}:1",), os.urandom(24)).hex()
                for n in range(200)
            ]
            plain = [f"11.22.1.{n}:7008".encode().hex() for n in range(200)]
            assert nodes[2].ask("put", key=record_key(identity.key_hash, day), values=forged) == 200
            assert nodes[2].ask("put", key=plain_key(identity.key_hash, day), values=plain) == 200

    async def story() -> None:
        async with node(nodes[0].endpoints) as hosting, Host(hosting, [identity]).announced():
            async with node(nodes[1].endpoints) as quiet:
                _, before = await first(quiet, identity.key_hash)
            await asyncio.to_thread(flood)
            async with node(nodes[1].endpoints) as visiting:
                candidate, took = await first(visiting, identity.key_hash)
                assert candidate == Candidate(HERE, PathKind.DIRECT, FoundBy("DHT", Trust.SIGNED))
                assert took < 3 * before + 3

    island.run(story)


def test_with_proxies_alone_a_host_is_announced_and_found(network, identities):
    island, nodes = network
    proxy, other = Dhtnode(island, nodes[0].endpoints[0], 5180), Dhtnode(island, nodes[1].endpoints[0], 5190)
    for each in (proxy, other):
        wait_until(each.has_good_nodes, "the proxy has good nodes")
    identity = identities[2]

    async def story() -> None:
        hosting, visiting = Either(None, Proxies([proxy.url])), Either(None, Proxies([other.url]))
        async with Host(hosting, [identity]).announced():
            candidate, _ = await first(visiting, identity.key_hash)
            assert candidate == Candidate(HERE, PathKind.DIRECT, FoundBy("DHT", Trust.SIGNED))
            assert visiting.describe()["used"] == "proxies"
            # As an original asks: no word before the key, and the first line counts.
            key = plain_key(identity.key_hash, days(time.time())[0])
            asked = await asyncio.to_thread(
                subprocess.run, island.wrap("curl", "-s", f"{other.url}/{key}"), capture_output=True, check=True
            )
            assert base64.b64decode(json.loads(asked.stdout.split(b"\n")[0])["data"]) == b"11.22.33.44:7008"
        await hosting.aclose()
        await visiting.aclose()

    island.run(story)
    proxy.kill()
    other.kill()


def test_a_node_that_reaches_nobody_is_helped_by_a_proxy(network, identities):
    island, nodes = network
    proxy = Dhtnode(island, nodes[0].endpoints[0], 5180)
    wait_until(proxy.has_good_nodes, "the proxy has good nodes")
    identity = identities[3]

    async def story() -> None:
        lonely = OpenDhtNode(NodeOptions([Endpoint("127.0.0.1", 9)], bind=("127.0.0.1",)))
        visiting = Either(lonely, Proxies([proxy.url]))
        async with node(nodes[1].endpoints) as hosting, Host(hosting, [identity]).announced():
            candidate, took = await first(visiting, identity.key_hash)
            assert candidate is not None
            assert candidate.endpoint == HERE
            assert took < 15
            assert visiting.describe()["used"] == "proxies"
        await visiting.aclose()

    island.run(story)
    proxy.kill()


def test_clocks_an_hour_apart_find_each_other_in_the_real_dht(network, identities):
    island, nodes = network
    identity = identities[4]

    async def story() -> None:
        # Both sides an hour from a midnight, wherever it is now: the host's clock two seconds before it.
        to_midnight = 86_400 - time.time() % 86_400
        host_skew = to_midnight - 2
        async with (
            node(nodes[0].endpoints) as hosting,
            node(nodes[1].endpoints) as visiting,
            Host(hosting, [identity], host_skew).announced(),
        ):
            for off in (-3600, 0, 4, 3600):
                candidate, _ = await first(visiting, identity.key_hash, host_skew + off)
                assert candidate is not None, off

    island.run(story)
