"""Name look-ups: names that hang hold up nobody but who asks for them, and threads are bounded."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator

import pytest

from hardline.routes import Endpoint
from hardline.transport.resolver import PER_ASKER, Resolver
from tests.support import clock, needs
from tests.support.lying import Names

LIVE = ["10.0.0.1"]


@pytest.fixture
def names() -> Iterator[Names]:
    """One live name, a hundred dead ones."""
    made = Names({"live": LIVE, "other": ["10.0.0.2"]}, [f"dead{number}" for number in range(100)])
    yield made
    made.let_go()


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(100):
            await story()

    asyncio.run(whole())


async def hosts(resolver: Resolver, name: str, asker: str = "") -> list[str]:
    return [endpoint.host for endpoint in await resolver.addresses(Endpoint(name, 80), asker)]


async def started(count: int, names: Names) -> None:
    """Wait until so many look-ups have begun."""
    while sum(names.asked.values()) < count:
        await asyncio.sleep(0.001)


async def left(tasks: list[asyncio.Task[list[str]]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def asking(resolver: Resolver, name: str, asker: str = "") -> asyncio.Task[list[str]]:
    return asyncio.get_running_loop().create_task(hosts(resolver, name, asker))


def test_a_name_is_looked_up_once_for_all_who_ask(names: Names) -> None:
    async def story() -> None:
        resolver = names.resolver()
        names.hanging["live"] = names.hanging["dead0"]
        tasks = [asking(resolver, "live") for _ in range(50)]
        await started(1, names)
        names.let_go()
        assert await asyncio.gather(*tasks) == [LIVE] * 50
        assert names.asked["live"] == 1

    run(story)


def test_visits_to_a_dead_name_that_were_given_up_keep_nobody_out(names: Names) -> None:
    async def story() -> None:
        resolver = names.resolver(quick=2, hanging=2)
        for _ in range(4):
            tasks = [asking(resolver, "dead0") for _ in range(4)]
            await started(1, names)
            await left(tasks)
        assert names.asked["dead0"] == 1, "the look-up goes on, and is that of the next who asks"
        assert await hosts(resolver, "live") == LIVE

    run(story)


def test_one_asker_with_many_dead_names_leaves_room_for_others(names: Names) -> None:
    async def story() -> None:
        resolver = names.resolver(slow=60.0)
        tasks = [asking(resolver, f"dead{number}", "attacker") for number in range(100)]
        await started(PER_ASKER, names)
        assert await hosts(resolver, "live", "visitor") == LIVE
        assert sum(names.asked.values()) == PER_ASKER + 1
        await left(tasks)

    run(story)


@needs.linux()
def test_what_hangs_gives_its_place_to_others_and_threads_stay_bounded(names: Names) -> None:
    async def story() -> None:
        resolver = names.resolver(quick=4, hanging=8, slow=1.0)
        tasks = [asking(resolver, f"dead{number}", f"asker{number}") for number in range(8)]
        await started(8, names)
        assert await hosts(resolver, "live") == LIVE
        tasks += [asking(resolver, f"dead{number}", f"asker{number}") for number in range(8, 100)]
        await started(13, names)
        await asyncio.sleep(100)
        assert names.most <= 12
        await left(tasks)

    clock.run(story)


def test_names_that_were_slow_before_take_no_place_from_others_when_all_of_theirs_are_taken(names: Names) -> None:
    async def story() -> None:
        resolver = names.resolver(quick=4, hanging=4, slow=0.01)
        tasks = [asking(resolver, f"dead{number}") for number in range(8)]
        await started(8, names)
        while len(resolver._slow) < 8:
            await asyncio.sleep(0.001)
        names.let_go()
        assert len(await asyncio.gather(*tasks, return_exceptions=True)) == 8
        for event in names.hanging.values():
            event.clear()
        names.asked.clear()
        tasks = [asking(resolver, f"dead{number}") for number in range(8)]
        await started(4, names)
        for _ in range(20):
            assert await hosts(resolver, "live") == LIVE
        await left(tasks)

    run(story)


def test_who_waits_for_a_place_and_leaves_is_forgotten(names: Names) -> None:
    async def story() -> None:
        resolver = names.resolver(quick=1, slow=60.0)
        first = asking(resolver, "dead0")
        await started(1, names)
        await left([asking(resolver, "other")])
        names.let_go()
        with pytest.raises(socket.gaierror):
            await first
        assert await hosts(resolver, "live") == LIVE
        assert names.asked["other"] == 0

    run(story)


def test_nothing_is_looked_up_for_addresses_and_localhost(names: Names) -> None:
    async def story() -> None:
        resolver = names.resolver()
        assert await hosts(resolver, "10.1.2.3") == ["10.1.2.3"]
        assert await hosts(resolver, "fe80::1%lo") == ["fe80::1%lo"]
        assert await hosts(resolver, "localhost") == ["127.0.0.1", "::1"]
        assert not names.asked

    run(story)


def test_families_take_turns_and_no_name_has_more_addresses_than_are_tried(names: Names) -> None:
    names.known["both"] = ["fd00::1", "fd00::2", "fd00::3", "10.0.0.1", "10.0.0.2"]
    names.known["many"] = [f"10.0.0.{number}" for number in range(200)]

    async def story() -> None:
        resolver = names.resolver()
        assert await hosts(resolver, "both") == ["fd00::1", "10.0.0.1", "fd00::2", "10.0.0.2", "fd00::3"]
        assert len(await hosts(resolver, "many")) == 16

    run(story)


def test_a_text_that_can_be_no_name_is_not_known() -> None:
    async def story() -> None:
        with pytest.raises(socket.gaierror):
            await hosts(Resolver(), "a" * 64 + ".invalid")

    run(story)
