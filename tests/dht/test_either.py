"""A node of our own or proxies: whichever reaches somebody, and neither beyond where it is bound."""

from __future__ import annotations

import asyncio

import pytest

from hardline.dht.either import Either, open_table
from hardline.dht.node import NodeOptions, OpenDhtNode
from hardline.dht.proxy import Proxies
from hardline.dht.record import info_hash
from hardline.dht.table import NotStored
from hardline.routes import Endpoint
from hardline.settings.node import DhtSection
from tests.dht.island import Dhtnode, Island, dht, marks
from tests.support.beats import beats
from tests.support.waiting import wait_until
from tests.tunnel.pair import eventually

KEY = info_hash("a key")


async def values(table: Either) -> list[bytes]:
    return [value async for value in table.get(KEY, 4096, 10)]


def test_a_node_for_this_machine_alone_asks_nobody_else(tmp_path):
    async def run() -> None:
        settings = DhtSection(
            bootstrap=(Endpoint("bootstrap.jami.net", 4222), Endpoint("203.0.113.9", 4222), Endpoint("127.0.0.1", 1)),
            proxies=("https://dhtproxy.jami.net", "http://localhost:1", "http://127.0.0.1:2", "http://[::1]:3/"),
        )
        alone = open_table(settings, ("127.0.0.1", "::1"), tmp_path / "nodes")
        everywhere = open_table(settings, (), tmp_path / "nodes")
        assert [each["url"] for each in alone.describe()["proxies"]] == ["http://127.0.0.1:2", "http://[::1]:3"]
        assert alone._node._options.bootstrap == [Endpoint("127.0.0.1", 1)]
        assert len(everywhere.describe()["proxies"]) == 4
        assert everywhere._node._options.bootstrap == list(settings.bootstrap)
        assert alone.describe()["node"]["phase"] == "idle"
        await alone.aclose()
        await everywhere.aclose()

    asyncio.run(run())


def test_with_nobody_at_all_nothing_is_found_in_the_given_time():
    async def run() -> None:
        table = Either(None, Proxies([]))
        assert not table.connected
        assert table.describe() == {"used": None, "node": None, "proxies": []}
        assert await values(table) == []
        with pytest.raises(NotStored):
            await table.put(KEY, b"value", 1)
        await table.aclose()

    asyncio.run(run())


class TestReal:
    pytestmark = marks("dhtnode", "curl")

    def test_where_the_library_is_missing_the_proxies_do_everything(self, tmp_path, monkeypatch):
        (tmp_path / "opendht.py").write_text("raise ImportError('no wheel for this machine')")
        with dht(processes=1, each=4) as (island, nodes):
            proxy = Dhtnode(island, nodes[0].endpoints[0])
            wait_until(proxy.has_good_nodes, "the proxy has good nodes")
            monkeypatch.setenv("PYTHONPATH", str(tmp_path))

            async def story() -> None:
                table = Either(OpenDhtNode(NodeOptions(bind=("127.0.0.1",))), Proxies([proxy.url]))
                began = beats()
                await table.put(KEY, b"value", 10)
                assert await values(table) == [b"value"]
                assert beats() - began < 20
                assert table.describe()["used"] == "proxies"
                assert table.describe()["node"]["phase"] == "missing"
                await table.aclose()

            island.run(story)

    def test_a_connected_node_asks_no_proxy(self):
        with dht(processes=1, each=4) as (island, nodes):

            async def story() -> None:
                table = Either(
                    OpenDhtNode(NodeOptions(nodes[0].endpoints[:1], bind=("127.0.0.1",))),
                    Proxies(["http://127.0.0.1:9"]),
                )
                await table.put(KEY, b"value", 10)
                assert await values(table) == [b"value"]
                said = table.describe()
                assert (said["used"], said["proxies"][0]["state"]) == ("node", "unknown")
                await table.aclose()

            island.run(story)

    def test_closing_in_the_middle_of_everything_leaves_nothing(self):
        with Island() as island:

            async def story() -> None:
                table = Either(OpenDhtNode(NodeOptions([Endpoint("127.0.0.1", 9)], bind=("127.0.0.1",))), Proxies([]))
                getting = asyncio.get_running_loop().create_task(values(table))
                await eventually(lambda: table.describe()["node"]["phase"] == "running", "the node runs, and asks")
                getting.cancel()
                await asyncio.wait({getting})
                await table.aclose()

            island.run(story)
