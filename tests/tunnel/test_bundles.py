"""Over a long way downloads get further sessions while that brings more; over a short one never.

How long the way is, is made up here: a host on this machine is as near as can be.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import pytest

from hardline.errors import ConnectionLost
from hardline.routes import PathKind
from hardline.session.session import SessionLimits
from hardline.tasks import TaskSet
from hardline.tunnel import bundle, bundles
from hardline.tunnel.link import SPARE_WARM
from hardline.tunnel.visit import Visit
from hardline.tunnel.visitor import VisitorLimits
from tests.support.clock import run
from tests.tunnel.pair import Pair, eventually, pair

CALM = VisitorLimits(SessionLimits())
TICK = 0.05  # seconds
PIECE = 2048  # bytes in a tick


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "LONG", -1.0)
    monkeypatch.setattr(bundles, "MUCH", PIECE)
    monkeypatch.setattr(bundle, "ENOUGH", PIECE)
    monkeypatch.setattr(bundles, "_trip", lambda path: 0.1)


class Service:
    """Sends a PIECE in every TICK: on each connection, or on one after the other where the way `is_full`."""

    def __init__(self) -> None:
        self.is_full = False
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            with contextlib.suppress(ConnectionError):
                while True:
                    share = len(self._writers) if self.is_full else 1
                    writer.write(bytes(4 * PIECE // share if self.is_full else PIECE))
                    await writer.drain()
                    await asyncio.sleep(TICK)
        finally:
            self._writers.remove(writer)
            writer.close()


class Downloads:
    """What reads all that comes."""

    def __init__(self, both: Pair) -> None:
        self._both, self._tasks = both, TaskSet("downloads")

    async def add(self, count: int = 1) -> None:
        for _ in range(count):
            visit = await self._both.visitor.visit(self._both.service.label, b"x")
            self._tasks.start(self._read(visit), "read", expects=ConnectionLost)

    async def _read(self, visit: Visit) -> None:
        try:
            await visit.answered()
            while await visit.pipe.receive():
                pass
        finally:
            await visit.pipe.aclose()

    async def stop(self) -> None:
        await self._tasks.aclose()


def streams(both: Pair) -> list[int]:
    return [path.session.open_streams for path in both.visitor.paths]


def test_downloads_get_further_sessions_which_end_when_they_are_idle(tmp_path, long):
    async def story():
        async with pair(tmp_path, Service().serve, CALM) as both:
            downloads = Downloads(both)
            await downloads.add(2)
            for count in (2, 3, 4):
                await eventually(lambda count=count: len(both.visitor.paths) == count, f"{count} sessions")
                await eventually(lambda: all(path.session.greeted for path in both.visitor.paths), "all said hello")
                await downloads.add(3)
            assert [path.spare for path in both.visitor.paths] == [False, True, True, True]
            await asyncio.sleep(20)
            assert len(both.visitor.paths) == 4, "that many and no more"
            assert len({path.instance for path in both.visitor.paths}) == 1
            assert sum(streams(both)) == 11
            assert max(streams(both)) - min(streams(both)) <= 1, "each new stream took the least busy one"
            await downloads.stop()
            await asyncio.sleep(SPARE_WARM + 1)
            assert [path.spare for path in both.visitor.paths] == [False]
            assert len(both.host.guests) == 1

    run(story)


@pytest.mark.full
def test_where_the_way_is_full_the_trial_ends_and_nothing_is_cut(tmp_path, long):
    async def story():
        service = Service()
        service.is_full = True
        async with pair(tmp_path, service.serve, CALM) as both:
            downloads = Downloads(both)
            await downloads.add(2)
            await eventually(lambda: len(both.visitor.paths) == 2, "a second one")
            await eventually(lambda: both.visitor.paths[1].session.greeted, "it said hello")
            await downloads.add(2)
            trial = both.visitor.paths[1]
            assert trial.session.open_streams
            await eventually(lambda: trial.session.draining, "it takes no more")
            open_there = trial.session.open_streams
            await downloads.add(2)
            assert trial.session.open_streams == open_there
            await asyncio.sleep(60)
            assert trial.session.open_streams == open_there
            assert len(both.visitor.paths) == 2
            await downloads.stop()

    run(story)


@pytest.mark.parametrize("limits", [CALM, VisitorLimits(SessionLimits(), bundle=1)])
def test_a_near_host_has_one_session_however_much_moves(tmp_path, limits):
    async def story():
        async with pair(tmp_path, Service().serve, limits) as both:
            downloads = Downloads(both)
            await downloads.add(8)
            await asyncio.sleep(20)
            await downloads.add(2)
            await asyncio.sleep(20)
            assert streams(both) == [10]
            await downloads.stop()

    run(story)


def test_a_far_host_has_one_session_where_that_is_set(tmp_path, long):
    async def story():
        async with pair(tmp_path, Service().serve, VisitorLimits(SessionLimits(), bundle=1)) as both:
            downloads = Downloads(both)
            await downloads.add(8)
            await asyncio.sleep(20)
            assert streams(both) == [8]
            await downloads.stop()

    run(story)


def test_a_punched_path_has_one_session(tmp_path, long):
    async def story():
        async with pair(tmp_path, Service().serve, CALM) as both:
            downloads = Downloads(both)
            await downloads.add(1)
            [path] = both.visitor.paths
            candidate = replace(path.route.candidate, kind=PathKind.PUNCHED)
            path.route = replace(path.route, candidate=candidate)
            await downloads.add(7)
            await asyncio.sleep(20)
            assert streams(both) == [8]
            await downloads.stop()

    run(story)


def test_a_spare_session_is_not_taken_for_another_host(tmp_path, long):
    async def story():
        async with pair(tmp_path, Service().serve, CALM) as both:
            downloads = Downloads(both)
            await downloads.add(2)
            await eventually(lambda: len(both.visitor.paths) == 2, "a second one")
            await asyncio.sleep(SPARE_WARM - 5)
            await downloads.add(2)
            assert streams(both) == [2, 2]
            assert len(both.memory.worked_calls) == 1
            await downloads.stop()

    run(story)
