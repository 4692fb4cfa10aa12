"""Many finders as one: nobody hides the others, and nothing runs on after the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import pytest

from hardline.discovery import merged
from hardline.discovery.merged import MAX_QUEUED, MergedFinder, MergedSearch
from hardline.identity import KeyHash
from hardline.routes import Candidate, Code, Endpoint, FoundBy, PathKind, Plain, Trust

pytestmark = pytest.mark.pure

TARGET = KeyHash.parse("a946e7a560289417a2711f5b9686624852dd469b")


def candidate(port: int, name: str = "scripted", **more: object) -> Candidate:
    return Candidate(Endpoint("192.0.2.1", port), PathKind.LAN, FoundBy(name, Trust.HEARD), **more)  # type: ignore[arg-type]


class Scripted:
    """A finder that does what it is told: yields candidates, waits for events, fails with exceptions."""

    def __init__(self, name: str, *script: Candidate | asyncio.Event | Exception) -> None:
        self.name, self._script = name, script
        self.started = 0
        self.ended = 0

    async def find(self, target: KeyHash) -> AsyncIterator[Candidate]:
        assert target == TARGET
        self.started += 1
        try:
            for step in self._script:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, asyncio.Event):
                    await step.wait()
                else:
                    yield step
        finally:
            for _ in range(5):  # what a finder closes may take its turns of the loop
                await asyncio.sleep(0)
            self.ended += 1


class Bare:
    """A finder whose iterator is no generator: it cannot be closed."""

    name = "bare"

    def find(self, target: KeyHash) -> AsyncIterator[Candidate]:
        return self

    def __init__(self, *found: Candidate) -> None:
        self._left: Iterator[Candidate] = iter(found)

    def __aiter__(self) -> AsyncIterator[Candidate]:
        return self

    async def __anext__(self) -> Candidate:
        for found in self._left:
            return found
        raise StopAsyncIteration


def search_of(*finders: Scripted | Bare) -> MergedSearch:
    return MergedFinder(finders).search(TARGET)


async def ports(search: MergedSearch) -> list[int]:
    return [found.endpoint.port async for found in search.candidates()]


def nothing_runs() -> bool:
    return asyncio.all_tasks() == {asyncio.current_task()}


def test_candidates_come_in_order_of_arrival():
    async def story():
        slow, later = asyncio.Event(), asyncio.Event()
        search = search_of(Scripted("a", slow, candidate(1), later, candidate(3)), Scripted("b", candidate(2), later))
        found = []
        async for one in search.candidates():
            found.append(one.endpoint.port)
            (slow if found == [2] else later).set()
        assert found == [2, 1, 3]
        assert nothing_runs()

    asyncio.run(story())


def test_a_candidate_that_two_finders_know_comes_once_and_first_come_wins():
    async def story():
        after = asyncio.Event()
        search = search_of(Scripted("late", after, candidate(1, "late")), Scripted("early", candidate(1, "early")))
        found = []
        async for one in search.candidates():
            found.append(one)
            after.set()
        assert found == [candidate(1, "early")]
        assert search.reasons == ["early: 1 found", "late: 1 found"]

    asyncio.run(story())


def test_candidates_that_would_be_dialled_in_another_way_are_kept():
    async def story():
        different = [candidate(1), candidate(1, server_name=Plain()), candidate(1, server_name=Code(7))]
        assert [one async for one in search_of(Scripted("a", *different)).candidates()] == different

    asyncio.run(story())


def test_a_finder_that_fails_does_not_hide_the_others_and_is_told():
    async def story():
        after = asyncio.Event()
        failing = Scripted("broken", candidate(1), OSError("no such network"))
        search = search_of(failing, Scripted("fine", after, candidate(2)))
        found = []
        async for one in search.candidates():
            found.append(one.endpoint.port)
            after.set()
        assert found == [1, 2]
        assert search.reasons == ["broken: failed (OSError)", "fine: 1 found"]

    asyncio.run(story())


def test_a_finder_that_fails_before_its_first_step_is_told_too():
    class Refusing(Scripted):
        def find(self, target):
            raise RuntimeError("not today")

    async def story():
        search = search_of(Refusing("refusing"), Scripted("fine", candidate(2)))
        assert await ports(search) == [2]
        assert search.reasons == ["refusing: failed (RuntimeError)", "fine: 1 found"]

    asyncio.run(story())


def test_a_finder_that_dawdles_does_not_hide_the_others():
    async def story():
        search = search_of(Scripted("stuck", asyncio.Event()), Scripted("fine", candidate(2)))
        async with asyncio.timeout(100), aclosing(search.candidates()) as candidates:
            assert (await anext(candidates)).endpoint.port == 2
        assert nothing_runs()

    asyncio.run(story())


def test_closing_stops_every_finder():
    async def story():
        finders = [Scripted("waits", candidate(1), asyncio.Event()), Scripted("stuck", asyncio.Event())]
        async with aclosing(search_of(*finders).candidates()) as candidates:
            await anext(candidates)
            assert not nothing_runs()
        assert nothing_runs()
        assert [(finder.started, finder.ended) for finder in finders] == [(1, 1), (1, 1)]

    asyncio.run(story())


def test_closing_stops_a_finder_that_waits_for_room():
    async def story():
        finder = Scripted("flood", *map(candidate, range(1, 3 * MAX_QUEUED)))
        async with aclosing(search_of(finder).candidates()) as candidates:
            await anext(candidates)
            assert not finder.ended
        assert finder.ended
        assert nothing_runs()

    asyncio.run(story())


def test_cancelling_whoever_asks_stops_every_finder():
    async def story():
        finder = Scripted("stuck", asyncio.Event())
        asking = asyncio.get_running_loop().create_task(ports(search_of(finder)))
        while not finder.started:
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
        assert finder.ended
        assert nothing_runs()

    asyncio.run(story())


def test_a_flood_of_candidates_waits_for_room_and_nothing_is_lost():
    async def story():
        finder = Scripted("flood", *map(candidate, range(1, 3 * MAX_QUEUED)))
        found = await ports(search_of(finder, Scripted("fine", candidate(9999))))
        assert sorted(found) == [*range(1, 3 * MAX_QUEUED), 9999]

    asyncio.run(story())


def test_nothing_starts_before_somebody_asks():
    async def story():
        finder = Scripted("a", candidate(1))
        search = search_of(finder)
        search.candidates()
        await asyncio.sleep(0)
        assert not finder.started

    asyncio.run(story())


def test_finders_that_find_nothing_say_so_and_how_long_they_took():
    async def story():
        after = asyncio.Event()
        asyncio.get_running_loop().call_later(0.1, after.set)
        search = search_of(Scripted("quick"), Scripted("slow", after))
        assert await ports(search) == []
        assert search.reasons == ["quick: nothing found", "slow: nothing found within 0.1 s"]

    asyncio.run(story())


def test_asking_again_starts_anew_and_reasons_with_it():
    async def story():
        search = search_of(Scripted("a", candidate(1)))
        assert await ports(search) == await ports(search) == [1]
        assert search.reasons == ["a: 1 found"]

    asyncio.run(story())


def test_a_finder_that_is_no_generator_is_asked_like_any_other():
    async def story():
        assert await ports(search_of(Bare(candidate(1), candidate(2)))) == [1, 2]

    asyncio.run(story())


def test_no_finders_find_nothing():
    async def story():
        search = search_of()
        assert await ports(search) == []
        assert search.reasons == []

    asyncio.run(story())


class Recalling(Scripted):
    """One that may know its answer."""

    at_hand = True

    def is_at_hand(self, target: KeyHash) -> bool:
        return self.at_hand


def test_what_is_known_is_told_before_the_others_begin_to_look(monkeypatch):
    monkeypatch.setattr(merged, "_BEHIND", 0.2)
    others, known = Scripted("others", candidate(1)), Recalling("known", candidate(2))

    async def story() -> None:
        async with aclosing(MergedFinder([others, known]).search(TARGET).candidates()) as candidates:
            assert (await anext(candidates)).endpoint.port == 2
            assert (others.started, known.started) == (0, 1)
            assert (await anext(candidates)).endpoint.port == 1, "they look all the same"

    asyncio.run(story())


def test_nobody_waits_for_one_that_knows_nothing(monkeypatch):
    monkeypatch.setattr(merged, "_BEHIND", 3600.0)
    others, known = Scripted("others", candidate(1)), Recalling("known")
    known.at_hand = False

    async def story() -> None:
        async with aclosing(MergedFinder([others, known]).search(TARGET).candidates()) as candidates:
            assert (await anext(candidates)).endpoint.port == 1

    asyncio.run(story())
