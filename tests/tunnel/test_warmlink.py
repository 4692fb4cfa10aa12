"""A link that dials by itself: from the start on, again whenever it is lost, one session, and never silently."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path as File

import pytest

from hardline.errors import AccessRefused, ConnectionLost, LimitReached
from hardline.identity import Label
from hardline.routes import Candidate, Endpoint, FoundBy, PathKind, Trust
from hardline.session.session import SessionLimits
from hardline.transport.resolver import Resolver
from hardline.tunnel.dialer import Dialer
from hardline.tunnel.down import LinkDown
from hardline.tunnel.link import LinkLimits
from hardline.tunnel.visitor import Visitor, VisitorLimits
from hardline.tunnel.warmlink import State, WarmLink
from tests.support.clock import run, settled, since
from tests.tunnel.pair import Noted, Pair, echo, eventually, pair
from tests.tunnel.test_visitor import echoed, read_exactly

INTERVAL = 5.0
CALM = VisitorLimits(SessionLimits(ping_interval=60.0))  # what the host has, too
PINGS = SessionLimits(streams=3, ping_interval=2.0, ping_timeout=2.5)


def now() -> float:
    return asyncio.get_running_loop().time()


@contextlib.asynccontextmanager
async def kept(
    directory: File, keepwarm: float | None = None, limits: SessionLimits = PINGS
) -> AsyncIterator[tuple[Pair, WarmLink]]:
    """A host, and a visitor with a link to it that has not begun."""
    async with pair(directory, echo, CALM) as both:
        own = {both.service.key_hash: LinkLimits(limits, keepwarm, 1)}
        dialer = Dialer(both.finding.search, clock=time.time)
        await both.visitor.aclose()
        both.visitor = Visitor(dialer, both.memory, VisitorLimits(SessionLimits(), keepwarm=60.0, own=own))
        link = both.visitor.keep_warm(both.service.label, (), INTERVAL)
        try:
            yield both, link
        finally:
            await link.aclose()


async def comes_up(link: WarmLink) -> None:
    await eventually(lambda: link.state is State.UP, "the link is up")


async def goes_down(link: WarmLink) -> None:
    await eventually(lambda: link.state is State.DOWN, "the link is down")


async def is_refused(both: Pair) -> LinkDown:
    """A visit is told at once, without a moment's wait."""
    began = now()
    with pytest.raises(LinkDown) as told:
        await both.visitor.visit(both.service.label, b"x")
    assert since(began) == 0
    return told.value


def test_a_session_is_there_before_anybody_visits_and_stays_there(tmp_path):
    async def story():
        async with kept(tmp_path, limits=CALM.session) as (both, link):
            assert "not reached yet" in (await is_refused(both)).message
            link.start()
            await link.first
            assert link.state is State.UP
            await asyncio.sleep(900)
            await echoed(both, b"one")
            await asyncio.sleep(900)
            assert (link.attempts, both.finding.searches, len(both.visitor.paths)) == (1, 1, 1)

    run(story, limit=None)


def test_a_host_that_is_killed_is_said_and_dialled_until_it_is_back(tmp_path):
    async def story():
        async with kept(tmp_path) as (both, link):
            link.start()
            await comes_up(link)
            await asyncio.sleep(60)
            [guest] = both.host.guests
            await both._listener.aclose()
            guest.session.abort(ConnectionLost("killed"))
            await goes_down(link)
            assert link.why in (await is_refused(both)).message
            began = now()
            await asyncio.sleep(2)
            assert link.attempts > 1  # the first at once
            await both.start_host()
            await comes_up(link)
            assert since(began) <= INTERVAL + 0.5
            await echoed(both, b"again")
            assert len(both.visitor.paths) == 1

    run(story)


def test_a_host_that_goes_away_in_order_is_dialled_though_old_streams_go_on(tmp_path):
    async def story():
        async with kept(tmp_path) as (both, link):
            link.start()
            await comes_up(link)
            visit = await both.visitor.visit(both.service.label, b"x")
            early = await visit.answered()
            both.host.go_away()
            await eventually(lambda: len(both.visitor.paths) == 2, "there is a session for what is new")
            await comes_up(link)
            assert link.why == "its host has gone away"
            await echoed(both, b"new")
            await visit.pipe.send(b"old")
            assert await read_exactly(visit.pipe, 4, early) == b"xold"
            await visit.pipe.aclose()

    run(story)


def test_nobody_there_is_the_end_of_the_first_attempt_too(tmp_path):
    async def story():
        async with kept(tmp_path) as (both, link):
            await both.stop_host()
            link.start()
            await link.first
            assert link.state is State.DOWN
            assert link.why.endswith("connection refused")
            before = link.attempts
            await asyncio.sleep(10 * INTERVAL + 1)
            assert link.attempts == before + 10
            await both.start_host()
            await comes_up(link)

    run(story)


def test_who_is_not_let_in_is_told_why_and_asks_no_oftener_than_the_interval(tmp_path):
    async def story():
        async with kept(tmp_path) as (both, _):
            other = Label(both.service.key_hash, "wrong")
            link = both.visitor.keep_warm(other, (), INTERVAL)
            both.retarget(password="right")
            link.start()
            await link.first
            assert "another text before the key hash" in link.why
            await asyncio.sleep(10 * INTERVAL)
            assert link.attempts <= 11
            await link.aclose()

    run(story)


def test_one_more_than_its_streams_is_refused_and_the_others_go_on(tmp_path):
    async def story():
        async with kept(tmp_path) as (both, link):
            link.start()
            await comes_up(link)
            visits = [await both.visitor.visit(both.service.label, b"%d" % number) for number in range(3)]
            with pytest.raises(LimitReached, match="3 connections are open"):
                await both.visitor.visit(both.service.label, b"x")
            assert link.state is State.UP
            for number, visit in enumerate(visits):
                assert await visit.answered() or await visit.pipe.receive() == b"%d" % number
                await visit.pipe.aclose()
            await settled()
            await echoed(both, b"room again")
            assert len(both.visitor.paths) == 1

    run(story)


def test_a_link_that_may_sleep_sleeps_and_wakes_with_the_next_visit(tmp_path):
    async def story():
        async with kept(tmp_path, keepwarm=30.0) as (both, link):
            link.start()
            await comes_up(link)
            await asyncio.sleep(29)
            assert link.state is State.UP
            await asyncio.sleep(3)
            assert link.state is State.ASLEEP
            assert not both.visitor.paths
            await asyncio.sleep(100)
            assert link.attempts == 1
            await echoed(both, b"awake")
            await comes_up(link)

    run(story)


def test_a_silent_path_is_said_within_five_seconds_and_knocked_at_when_it_is_back(tmp_path):
    """The first dial after the loss hangs, as with the DHT behind a cable that is cut; the knock does not."""

    async def story():
        async with pair(tmp_path, echo, CALM) as both:
            at = both.finding.endpoints[0]
            hangs = asyncio.Event()

            class Hanging:
                reasons: Sequence[str] = ()

                def silent(self, better_than: PathKind) -> Sequence[str]:
                    return ()

                async def candidates(self) -> AsyncIterator[Candidate]:
                    if not hangs.is_set():
                        yield Candidate(at, PathKind.LAN, FoundBy("test", Trust.HEARD))
                        hangs.set()
                    else:
                        await asyncio.sleep(3600)

            dialer = Dialer(lambda target: Hanging(), clock=time.time, timeout=60.0)
            own = {both.service.key_hash: LinkLimits(PINGS, None, 1)}
            visitor = Visitor(dialer, Noted(), VisitorLimits(SessionLimits(), own=own))
            link = visitor.keep_warm(both.service.label, (), INTERVAL)
            link.start()
            await comes_up(link)
            [guest] = both.host.guests
            guest.session.tls.hold()  # it reads nothing any more, as if the path were cut
            began = now()
            await goes_down(link)
            assert since(began) <= 5.0
            assert link.why == "the other node does not answer"
            began = now()
            await comes_up(link)
            assert since(began) <= INTERVAL + 0.5
            assert link.attempts == 2
            assert sum(path.session.lives for path in visitor.paths) == 1
            await link.aclose()
            await visitor.aclose()

    run(story)


def test_a_name_is_looked_up_anew_for_each_attempt(tmp_path):
    async def story():
        leads_to, asked = ["127.0.0.2"], list[str]()

        def look_up(name: str) -> Sequence[str]:
            asked.append(name)
            return list(leads_to)

        async with pair(tmp_path, echo) as both, both.also_at("127.0.0.2") as old, both.also_at("127.0.0.3") as new:
            named = [Candidate(Endpoint("host.example", old.port), PathKind.DIRECT, FoundBy("set", Trust.OWNER))]
            both.finding.endpoints, both.finding.also = [], named
            dialer = Dialer(both.finding.search, clock=time.time, resolver=Resolver(look_up))
            visitor = Visitor(dialer, Noted(), VisitorLimits(SessionLimits()))
            link = visitor.keep_warm(both.service.label, named, INTERVAL)
            link.start()
            await comes_up(link)
            assert link.path.session.tls.peer == old
            leads_to[:] = ["127.0.0.3"]
            both.finding.also = named = [
                Candidate(Endpoint("host.example", new.port), PathKind.DIRECT, FoundBy("set", Trust.OWNER))
            ]
            link.path.session.abort(ConnectionLost("cut"))
            await goes_down(link)
            await comes_up(link)
            assert link.path.session.tls.peer == new
            assert asked == ["host.example"] * 2
            await link.aclose()
            await visitor.aclose()

    run(story)


def test_what_a_link_says_of_itself_has_no_label_in_it():
    label = Label.parse("word-" + "ab" * 20)
    told = LinkDown(label.key_hash, AccessRefused("the owner of the service lets in whom he has invited"))
    assert "ab" * 20 not in told.message
    assert "word" not in told.message
