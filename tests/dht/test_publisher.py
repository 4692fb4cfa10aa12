"""Publishing: what is put where and when, and what the node says about it."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from hardline import certificates
from hardline.dht import publisher as publishing
from hardline.dht.publisher import Published, Publisher
from hardline.dht.record import open_record, plain_key, record_key
from hardline.dht.table import NotStored
from hardline.identity import SECONDS_PER_DAY
from hardline.routes import Endpoint, Via
from tests.dht.memory_table import MemoryTable
from tests.support import clock

DAY = 20_778
NOON = DAY * SECONDS_PER_DAY + 43_200.0
HERE, THERE, INSIDE = Endpoint("11.22.33.44", 7008), Endpoint("11.22.33.45", 7008), Endpoint("10.8.0.1", 7008)


class World:
    """A host's surroundings: its clock, which is `now` as it begins to run, its services and its addresses."""

    def __init__(self, tmp_path: Path, now: float = NOON) -> None:
        self.table = MemoryTable()
        self.identity = certificates.load_or_create(tmp_path / "one.cert")
        self.name = self.identity.key_hash
        self.services = [Published(self.identity)]
        self.hosts = [HERE]
        self.now = now
        self.began: float | None = None
        self.asked_at: list[float] = []  # when it was asked for the addresses: before each announcement
        self.publisher = Publisher(
            self.table, services=lambda: self.services, hosts=self._hosts, instance="me", clock=self.clock
        )

    def clock(self) -> float:
        return self.now if self.began is None else self.now + clock.since(self.began)

    def _hosts(self) -> list[Endpoint]:
        if self.began is not None:
            self.asked_at.append(clock.since(self.began))
        return self.hosts

    def records(self, day: int = DAY) -> list[tuple[str, ...]]:
        values = self.table.values[record_key(self.name, day)]
        return [tuple(map(str, open_record(value, self.name, self.now).hosts)) for value in values]

    @property
    def said(self) -> dict[str, object]:
        return self.publisher.describe()[str(self.name)]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        if isinstance(loop, clock.ClockLoop):
            self.began = loop.time()
        task = loop.create_task(self.publisher.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})
            assert len(asyncio.all_tasks()) == 1


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(100):
            await story()

    asyncio.run(bounded())


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


def test_a_service_is_announced_and_read_back(world):
    async def story() -> None:
        async with world.running():
            await until(lambda: world.table.puts and world.said["read_back"])
        assert world.records() == [("11.22.33.44:7008",)]
        assert world.table.values[plain_key(world.name, DAY)] == [b"11.22.33.44:7008"]
        assert world.said == {
            "announced": NOON,
            "read_back": NOON,
            "hosts": ["11.22.33.44:7008"],
            "originals": True,
            "problem": None,
        }

    run(story)


def test_an_announcement_that_nobody_can_read_is_no_success(world):
    world.table.forgetful = True

    async def story() -> None:
        async with world.running():
            await until(lambda: world.table.puts and world.said["announced"])
            assert world.said["read_back"] is None

    run(story)


def test_a_changed_address_is_announced_at_once(world):
    async def story() -> None:
        async with world.running():
            await until(lambda: world.records())
            world.hosts = [THERE]
            world.publisher.changed()
            await until(lambda: ("11.22.33.45:7008",) in world.records())

    run(story)


def test_a_change_does_not_wait_for_a_put_that_hangs(world):
    async def story() -> None:
        async with world.running():
            await until(lambda: world.said.get("read_back") if world.table.puts else None)
            world.table.open_for[record_key(world.name, DAY)] = asyncio.Event()  # a read-back that does not end
            world.table.forgetful = True
            world.publisher.changed()
            await until(lambda: world.table.gets)
            world.table.forgetful = False
            world.hosts = [THERE]
            world.publisher.changed()
            await until(lambda: ("11.22.33.45:7008",) in world.records())

    run(story)


def test_what_failed_is_tried_again_and_said(world, monkeypatch):
    monkeypatch.setattr(publishing, "RETRIES", (0.01,))
    world.table.broken = "no good node"

    async def story() -> None:
        async with world.running():
            await until(lambda: world.name in world.publisher._entries and world.said["problem"] == "no good node")
            world.table.broken = ""
            world.now += 1
            await until(lambda: world.said["announced"] == NOON + 1)
            assert world.said["problem"] is None

    run(story)


def test_values_are_repeated_soon_and_then_every_five_minutes(world):
    async def story() -> None:
        async with world.running():
            await asyncio.sleep(1000)
        assert world.asked_at == [0, 10, 70, 370, 670, 970]
        assert len(world.records()) == 6
        assert world.said["read_back"] == NOON + 970

    clock.run(story)


def test_what_fails_is_tried_again_after_pauses_that_grow_to_a_minute(world):
    world.table.broken = "no good node"

    async def story() -> None:
        async with world.running():
            await asyncio.sleep(150)
            world.table.broken = ""
            await asyncio.sleep(100)
            assert world.said["problem"] is None
            world.table.broken = "no good node"
            await asyncio.sleep(50)
        assert world.asked_at == [0, 1, 3, 8, 23, 83, 143, 203, 213, 273, 274, 276, 281, 296]

    clock.run(story)


def test_what_nobody_can_read_back_is_announced_again_soon_and_then_every_minute(world):
    world.table.forgetful = True

    async def story() -> None:
        async with world.running():
            await asyncio.sleep(200)
        assert world.asked_at == [0, 10, 70, 130, 190]

    clock.run(story)


def test_at_a_change_of_days_what_is_missing_is_published_at_once(tmp_path, monkeypatch):
    world = World(tmp_path, (DAY + 1) * SECONDS_PER_DAY - 2)  # 23:59:58
    monkeypatch.setattr(publishing, "_SLICE", 0.01)

    async def story() -> None:
        async with world.running():
            await until(lambda: world.table.puts and world.said["read_back"])
            assert (len(world.records(DAY)), len(world.records(DAY + 1))) == (1, 1)
            world.now += 4  # 00:00:02
            await until(lambda: len(world.records(DAY + 1)) == 2)

    run(story)


def test_the_neighbouring_day_is_added_an_hour_before_midnight(tmp_path, monkeypatch):
    world = World(tmp_path, (DAY + 1) * SECONDS_PER_DAY - 3602)
    monkeypatch.setattr(publishing, "_SLICE", 0.01)

    async def story() -> None:
        async with world.running():
            await until(lambda: world.table.puts and world.said["read_back"])
            assert world.records(DAY + 1) == []
            world.now += 3
            await until(lambda: world.records(DAY + 1))

    run(story)


def test_private_addresses_are_in_the_record_and_not_in_the_originals_value(world):
    world.hosts = [INSIDE, Endpoint("127.0.0.1", 7008), HERE]

    async def story() -> None:
        await world.publisher.announce(world.name, world.hosts)
        assert world.records() == [("10.8.0.1:7008", "11.22.33.44:7008")]
        assert world.table.values[plain_key(world.name, DAY)] == [b"11.22.33.44:7008"]

    run(story)


def test_a_service_that_is_not_for_originals_has_no_plain_value(world):
    world.services = [Published(world.identity, legacy=False)]

    async def story() -> None:
        await world.publisher.announce(world.name, world.hosts)
        assert world.table.puts == [record_key(world.name, DAY)]
        assert world.said["originals"] is False

    run(story)


@pytest.mark.parametrize("hosts", [[], [Endpoint("127.0.0.1", 7008)]])
def test_a_host_that_nobody_could_reach_publishes_nothing_and_says_why(world, hosts):
    async def story() -> None:
        assert await world.publisher.announce(world.name, hosts) == 300
        assert world.table.puts == []
        assert "no address" in world.said["problem"]

    run(story)


def test_a_service_that_is_gone_is_announced_no_more(world):
    async def story() -> None:
        async with world.running():
            await until(lambda: world.table.puts and world.said["read_back"])
            world.services = []
            world.publisher.changed()
            await until(lambda: world.publisher.describe() == {})
            before = len(world.table.puts)
            await asyncio.sleep(500)
            world.publisher.changed()
            await asyncio.sleep(500)
            assert len(world.table.puts) == before

    clock.run(story)


def test_a_key_that_signs_no_record_is_announced_to_originals_and_said(world, tmp_path):
    key, cert = tmp_path / "odd.cert.private", tmp_path / "odd.cert"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ed448", "-nodes", "-subj", "/CN=odd", "-keyout", key, "-out", cert],
        check=True,
        capture_output=True,
    )
    key.chmod(0o600)
    odd = certificates.load(cert)
    world.services = [Published(odd)]

    async def story() -> None:
        with pytest.raises(NotStored, match="Ed25519, ECDSA and RSA"):
            await world.publisher.announce(odd.key_hash, world.hosts)
        assert world.table.puts == [plain_key(odd.key_hash, DAY)]
        assert "Ed25519" in str(world.publisher.describe()[str(odd.key_hash)]["problem"])

    run(story)


def test_a_host_that_only_relays_lead_to_is_published_by_them(world: World) -> None:
    handle, own = Via(Endpoint("11.22.33.30", 7008), "ab" * 20), Endpoint("11.22.33.31", 443)
    world.hosts = []
    world.publisher = Publisher(
        world.table,
        services=lambda: world.services,
        hosts=lambda: world.hosts,
        instance="me",
        via=lambda service: (handle,) if service == world.name else (),
        relays=lambda service: (own,),
        clock=world.clock,
    )

    async def story() -> None:
        await world.publisher.announce(world.name, [])
        [value] = world.table.values[record_key(world.name, DAY)]
        record = open_record(value, world.name, world.now)
        assert (record.hosts, record.via, record.relays) == ((), (handle,), (own,))
        assert world.table.values[plain_key(world.name, DAY)] == [b"11.22.33.31:443"], "originals find it there, too"

    run(story)
