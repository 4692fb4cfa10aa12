"""Holding one mapping, on a router that does what the test says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from hardline.routes import Endpoint
from hardline.upnp.grants import Broken, Grant, Refused, RouterFailed, Silent
from hardline.upnp.leases import GIVE_UP_AFTER, Lease
from tests.support import clock

PUBLIC = "8.8.4.4"


class FakeWay:
    kind, router, own = "fake", "192.168.1.1", "192.168.1.10"
    look_every, rest = 60.0, 0.0

    def __init__(self) -> None:
        self.grant = Grant(PUBLIC, 7008, 1800.0, self.own)
        self.failure: RouterFailed | None = None
        self.asked: list[tuple[int, int]] = []
        self.released: list[tuple[int, int]] = []
        self.hangs = False

    @property
    def key(self) -> tuple[str, str, str]:
        return self.kind, self.router, self.own

    async def hold(self, inside: int, wished: int, lease: float) -> Grant:
        self.asked.append((inside, wished))
        if self.hangs:
            await asyncio.sleep(60)
        if self.failure:
            raise self.failure
        return self.grant

    async def release(self, inside: int, outside: int) -> None:
        self.released.append((inside, outside))


class Held:
    """A lease under way, and how often it said that something changed."""

    def __init__(self) -> None:
        self.way, self.port, self.changes, self.strayed = FakeWay(), 7008, 0, 0
        self.now, self.offset = time.monotonic, 0.0
        self.lease = Lease(
            self.way,
            lambda: self.port,
            lease=1800,
            changed=self._changed,
            astray=self._astray,
            clock=lambda: self.now() + self.offset,
        )

    def _changed(self) -> None:
        self.changes += 1

    def _astray(self) -> None:
        self.strayed += 1

    async def again(self) -> None:
        """Let it ask once more."""
        before = len(self.way.asked)
        self.lease.look()
        while len(self.way.asked) == before:
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)


def for_real(story: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(story())


def hold(
    work: Callable[[Held], Awaitable[None]],
    *,
    failing: RouterFailed | None = None,
    run: Callable[[Callable[[], Awaitable[None]]], None] = for_real,
) -> Held:
    held = Held()
    held.way.failure = failing

    async def whole() -> None:
        held.now = asyncio.get_running_loop().time
        async with asyncio.TaskGroup() as group:
            running = group.create_task(held.lease.run())
            await held.lease.settled.wait()
            await work(held)
            running.cancel()

    run(whole)
    return held


async def nothing(_: Held) -> None: ...


def test_what_is_granted_is_an_endpoint_and_told_once():
    async def work(held: Held) -> None:
        assert held.lease.endpoint == Endpoint(PUBLIC, 7008)
        await held.again()
        assert held.changes == 1

    hold(work)


@pytest.mark.parametrize("external", ["10.0.0.2", "100.64.0.2", "0.0.0.0", "", "router", "127.0.0.1", "192.0.2.1"])
def test_an_address_that_the_world_cannot_reach_is_told_to_nobody(external: str):
    async def work(held: Held) -> None:
        held.way.grant = Grant(external, 7008, 1800.0, "")
        await held.again()
        assert held.lease.endpoint is None
        assert held.lease.describe()["state"] == "useless"
        assert held.changes == 2

    hold(work)


def test_another_address_or_port_is_told():
    async def work(held: Held) -> None:
        held.way.grant = Grant(PUBLIC, 7009, 1800.0, "")
        await held.again()
        assert held.lease.endpoint == Endpoint(PUBLIC, 7009)
        held.way.grant = Grant("8.8.8.8", 7009, 1800.0, "")
        await held.again()
        assert held.changes == 3
        assert held.way.asked[-1] == (7008, 7009)

    hold(work)


@pytest.mark.parametrize("failure", [Silent("no answer"), Broken("html")])
def test_a_router_that_cannot_be_asked_takes_nothing_away_before_the_time_is_up(failure: RouterFailed):
    async def work(held: Held) -> None:
        held.way.failure = failure
        await held.again()
        assert held.lease.endpoint == Endpoint(PUBLIC, 7008)
        assert held.lease.describe()["problem"] == failure.message
        held.offset = 1801
        await held.again()
        assert held.lease.endpoint is None
        assert (held.changes, held.strayed) == (2, 1)

    hold(work)


def test_a_refusal_counts_at_once():
    async def work(held: Held) -> None:
        held.way.failure = Refused("no more", external="")
        await held.again()
        assert held.lease.endpoint is None
        assert held.lease.external
        assert held.lease.external.kind.value == "none"

    hold(work)


def test_after_a_failure_it_is_asked_again_and_told_again():
    async def work(held: Held) -> None:
        held.way.failure = Refused("no more")
        await held.again()
        held.way.failure = None
        await held.again()
        assert held.lease.endpoint == Endpoint(PUBLIC, 7008)
        assert (held.changes, held.lease.describe()["problem"]) == (3, "")

    hold(work)


def test_a_router_that_never_gave_anything_is_given_up():
    async def work(held: Held) -> None:
        for _ in range(GIVE_UP_AFTER - 1):
            await held.again()
        held.lease.look()

    held = hold(work, failing=Silent("no answer"))
    assert len(held.way.asked) == GIVE_UP_AFTER
    assert (held.changes, held.strayed) == (0, 0)


def test_a_router_that_gave_something_before_is_asked_for_longer():
    async def work(held: Held) -> None:
        held.way.failure = Refused("its line is down", external="")
        for _ in range(GIVE_UP_AFTER + 2):
            await held.again()
        held.way.failure = None
        await held.again()
        assert held.lease.endpoint == Endpoint(PUBLIC, 7008)

    hold(work)


def test_whoever_makes_it_look_all_the_time_makes_it_ask_now_and_then():
    async def work(held: Held) -> None:
        held.way.rest = 2.0
        before = len(held.way.asked)
        for _ in range(72):
            held.lease.look()
            await asyncio.sleep(0.125)
        assert len(held.way.asked) - before == 5, "at 0, 2, 4, 6 and 8 of 9 seconds"

    hold(work, run=clock.run)


def test_a_lease_is_renewed_at_half_of_its_time():
    async def work(held: Held) -> None:
        held.way.grant = Grant(PUBLIC, 7008, 30.0, "")
        before = len(held.way.asked)
        held.lease.look()
        await clock.settled()
        for times in range(1, 8):
            assert len(held.way.asked) == before + times
            await asyncio.sleep(14.5)
            await clock.settled()
            assert len(held.way.asked) == before + times
            await asyncio.sleep(0.5)
            await clock.settled()

    hold(work, run=clock.run)


def test_another_port_of_our_own_gives_the_old_one_back_first():
    async def work(held: Held) -> None:
        held.port = 7100
        await held.again()
        assert held.way.released == [(7008, 7008)]
        assert held.way.asked[-1] == (7100, 7100)

    hold(work)


def test_what_may_be_mapped_is_given_back_though_the_answer_never_came():
    async def work() -> None:
        held = Held()
        held.way.hangs = True
        async with asyncio.TaskGroup() as group:
            running = group.create_task(held.lease.run())
            while not held.way.asked:
                await asyncio.sleep(0)
            running.cancel()
        await held.lease.release()
        await held.lease.release()
        assert held.way.released == [(7008, 0)]

    asyncio.run(work())


def test_the_description_is_plain_and_complete():
    described = hold(nothing).lease.describe()
    assert described["kind"] == "fake"
    assert (described["state"], described["external"], described["external_kind"]) == ("mapped", PUBLIC, "public")
    assert (described["port"], described["lease_s"], described["problem"]) == (7008, 1800.0, "")
