"""When routers are looked for: what is told leads to a search where it counts, and nothing else before its time."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from hardline.tasks import TaskSet
from hardline.upnp import mappings as module
from hardline.upnp.attached import Attached, Own
from hardline.upnp.mappings import Mappings
from tests.support import clock

HOME = Attached(own_4=(Own("eth0", "192.0.2.7", ipaddress.IPv4Network("192.0.2.0/24")),))


class Here:
    """Where the computer is attached, and how often it was looked at and routers were searched for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.looks, self.searches = Attached(), 0, 0

        def attached(bind: object) -> Attached:
            self.looks += 1
            return self.now

        async def search(_: Mappings) -> None:
            self.searches += 1

        async def opened(*_: object) -> None:
            pass

        monkeypatch.setattr(module, "attached", attached)
        monkeypatch.setattr(module, "SEARCH_REST", 0.0)
        monkeypatch.setattr(Mappings, "_search", search)
        monkeypatch.setattr(module.Announcements, "open", opened)


@asynccontextmanager
async def running() -> AsyncIterator[Mappings]:
    mappings, tasks = Mappings(lambda: 7008, owner="me", lease=60.0, changed=lambda: None), TaskSet("test")
    tasks.start(mappings.run(), "run")
    await clock.settled()
    try:
        yield mappings
    finally:
        await tasks.aclose()
        await mappings.aclose()


def test_a_change_that_counts_leads_to_a_search_and_no_other(monkeypatch) -> None:
    async def story() -> None:
        here = Here(monkeypatch)
        async with running() as mappings:
            assert (here.looks, here.searches) == (1, 1)
            mappings.follow()
            await clock.settled()
            assert (here.looks, here.searches) == (2, 1), "a container came, or a route that leads nowhere"
            here.now = HOME
            mappings.follow()
            await clock.settled()
            assert (here.looks, here.searches) == (4, 2)
            assert mappings._attached == HOME

    clock.run(story)


def test_where_nothing_is_told_nothing_is_looked_at(monkeypatch) -> None:
    async def story() -> None:
        here = Here(monkeypatch)
        async with running():
            here.now = HOME
            await asyncio.sleep(30)
            assert (here.looks, here.searches) == (1, 1)

    clock.run(story)


def test_a_search_is_repeated_in_its_time(monkeypatch) -> None:
    async def story() -> None:
        here = Here(monkeypatch)
        monkeypatch.setattr(module, "SEARCH_AGAIN", (0.05,))
        async with running():
            async with asyncio.timeout(100):
                while here.searches < 3:
                    await asyncio.sleep(0.01)

    clock.run(story)
