"""What is offered now, and what changed: for everybody who follows it, nothing is missed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from hardline import certificates
from hardline.errors import ConfigError
from hardline.node.offering import Change, Offering
from hardline.settings.directory import Service, ServiceDirectory
from hardline.settings.local import LocalService
from hardline.settings.service import ServiceSettings
from hardline.tunnel.local import LocalSite

SITE = cast(LocalSite, object())


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(30):
            await story()

    asyncio.run(whole())


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> list[Service]:
    place = tmp_path_factory.mktemp("certificates")
    settings = ServiceSettings(LocalService("tcp", "127.0.0.1", 80), "Test")
    return [
        Service(name, settings, certificates.load_or_create(place / f"{name}.cert"), place / f"{name}.ini")
        for name in ("a", "b", "c")
    ]


class Directory:
    """A directory whose services a test sets."""

    def __init__(self, *services: Service) -> None:
        self.problems: dict[str, object] = {}
        self._changed: Callable[[], Awaitable[None]] | None = None
        self.services = {service.name: service for service in services}
        self.version = 0

    async def watch(self, changed: Callable[[], Awaitable[None]]) -> None:
        self._changed = changed
        await asyncio.Event().wait()

    async def set(self, services: Iterable[Service]) -> None:
        self.services = {service.name: service for service in services}
        self.version += 1
        while self._changed is None:
            await asyncio.sleep(0)
        await self._changed()


def offering(directory: Directory) -> Offering:
    return Offering(cast(ServiceDirectory, directory))


def test_a_follower_gets_what_is_there_and_then_every_change(services):
    a, b, c = services

    async def story():
        directory = Directory(a, b)
        offered = offering(directory)
        running = asyncio.get_running_loop().create_task(offered.run())
        async with aclosing(offered.watch()) as changes:
            assert await anext(changes) == Change(added=(a, b))
            renamed = replace(b, settings=replace(b.settings, title="another"))
            await directory.set([renamed, c])
            assert await anext(changes) == Change(added=(c,), changed=(renamed,), removed=(a,))
            assert offered.current == (renamed, c)
        running.cancel()

    run(story)


def test_changes_that_come_while_a_follower_is_busy_are_one_and_the_others_do_not_wait(services):
    a, b, c = services

    async def story():
        directory = Directory(a)
        offered = offering(directory)
        running = asyncio.get_running_loop().create_task(offered.run())
        async with aclosing(offered.watch()) as slow, aclosing(offered.watch()) as quick:
            assert await anext(slow) == await anext(quick) == Change(added=(a,))
            for now, change in [([a, b], Change(added=(b,))), ([b, c], Change(added=(c,), removed=(a,)))]:
                await directory.set(now)
                assert await anext(quick) == change
            assert await anext(slow) == Change(added=(b, c), removed=(a,))
        running.cancel()

    run(story)


def test_where_only_what_is_wrong_is_another_followers_hear_of_it(services):
    async def story():
        directory = Directory(services[0])
        offered = offering(directory)
        running = asyncio.get_running_loop().create_task(offered.run())
        async with aclosing(offered.watch()) as changes:
            await anext(changes)
            directory.problems = {"x": object()}
            await directory.set([services[0]])
            assert await anext(changes) == Change()
        running.cancel()

    run(story)


def test_a_service_that_nobody_may_visit_is_known_and_not_offered(services):
    a, b, _ = services
    closed = replace(a, settings=replace(a.settings, access=replace(a.settings.access, clients="anna")))
    assert closed.settings.closed
    offered = offering(Directory(closed, b))
    assert offered.current == (b,)
    assert set(offered.known) == {"a", "b"}


def test_a_service_without_a_file_is_offered_beside_the_others(services):
    a, b, c = services
    ours = replace(b, file=None)

    async def story():
        offered = offering(Directory(a))
        async with aclosing(offered.watch()) as changes:
            await anext(changes)
            offered.share(ours, SITE)
            assert await anext(changes) == Change(added=(ours,))
            assert offered.site(ours.key_hash) is SITE
            assert offered.site(a.key_hash) is None
            for taken in (replace(c, name="a"), replace(c, name="b"), replace(a, name="d"), replace(b, name="d")):
                with pytest.raises(ConfigError):
                    offered.share(taken, SITE)
            offered.withdraw(ours.key_hash)
            assert await anext(changes) == Change(removed=(ours,))
            assert offered.site(ours.key_hash) is None

    run(story)


def test_a_file_that_comes_later_comes_before_what_has_none(services):
    a, b, _ = services

    async def story():
        directory = Directory()
        offered = offering(directory)
        running = asyncio.get_running_loop().create_task(offered.run())
        offered.share(replace(a, file=None), SITE)
        await directory.set([a])
        assert offered.current == (a,)
        await directory.set([replace(a, name="z"), replace(b, name="a")])
        assert {service.name for service in offered.current} == {"a", "z"}
        running.cancel()

    run(story)


def test_who_follows_no_more_costs_nothing(tmp_path: Path, services):
    async def story():
        offered = offering(Directory(*services))
        async with aclosing(offered.watch()) as changes:
            await anext(changes)
            assert len(offered._followers) == 1
        assert not offered._followers

    run(story)
