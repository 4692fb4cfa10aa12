"""One watch for all: whom it tells of which change, told by the kernel or looking by itself.

The machine that is watched is made up; tests/netns and tests/reach have real ones.
"""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from hardline.discovery import roaming
from hardline.discovery.interfaces import InterfaceAddress
from hardline.discovery.roaming import NetworkWatch
from hardline.machine import Route
from hardline.tasks import TaskSet
from tests.support import clock

ETH = InterfaceAddress("eth0", 2, "192.0.2.7", 24)
OTHER = InterfaceAddress("eth0", 2, "198.51.100.7", 24)
BRIDGE = InterfaceAddress("br0", 7, "10.0.0.1", 24, rank=2, of_note=False)
ROUTE = Route("eth0", "192.0.2.1")


class Machine:
    """What the watch sees; `tell` is the kernel's word that something happened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, telling: bool) -> None:
        self.addresses, self.routes = frozenset({ETH}), (ROUTE,)
        self.made: frozenset[tuple[str, ...]] = frozenset()
        self.flags: frozenset[tuple[str, ...]] = frozenset()
        self.looks = 0
        self._kernel, told = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        told.setblocking(False)
        if not telling:
            told.close()
        monkeypatch.setattr(roaming, "_netlink", lambda: told if telling else None)
        monkeypatch.setattr(roaming, "interface_addresses", self._look)
        monkeypatch.setattr(roaming, "routes", lambda: self.routes)
        monkeypatch.setattr(roaming, "made", lambda: self.made)
        monkeypatch.setattr(roaming, "flags_6", lambda: self.flags)
        monkeypatch.setattr(roaming, "SETTLES", 0.01)
        monkeypatch.setattr(roaming, "AT_MOST_EVERY", 0.01)
        monkeypatch.setattr(roaming, "LOOK_EVERY", 0.01)

    def tell(self) -> None:
        self._kernel.send(b"news")

    async def is_looked_at(self, times: int = 1) -> None:
        """Until it was looked at as it is now, and that was told."""
        until = self.looks + times
        async with asyncio.timeout(100):
            while self.looks < until:
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)

    def close(self) -> None:
        self._kernel.close()

    def _look(self) -> frozenset[InterfaceAddress]:
        self.looks += 1
        return self.addresses


class Seen:
    """A watch that runs, and whom it told what."""

    def __init__(self) -> None:
        self.happened: list[bool] = []
        self.told: list[frozenset[InterfaceAddress]] = []
        self.watch = NetworkWatch(self.happened.append)


@asynccontextmanager
async def watching(machine: Machine) -> AsyncIterator[Seen]:
    seen, tasks = Seen(), TaskSet("test")
    await seen.watch.look()
    seen.watch.follow(seen.told.append)
    before = machine.looks
    tasks.start(seen.watch.run(), "watch")
    try:
        async with asyncio.timeout(100):
            while machine.looks == before:
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        yield seen
    finally:
        await tasks.aclose()
        machine.close()


def test_who_follows_is_told_at_once_what_is_known_and_nothing_before_the_first_look(monkeypatch) -> None:
    async def story() -> None:
        machine, seen = Machine(monkeypatch, telling=True), Seen()
        seen.watch.follow(seen.told.append)
        assert seen.told == []
        await seen.watch.look()
        assert seen.told == [{ETH}]
        late: list[frozenset[InterfaceAddress]] = []
        seen.watch.follow(late.append)
        assert late == [{ETH}]
        assert seen.happened == []
        roaming._netlink().close()
        machine.close()

    clock.run(story)


def test_of_another_network_all_are_told_followers_first(monkeypatch) -> None:
    async def story() -> None:
        machine = Machine(monkeypatch, telling=True)
        async with watching(machine) as seen:
            order: list[object] = []
            seen.watch.follow(order.append)
            seen.watch._happened = order.append
            order.clear()
            machine.addresses = frozenset({OTHER})
            machine.tell()
            await machine.is_looked_at()
            assert order == [{OTHER}, True]
            assert seen.watch.addresses == {OTHER}

    clock.run(story)


def test_of_containers_only_followers_are_told(monkeypatch) -> None:
    async def story() -> None:
        machine = Machine(monkeypatch, telling=True)
        async with watching(machine) as seen:
            machine.addresses, machine.made = frozenset({ETH, BRIDGE}), frozenset({("br0", "7", "0x1003", "up")})
            machine.tell()
            await machine.is_looked_at()
            assert (seen.told, seen.happened) == ([{ETH}, {ETH, BRIDGE}], [])
            machine.made = frozenset({*machine.made, ("veth1", "8", "0x1003", "up")})
            machine.tell()
            await machine.is_looked_at()
            assert (len(seen.told), seen.happened) == (2, []), "it holds no address"

    clock.run(story)


def test_where_nothing_is_different_there_may_be_another_network_all_the_same(monkeypatch) -> None:
    async def story() -> None:
        machine = Machine(monkeypatch, telling=True)
        async with watching(machine) as seen:
            machine.tell()
            await machine.is_looked_at()
            assert (seen.told, seen.happened) == ([{ETH}], [False])

    clock.run(story)


@pytest.mark.parametrize("telling", [True, False])
@pytest.mark.parametrize("what", ["rank", "note", "route", "flags"])
def test_followers_are_told_of_what_is_known_of_the_same_addresses_too(monkeypatch, telling: bool, what: str) -> None:
    async def story() -> None:
        machine = Machine(monkeypatch, telling=telling)
        async with watching(machine) as seen:
            assert seen.told == [{ETH}]
            match what:
                case "rank":
                    machine.addresses = frozenset({dataclasses.replace(ETH, rank=3)})
                case "note":
                    machine.addresses = frozenset({dataclasses.replace(ETH, of_note=False)})
                case "route":
                    machine.routes = ()
                case "flags":  # a new IPv6 address can be used now
                    machine.flags = frozenset({("fe80", "02", "40", "20", "80", "eth0")})
            machine.tell() if telling else None
            await machine.is_looked_at(1 if telling else 2)
            assert seen.told == [{ETH}, {ETH}]
            assert {(one.rank, one.of_note) for one in seen.told[-1]} == {(3 if what == "rank" else 0, what != "note")}

    clock.run(story)


def test_a_machine_on_which_nothing_happens_is_not_looked_at(monkeypatch) -> None:
    async def story() -> None:
        machine = Machine(monkeypatch, telling=True)
        async with watching(machine):
            before = machine.looks
            await asyncio.sleep(3600)
            assert machine.looks == before

    clock.run(story, limit=None)


def test_where_nobody_tells_it_is_looked_at_again_and_again(monkeypatch) -> None:
    async def story() -> None:
        machine = Machine(monkeypatch, telling=False)
        async with watching(machine) as seen:
            await machine.is_looked_at(3)
            assert (seen.told, seen.happened) == ([{ETH}], [])
            machine.addresses = frozenset({OTHER})
            await machine.is_looked_at(2)
            assert (seen.told, seen.happened) == ([{ETH}, {OTHER}], [True])

    clock.run(story)


@pytest.mark.parametrize("telling", [True, False])
def test_what_happened_before_it_ran_is_noticed_when_it_runs(monkeypatch, telling: bool) -> None:
    async def story() -> None:
        machine, seen, tasks = Machine(monkeypatch, telling=telling), Seen(), TaskSet("test")
        await seen.watch.look()
        seen.watch.follow(seen.told.append)
        machine.addresses = frozenset({OTHER})
        tasks.start(seen.watch.run(), "watch")
        await machine.is_looked_at()
        assert (seen.told, seen.happened) == ([{ETH}, {OTHER}], [True])
        await tasks.aclose()
        machine.close()

    clock.run(story)
