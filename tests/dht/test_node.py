"""OpenDHT in a child process: it may die, hang or be missing, and nothing else does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from hardline.dht.node import NodeOptions, OpenDhtNode
from hardline.dht.record import info_hash
from hardline.dht.table import NotStored
from hardline.routes import Endpoint
from tests.dht.island import Island, Nodes, dht, marks
from tests.support.beats import beats
from tests.support.waiting import wait_until

pytestmark = marks()

KEY = "a key"
LARGEST = 4096


@pytest.fixture(scope="module")
def network() -> Iterator[tuple[Island, list[Nodes]]]:
    with dht(processes=2, each=5) as made:
        yield made


@contextlib.asynccontextmanager
async def node(known: list[Nodes], file: Path | None = None, **options: object) -> AsyncIterator[OpenDhtNode]:
    bootstrap = [known[0].endpoints[0]] if known else []
    made = OpenDhtNode(NodeOptions(bootstrap, bind=("127.0.0.1",), **options), file)  # type: ignore[arg-type]
    try:
        yield made
    finally:
        await made.aclose()


async def values(made: OpenDhtNode, key: str = KEY, limit: float = 10.0) -> list[bytes]:
    return [value async for value in made.get(info_hash(key), LARGEST, limit)]


async def restarted(made: OpenDhtNode, restarts: int) -> None:
    while made.describe()["restarts"] < restarts or not made.connected:
        await asyncio.sleep(0.02)


def test_what_is_put_is_found_by_another_node(network):
    island, nodes = network

    async def story() -> None:
        async with node(nodes) as host, node(nodes) as visitor:
            await host.put(info_hash("another"), b"here I am", 10)
            assert await values(visitor, "another") == [b"here I am"]
            assert await values(host, "another") == [b"here I am"]

    island.run(story)


def test_nothing_is_started_before_it_is_needed(network):
    island, nodes = network

    async def story() -> None:
        async with node(nodes) as made:
            assert (made.pid, made.describe()["phase"], made.connected) == (None, "idle", False)
            assert await values(made, "nothing") == []
            assert made.pid is not None
            assert made.describe()["phase"] == "running"

    island.run(story)


def test_a_key_without_values_ends_the_search(network):
    island, nodes = network

    async def story() -> float:
        async with node(nodes) as made:
            await made.wait_connected(10)
            began = beats()
            assert await values(made, "nobody was ever here") == []
            return beats() - began

    assert island.run(story) < 5


@pytest.mark.parametrize(("number", "limit"), [(signal.SIGKILL, 10), (signal.SIGSTOP, 20)])
def test_a_child_that_dies_or_hangs_is_replaced(network, number, limit):
    island, nodes = network

    async def story() -> None:
        async with node(nodes) as made:
            await made.put(info_hash(f"before {number}"), b"before", 10)
            first = made.pid
            assert first is not None
            os.kill(first, number)
            began = beats()
            async with asyncio.timeout(100):
                await restarted(made, 1)
            assert beats() - began < limit
            assert made.pid != first
            assert not Path(f"/proc/{first}").exists()
            assert await values(made, f"before {number}") == [b"before"]

    island.run(story)


def test_what_was_asked_of_a_child_that_died_is_asked_of_the_next_one(network):
    island, nodes = network

    async def story() -> None:
        async with node(nodes) as made:
            await made.put(info_hash("asked twice"), b"found", 10)
            assert made.pid is not None
            os.kill(made.pid, signal.SIGSTOP)
            asked = asyncio.gather(values(made, "asked twice"), made.put(info_hash("put twice"), b"stored", 20))
            await asyncio.sleep(0)
            os.kill(made.pid, signal.SIGKILL)
            found, _ = await asked
            assert found == [b"found"]
            assert await values(made, "put twice") == [b"stored"]

    island.run(story)


def test_the_loop_is_never_held_up_by_a_child_that_reads_nothing(network):
    island, nodes = network

    async def story() -> float:
        async with node(nodes) as made:
            await made.wait_connected(10)
            assert made.pid is not None
            os.kill(made.pid, signal.SIGSTOP)
            stopped = (made.put(info_hash(f"stopped {n}"), bytes(60_000), 1) for n in range(40))
            puts = asyncio.gather(*stopped, return_exceptions=True)
            worst, last = 0.0, beats()
            while not puts.done():
                await asyncio.sleep(0.01)
                worst, last = max(worst, beats() - last), beats()
            assert {type(result) for result in await puts} == {NotStored}
            return worst

    assert island.run(story) < 1


def test_a_node_without_others_finds_nothing_and_stores_nothing():
    async def story() -> None:
        async with node([]) as made:
            assert await values(made, limit=1.5) == []
            assert not made.connected
            with pytest.raises(NotStored, match="no good node"):
                await made.put(info_hash(KEY), b"alone", 1.5)
            assert made.describe()["good"] == 0

    with Island() as island:
        island.run(story)


def test_a_put_waits_for_good_nodes():
    with Island() as island:
        late = Nodes(island, 1)

        async def story() -> None:
            async with node([late]) as made, asyncio.TaskGroup() as tasks:
                late.signal(signal.SIGSTOP)
                putting = tasks.create_task(made.put(info_hash(KEY), b"patient", 30))
                assert not await made.wait_connected(2)
                assert not putting.done()
                late.signal(signal.SIGCONT)
                await putting
                assert await values(made) == [b"patient"]

        island.run(story)


def test_good_nodes_are_remembered_for_the_next_start(network, tmp_path):
    island, nodes = network
    file = tmp_path / "nodes.json"

    async def first() -> None:
        async with node(nodes, file) as made:
            await made.put(info_hash("remembered"), b"me", 10)

    async def second() -> None:
        async with node([], file) as made:
            assert await values(made, "remembered") == [b"me"]

    island.run(first)
    assert {Endpoint.parse(text) for text in json.loads(file.read_text())} & set(nodes[0].endpoints)
    assert file.stat().st_mode & 0o777 == 0o600
    island.run(second)


@pytest.mark.parametrize("junk", ["", "{}", '["nonsense", 7, "127.0.0.1:9", "224.0.0.1:1"]', "[" * 9000, "x" * 99_999])
def test_a_broken_list_of_nodes_costs_nothing(network, tmp_path, junk):
    island, nodes = network
    file = tmp_path / "nodes.json"
    file.write_text(junk)

    async def story() -> None:
        async with node(nodes, file) as made:
            assert await made.wait_connected(10)

    island.run(story)
    assert json.loads(file.read_text())


def test_the_port_of_the_settings_is_used_unless_somebody_has_it(network):
    island, nodes = network

    async def story() -> tuple[int, int]:
        async with node(nodes, port=5999) as first, node(nodes, port=5999) as second:
            assert await first.wait_connected(10)
            assert await second.wait_connected(10)
            return first.describe()["port"], second.describe()["port"]

    first, second = island.run(story)
    assert first == 5999
    assert second != 5999


def test_another_network_id_is_another_network(network):
    island, nodes = network

    async def story() -> None:
        async with node(nodes, network=77) as made:
            assert not await made.wait_connected(2)

    island.run(story)


def test_a_thousand_values_and_no_more_come_of_one_get_and_none_that_is_too_large(network):
    island, nodes = network
    crowd = [number.to_bytes(4, "big").hex() for number in range(1050)]
    stored = nodes[0].ask("put", key=info_hash("crowded"), values=[(b"x" * 5000).hex(), *crowd])

    async def story() -> list[bytes]:
        async with node(nodes) as made:
            return await values(made, "crowded")

    found = island.run(story)
    assert stored == 1051
    assert len(found) == len(set(found)) <= 1000
    assert len(found) > 500
    assert {len(value) for value in found} == {4}


def test_a_get_that_is_not_wanted_any_more_is_dropped(network):
    island, nodes = network
    nodes[0].ask("put", key=info_hash("several"), values=[bytes([n]).hex() for n in range(20)])

    async def story() -> None:
        async with node(nodes) as made:
            async with contextlib.aclosing(made.get(info_hash("several"), LARGEST, 10)) as found:
                async for value in found:
                    assert len(value) == 1
                    break
            assert made._asked == {}
            assert len(await values(made, "several")) == 20

    island.run(story)


def test_a_platform_without_the_library_is_said_so_and_costs_no_time(tmp_path, monkeypatch):
    (tmp_path / "opendht.py").write_text("raise ImportError('no wheel for this machine')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    async def story() -> None:
        async with node([]) as made:
            began = beats()
            assert await values(made) == []
            with pytest.raises(NotStored, match="not installed"):
                await made.put(info_hash(KEY), b"", 20)
            assert beats() - began < 10
            assert made.missing
            assert made.describe()["reason"] == "no wheel for this machine"

    with Island() as island:
        island.run(story)


LIBRARY = """
import time

class DhtRunner:
    joined = []
    def run(self, **how): pass
    def getBound(self): return self
    def getPort(self): return 4222
    def getNodeId(self): return "0" * 40
    def getRoutingTablesLog(self, family):
        if any(not host[-1].isdigit() for host in self.joined):
            time.sleep(60)  # as the library's own, while it looks up a name and the resolver is silent
        return ""
    def bootstrap(self, host, port):
        self.joined.append(host)
        with open({joined!r}, "a") as file:
            print(host, port, file=file)

class DhtConfig:
    def setNetwork(self, number): pass
"""


def test_names_of_bootstrap_nodes_are_looked_up_where_nothing_waits_for_it(tmp_path, monkeypatch):
    joined = tmp_path / "joined"
    (tmp_path / "opendht.py").write_text(LIBRARY.replace("{joined!r}", repr(str(joined))))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    async def story() -> None:
        made = OpenDhtNode(NodeOptions([Endpoint("localhost", 4223)], bind=("127.0.0.1",)))
        try:
            made.start()
            while not joined.exists() or not joined.read_text().endswith("\n"):
                await asyncio.sleep(0.02)
            hosts, ports = zip(*(line.split() for line in joined.read_text().splitlines()), strict=True)
            assert set(hosts) <= {"127.0.0.1", "::1"}
            assert set(ports) == {"4223"}
            while made.describe()["phase"] != "running":
                await asyncio.sleep(0.02)
        finally:
            await made.aclose()

    with Island() as island:
        island.run(story)


@pytest.mark.parametrize(
    "program", ["print('nonsense', flush=True)", "print('[]', flush=True)", "print('x' * 300_000)"]
)
def test_a_child_that_talks_nonsense_is_replaced(tmp_path, monkeypatch, program):
    # What the library prints goes nowhere, so this takes a library that finds the pipe itself.
    (tmp_path / "opendht.py").write_text(
        f"import os, sys\nsys.stdout = open([fd for fd in range(3, 20) if os.path.exists(f'/proc/self/fd/{{fd}}')]"
        f"[0], 'w', closefd=False)\n{program}\nimport time\ntime.sleep(60)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    async def story() -> None:
        async with node([]) as made:
            made.start()
            while not made.describe()["restarts"]:
                await asyncio.sleep(0.02)
            assert "wrote" in made.describe()["reason"]

    with Island() as island:
        island.run(story)


def test_the_child_ends_with_the_process_that_started_it(network):
    island, nodes = network
    program = (
        "import asyncio, sys\n"
        "from hardline.dht.node import NodeOptions, OpenDhtNode\n"
        "from hardline.routes import Endpoint\n"
        "async def main():\n"
        f"    node = OpenDhtNode(NodeOptions([Endpoint.parse('{nodes[0].endpoints[0]}')], bind=('127.0.0.1',)))\n"
        "    await node.wait_connected(10)\n"
        "    print(node.pid, flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    parent = island.start(sys.executable, "-c", program, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    os.kill(child, signal.SIGSTOP)  # so that it cannot read the end of its stdin
    parent.kill()
    parent.wait()
    wait_until(lambda: not Path(f"/proc/{child}").exists(), "the child is gone")
