"""Several hosts with one certificate: who visits has a session with each, and nobody pays where there is only one."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from hardline.errors import ConnectionLost
from hardline.identity import KeyHash
from hardline.routes import Attempt, Candidate, Code, Endpoint, FoundBy, PathKind, Trust
from hardline.session.session import SessionLimits
from hardline.transport.listener import Listener
from hardline.tunnel.attempts import Attempts, Route
from hardline.tunnel.host import Host, HostLimits
from hardline.tunnel.visitor import VisitorLimits
from tests.support.clock import run, settled, since
from tests.tunnel.pair import Pair, echo, eventually, pair
from tests.tunnel.test_link import begun

CALM = VisitorLimits(SessionLimits())


@pytest.fixture(autouse=True)
def _loopback_is_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardline.tunnel.attempts.refusal", lambda candidate, way_to: None)


@pytest.fixture
def dials(monkeypatch: pytest.MonkeyPatch) -> list[Endpoint]:
    """Everything that was dialled."""
    made, make = [], Attempts.make

    async def noted(self: Attempts, target: KeyHash, candidate: Candidate, delay: float) -> Attempt | Route:
        made.append(candidate.endpoint)
        return await make(self, target, candidate, delay)

    monkeypatch.setattr(Attempts, "make", noted)
    return made


class Another:
    """One more host with the same certificate."""

    def __init__(self, both: Pair, name: str) -> None:
        self._both, self.name = both, name
        self.arrived = 0

    async def start(self, port: int = 0) -> None:
        self.host = Host(HostLimits(SessionLimits()), clock=time.time, instance=self.name * 32)
        self.host.replace([self._both.service])

        def accepted(*arguments: object) -> None:
            self.arrived += 1
            self.host.accepted(*arguments)  # type: ignore[arg-type]

        self._listener = await Listener.open(["127.0.0.1"], port, accepted, what="p2pport")
        self.endpoint = Endpoint("127.0.0.1", self._listener.port)

    async def stop(self) -> None:
        await self._listener.aclose()
        await self.host.aclose()


@contextlib.asynccontextmanager
async def pool(directory: Path, count: int, limits: VisitorLimits = CALM) -> AsyncIterator[tuple[Pair, list[Another]]]:
    """A pair, and `count` more hosts; all are found, the pair's own first."""
    async with pair(directory, echo, limits) as both:
        others = [Another(both, "bcdefg"[number]) for number in range(count)]
        for one in others:
            await one.start()
            both.finding.endpoints.append(one.endpoint)
        try:
            yield both, others
        finally:
            for one in others:
                await one.stop()


async def get(both: Pair) -> Endpoint:
    """One request, whole; returns which endpoint had it."""
    before = {path: path.turn for path in both.visitor.paths}
    visit = await both.visitor.visit(both.service.label, b"x")
    await visit.answered()
    [taken] = [path for path in both.visitor.paths if path.turn != before.get(path, 0)]
    await visit.pipe.aclose()
    return taken.route.candidate.endpoint


async def sessions(both: Pair, count: int) -> None:
    await eventually(lambda: len(both.visitor.paths) == count, f"{count} sessions")
    await eventually(lambda: all(path.session.greeted for path in both.visitor.paths), "all said hello")


def test_a_session_with_each_host_and_requests_in_turns(tmp_path):
    async def story():
        async with pool(tmp_path, 2) as (both, _):
            began = asyncio.get_running_loop().time()
            await get(both)
            await sessions(both, 3)
            assert since(began) < 2
            assert len({path.instance for path in both.visitor.paths}) == 3
            had = Counter([await get(both) for _ in range(300)])
            assert set(had.values()) == {100}

    run(story)


def test_new_streams_go_to_who_has_least_to_do(tmp_path):
    async def story():
        async with pool(tmp_path, 2) as (both, _):
            visits = [await both.visitor.visit(both.service.label, b"x") for _ in range(4)]
            await sessions(both, 3)
            visits += [await both.visitor.visit(both.service.label, b"x") for _ in range(2)]
            assert [path.session.open_streams for path in both.visitor.paths] == [4, 1, 1]

    run(story)


def test_one_that_dies_is_left_out_at_once_and_used_again_when_it_is_back(tmp_path):
    async def story():
        async with pool(tmp_path, 2) as (both, (one, _)):
            await get(both)
            await sessions(both, 3)
            await one.stop()
            await sessions(both, 2)
            assert one.endpoint not in {await get(both) for _ in range(10)}
            await asyncio.sleep(90)
            await get(both)
            await one.start(one.endpoint.port)
            for _ in range(6):
                await asyncio.sleep(10)
                await get(both)
            await sessions(both, 3)
            assert one.endpoint in {await get(both) for _ in range(3)}

    run(story)


def test_one_that_freezes_gets_no_new_streams_after_a_second_and_is_given_up(tmp_path):
    async def story():
        async with pool(tmp_path, 2) as (both, _):
            await get(both)
            await sessions(both, 3)
            frozen = both.visitor.paths[1]
            frozen.session.tls.hold()  # nothing of it is heard any more
            while True:
                visit = await both.visitor.visit(both.service.label, b"x")
                if frozen.session.open_streams:
                    break
                await visit.pipe.aclose()
            began = asyncio.get_running_loop().time()
            await asyncio.sleep(1.01)
            here = [await get(both) for _ in range(20)]
            assert frozen.route.candidate.endpoint not in here
            await frozen.session.closed
            assert since(began) <= 5
            with pytest.raises(ConnectionLost):
                await visit.answered()

    run(story)


def test_a_single_host_is_searched_beside_once_and_never_dialled(tmp_path, dials):
    async def story():
        async with pool(tmp_path, 0) as (both, _):
            await get(both)
            before = both.finding.searches
            await asyncio.sleep(3)
            assert both.finding.searches == before + 1
            for _ in range(40):
                await get(both)
                await asyncio.sleep(20)
            assert both.finding.searches == before + 1
            assert len(dials) == 1, "no second session"
            both.visitor.network_changed({"127.0.0.1"})
            await asyncio.sleep(3)
            assert both.finding.searches == before + 2, "elsewhere others may be found"

    run(story)


def test_a_second_way_to_the_same_host_is_dialled_once_and_not_kept(tmp_path, dials):
    async def story():
        async with pool(tmp_path, 0) as (both, _), both.also_at("127.0.0.2") as there:
            both.finding.endpoints.append(there)
            await get(both)
            await asyncio.sleep(5)
            await settled()
            assert len(both.visitor.paths) == 1
            assert len(dials) == 2
            for _ in range(30):
                await asyncio.sleep(20)
                await get(both)
            assert len(dials) == 2
            assert len(both.host.guests) == 1
            assert len(both.memory.worked_calls) == 1, "what worked first is what is remembered"

    run(story)


def test_no_more_than_four_hosts(tmp_path):
    async def story():
        async with pool(tmp_path, 5) as (both, others):
            await get(both)
            await sessions(both, 4)
            for _ in range(20):
                await asyncio.sleep(20)
                await get(both)
            assert len(both.visitor.paths) == 4
            assert sum(one.arrived for one in others) == 3

    run(story)


def test_no_session_of_others_is_given_up_for_a_further_host(tmp_path):
    async def story():
        async with pool(tmp_path, 2, VisitorLimits(SessionLimits(), sessions=2)) as (both, _):
            await get(both)
            await asyncio.sleep(60)
            await get(both)
            assert len(both.visitor.paths) == 2

    run(story)


def test_a_host_of_a_worse_kind_is_held_and_takes_over(tmp_path):
    async def story():
        async with pool(tmp_path, 1) as (both, (far,)):
            del both.finding.endpoints[1]
            by = FoundBy("other", Trust.SIGNED)
            both.finding.also = [Candidate(far.endpoint, PathKind.DIRECT, by, Code(), "somebody else")]
            near = await get(both)
            await sessions(both, 2)
            assert {await get(both) for _ in range(10)} == {near}
            await both.stop_host()
            await sessions(both, 1)
            assert await get(both) == far.endpoint
            await both.start_host()

    run(story)


def test_a_host_by_a_relay_takes_over_and_a_better_way_is_looked_for(tmp_path):
    async def story():
        async with pool(tmp_path, 1) as (both, (far,)):
            del both.finding.endpoints[1]
            by = FoundBy("other", Trust.SIGNED)
            both.finding.also = [Candidate(far.endpoint, PathKind.RELAYED, by, Code(), "somebody else")]
            await get(both)
            await sessions(both, 2)
            assert both.visitor.next_look(both.service.label) is None
            await both.stop_host()
            await sessions(both, 1)
            assert await get(both) == far.endpoint
            assert both.visitor.next_look(both.service.label) is not None
            await both.start_host()

    run(story)


def test_a_host_that_wants_another_password_is_asked_once(tmp_path, dials):
    async def story():
        async with pool(tmp_path, 2) as (both, (one, _)):
            settings = replace(both.service.settings, password="another")
            one.host.replace([replace(both.service, settings=settings)])
            await get(both)
            await sessions(both, 2)
            for _ in range(20):
                await asyncio.sleep(20)
                await get(both)
            assert dials.count(one.endpoint) == 1

    run(story)


def test_a_relay_that_shares_out_is_asked_until_it_brings_nobody_new(tmp_path):
    async def story():
        async with pool(tmp_path, 2) as (both, others):
            hosts, dialled = [both.host, *(one.host for one in others)], 0

            def accepted(*arguments: object) -> None:
                nonlocal dialled
                dialled += 1
                hosts[dialled % 3].accepted(*arguments)  # type: ignore[arg-type]

            listener = await Listener.open(["127.0.0.1"], 0, accepted, what="p2pport")
            relay = Endpoint("127.0.0.1", listener.port)
            both.finding.endpoints = []
            both.finding.also = [Candidate(relay, PathKind.RELAYED, FoundBy("relay", Trust.WORKED))]
            await get(both)
            await sessions(both, 3)
            await asyncio.sleep(3)
            assert dialled == 4
            assert len(both.visitor.paths) == 3
            await listener.aclose()

    run(story)


def test_nobody_looks_for_others_where_nobody_is_visited_any_more(tmp_path):
    def looking() -> int:
        return sum("visitor.pool" in task.get_name() for task in asyncio.all_tasks())

    async def story():
        async with pair(tmp_path, echo) as both:
            for drained in (True, False):
                visit = await begun(both)
                await asyncio.sleep(30)
                assert looking() == 1
                visit.pipe.abort()
                for path in both.visitor.paths:
                    if drained:
                        path.session.go_away()
                    else:
                        path.session.abort(ConnectionLost("gone"))
                await eventually(lambda: not both.visitor.paths, "the session is over")
                await settled()
                assert not looking()

    run(story)


def test_a_session_that_ends_while_others_are_looked_for_is_not_looked_for_a_pool_of(tmp_path, dials, monkeypatch):
    """Nobody visits any more: what is found then is nobody's further host."""

    async def story():
        async with pool(tmp_path, 1) as (both, _):
            real = both.visitor._dialer.candidates

            async def late(target, within):
                found = await real(target, within)
                for path in both.visitor.paths:
                    await path.session.aclose(ConnectionLost("not used for a while"))
                await eventually(lambda: not both.visitor.paths, "the session is over")
                return found

            monkeypatch.setattr(both.visitor._dialer, "candidates", late)
            await get(both)
            before = len(dials)
            await asyncio.sleep(10)
            assert len(dials) == before
            assert not both.visitor.paths

    run(story)
