"""A visit by a relay becomes a direct one by itself, and what is open stays where it is; a path that flaps rests.

The relay is the host itself at another address: what is looked at here is which path the visitor takes, and when.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from hardline.errors import ConnectionLost
from hardline.routes import Candidate, Endpoint, FoundBy, PathKind, Trust
from hardline.tunnel import pool, upgrade
from hardline.tunnel.link import Path
from tests.support.clock import run, since
from tests.tunnel.pair import Pair, echo, eventually, pair
from tests.tunnel.test_link import begun, echoed

BY_RELAY, DIRECT = FoundBy("test", Trust.SIGNED), FoundBy("other", Trust.SIGNED)


@pytest.fixture(autouse=True)
def _loopback_is_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardline.tunnel.attempts.refusal", lambda candidate, way_to: None)


@pytest.fixture(autouse=True)
def _nobody_looks_for_other_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "SOON", (1e6,))


def relayed(both: Pair) -> None:
    """Only a relay leads to the host."""
    [endpoint] = both.finding.endpoints
    both.finding.endpoints, both.finding.also = [], [Candidate(endpoint, PathKind.RELAYED, BY_RELAY)]


def also_directly(both: Pair, endpoint: Endpoint) -> None:
    both.finding.also.append(Candidate(endpoint, PathKind.DIRECT, DIRECT))


def kinds(both: Pair) -> list[PathKind]:
    return [path.route.candidate.kind for path in both.visitor.paths]


async def best(both: Pair, kind: PathKind) -> Path:
    """Wait until new streams go by that kind of path."""

    def found() -> bool:
        path = both.visitor._best(both.service.label)
        return path is not None and path.route.candidate.kind is kind

    await eventually(found, f"new streams go {kind.name}")
    path = both.visitor._best(both.service.label)
    assert path is not None
    return path


def test_a_direct_path_takes_new_streams_a_second_later_and_the_old_ones_stay(tmp_path):
    async def story():
        async with pair(tmp_path, echo) as both, both.also_at("127.0.0.2") as there:
            relayed(both)
            began = asyncio.get_running_loop().time()
            old = await begun(both)
            assert kinds(both) == [PathKind.RELAYED]
            assert both.visitor.next_look(both.service.label) is not None
            also_directly(both, there)
            await best(both, PathKind.DIRECT)
            assert 1.0 <= since(began) < 1.5
            assert kinds(both) == [PathKind.RELAYED, PathKind.DIRECT]
            await echoed(old, b"still here")
            new = await begun(both)
            assert new.reused
            old.pipe.abort()
            await eventually(lambda: kinds(both) == [PathKind.DIRECT], "the relayed one ended with its last stream")
            await echoed(new, b"here, too")
            assert both.visitor.next_look(both.service.label) is None

    run(story)


def test_it_is_looked_for_less_and_less_often_and_only_while_it_is_used(tmp_path):
    async def story():
        async with pair(tmp_path, echo) as both:
            relayed(both)
            visit, before = await begun(both), both.finding.searches
            for seconds, searches in ((1.1, 1), (5, 2), (15, 3), (60, 4), (60, 5)):
                await asyncio.sleep(seconds)
                assert both.finding.searches - before == searches
            visit.pipe.abort()
            await asyncio.sleep(240)
            assert both.finding.searches - before <= 7, "nobody uses it"

    run(story)


def test_a_change_of_network_is_a_reason_to_look_at_once(tmp_path):
    async def story():
        async with pair(tmp_path, echo) as both, both.also_at("127.0.0.2") as there:
            relayed(both)
            await begun(both)
            await asyncio.sleep(30)
            also_directly(both, there)
            assert kinds(both) == [PathKind.RELAYED]
            began = asyncio.get_running_loop().time()
            both.visitor.network_changed({"127.0.0.1"})
            await best(both, PathKind.DIRECT)
            assert since(began) < 1.5

    run(story)


@pytest.mark.full
def test_a_path_that_is_much_slower_than_the_relay_is_no_better_one(tmp_path, monkeypatch):
    monkeypatch.setattr(upgrade, "_trip", lambda path: {PathKind.RELAYED: 0.1}.get(path.route.candidate.kind, 0.24))

    async def story():
        async with pair(tmp_path, echo) as both, both.also_at("127.0.0.2") as there:
            relayed(both)
            visit = await begun(both)
            also_directly(both, there)
            await asyncio.sleep(30)
            assert set(kinds(both)) == {PathKind.RELAYED}
            await echoed(visit, b"still here")
            monkeypatch.setattr(upgrade, "_trip", lambda path: 0.1)
            await best(both, PathKind.DIRECT)

    run(story)


async def two_ways(both: Pair, there: Endpoint, times: int) -> AsyncIterator[Path]:
    """So many visits that begin by the relay; each is yielded with its direct path, and gone when the next begins."""
    relayed(both)
    by_relay = list(both.finding.also)
    also_directly(both, there)
    either = list(both.finding.also)
    for _ in range(times):
        both.finding.also = by_relay
        await begun(both)
        both.finding.also = either
        direct = await best(both, PathKind.DIRECT)
        yield direct
        await eventually(lambda path=direct: path not in both.visitor.paths, "it is gone")
    both.finding.also = by_relay


def test_a_direct_path_that_nobody_used_any_more_is_no_reason_to_rest(tmp_path):
    async def story():
        async with pair(tmp_path, echo) as both, both.also_at("127.0.0.2") as there:
            async for direct in two_ways(both, there, 4):
                await direct.session.aclose(ConnectionLost("not used for a while"))
                await asyncio.gather(*(path.session.aclose() for path in both.visitor.paths))

    run(story)


def test_a_direct_path_that_breaks_twice_at_once_rests_and_a_change_of_network_ends_that(tmp_path):
    async def story():
        async with pair(tmp_path, echo) as both, both.also_at("127.0.0.2") as there:
            async for direct in two_ways(both, there, 2):
                await asyncio.sleep(10)
                direct.session.abort(ConnectionLost("a router forgot it"))
            await begun(both)
            also_directly(both, there)
            await asyncio.sleep(50)
            await begun(both)
            await asyncio.sleep(50)
            assert set(kinds(both)) == {PathKind.RELAYED}
            both.visitor.network_changed({"127.0.0.1"})
            await best(both, PathKind.DIRECT)

    run(story)
