"""One label, several paths: what drains is seen, told and ended, and new streams go where they should."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from hardline.errors import ConnectionLost
from hardline.routes import PathKind
from hardline.session import yamux
from hardline.session.session import SessionLimits
from hardline.session.stream import Stream
from hardline.tunnel.link import Link, LinkLimits, Path
from hardline.tunnel.visit import Visit
from hardline.tunnel.visitor import VisitorLimits
from tests.support.clock import run, settled, since
from tests.tunnel.pair import QUICK, Pair, echo, eventually, pair


async def begun(both: Pair) -> Visit:
    visit = await both.visitor.visit(both.service.label, b"x")
    await echoed(visit, b"", await visit.answered())
    return visit


async def echoed(visit: Visit, text: bytes, early: bytes = b"") -> None:
    """`text` goes to the service, and comes back behind the first byte of all, if that is still under way."""
    data, expected = early, text or b"x"
    if text:
        await visit.pipe.send(text)
    while len(data) < len(expected):
        data += await visit.pipe.receive()
    assert data == expected


def now() -> float:
    return asyncio.get_running_loop().time()


async def drains(both: Pair) -> tuple[Visit, Path]:
    """A visit whose path takes no new streams any more."""
    visit = await begun(both)
    [path] = both.visitor.paths
    [guest] = both.host.guests
    assert guest.session is not None
    guest.session.go_away()
    await eventually(lambda: path.session.draining, "the host's word came")
    return visit, path


def test_what_drains_goes_on_beside_a_new_session_and_ends_with_its_last_stream(tmp_path):
    async def story():
        async with pair(tmp_path, echo) as both:
            old, draining = await drains(both)
            new = await begun(both)
            assert both.visitor.paths[0] is draining
            assert [path.session.draining for path in both.visitor.paths] == [True, False]
            await echoed(old, b"still here")
            await old.pipe.aclose()
            await eventually(lambda: draining not in both.visitor.paths, "it ended")
            await echoed(new, b"and so am I")
            assert len(both.visitor.paths) == 1
            await eventually(lambda: len(both.host.guests) == 1, "the host saw it")

    run(story)


def test_a_session_that_nobody_uses_ends_when_the_host_takes_no_new_streams(tmp_path):
    async def story():
        async with pair(tmp_path, echo) as both:
            visit = await begun(both)
            await visit.pipe.aclose()
            await eventually(lambda: not both.visitor.paths[0].session.open_streams, "the stream ended")
            both.host.go_away()
            began = now()
            await settled()
            assert not both.visitor.paths, "the session ended, long before it is cold"
            assert now() == began

    run(story)


def test_what_drains_does_not_get_cold_while_it_has_a_stream_and_ends_at_once_with_its_last(tmp_path):
    async def story():
        async with pair(tmp_path, echo, VisitorLimits(SessionLimits(), keepwarm=60.0)) as both:
            old, draining = await drains(both)
            await asyncio.sleep(100)
            assert both.visitor.paths == (draining,)
            await echoed(old, b"still here")
            began = now()
            await old.pipe.aclose()
            await draining.session.closed
            assert since(began) == 0
            assert "took no new streams" in str(draining.session.failure)

    run(story)


def test_each_path_gets_cold_by_itself_as_long_after_its_own_last_stream(tmp_path):
    async def story():
        async with pair(tmp_path, echo, VisitorLimits(SessionLimits(streams=1), keepwarm=60.0)) as both:
            visits = [await begun(both) for _ in range(3)]
            paths, ended, began = both.visitor.paths, {}, now()
            for name, path in zip("abc", paths, strict=True):
                path.session.closed.add_done_callback(lambda _, name=name: ended.update({name: since(began)}))
            for visit in visits:
                await asyncio.sleep(20)
                await visit.pipe.aclose()
            await paths[2].session.closed
            await settled()
            assert ended == {"a": 80, "b": 100, "c": 120}
            assert not both.visitor.paths
            assert not both.host.guests

    run(story)


def test_what_drains_hears_of_a_change_of_network(tmp_path):
    async def story():
        async with pair(tmp_path, echo) as both:
            old, _ = await drains(both)
            await begun(both)
            both.visitor.network_changed(["192.0.2.1"])
            await eventually(lambda: not both.visitor.paths, "both were by an address that is gone")
            with pytest.raises(ConnectionLost):
                await old.pipe.receive()

    run(story)


def test_what_drains_is_closed_with_everything_else(tmp_path):
    async def story():
        async with pair(tmp_path, echo) as both:
            await drains(both)
            await begun(both)
            await both.visitor.aclose()
            await eventually(lambda: not both.host.guests, "the host saw both end")
            await both.stop_host()
            await settled()
            assert asyncio.all_tasks() == {asyncio.current_task()}

    run(story)


def test_what_drains_counts_as_one_of_max_sessions(tmp_path):
    async def story():
        async with pair(tmp_path, echo, VisitorLimits(QUICK, sessions=2)) as both:
            await drains(both)
            await drains_too(both)
            with pytest.raises(Exception, match="2 sessions are in use"):
                await begun(both)

    async def drains_too(both: Pair) -> None:
        await begun(both)
        for guest in both.host.guests:
            assert guest.session is not None
            guest.session.go_away()
        await eventually(lambda: all(path.session.draining for path in both.visitor.paths), "both drain")

    run(story)


def test_when_the_numbers_of_streams_are_used_up_visits_go_on_through_another_session(tmp_path, monkeypatch):
    monkeypatch.setattr(yamux, "_LAST_STREAM", 4)

    async def story():
        async with pair(tmp_path, echo) as both:
            visits = [await begun(both) for _ in range(5)]
            assert [path.session.open_streams for path in both.visitor.paths] == [2, 2, 1]
            for visit in visits:
                await echoed(visit, b"here")

    run(story)


def test_a_session_that_is_full_takes_streams_again_once_it_has_room(tmp_path):
    async def story():
        async with pair(tmp_path, echo) as both:
            visits = [await begun(both) for _ in range(QUICK.streams + 1)]
            first, second = both.visitor.paths
            await visits[0].pipe.aclose()
            await eventually(lambda: first.session.usable, "there is room again")
            assert not first.session.draining
            await begun(both)
            assert [first.session.open_streams, second.session.open_streams] == [QUICK.streams, 1]

    run(story)


class Fake:
    """As much of a session as the choice among paths looks at."""

    def __init__(self, streams: int = 0, usable: bool = True, greeted: bool = True, owes: bool = False) -> None:
        self.open_streams, self.usable, self.greeted, self.owes = streams, usable, greeted, owes


@pytest.mark.parametrize(
    ("paths", "best"),
    [
        ([], None),
        ([(PathKind.DIRECT, "a", Fake(usable=False))], None),
        ([(PathKind.DIRECT, "a", Fake(usable=False)), (PathKind.RELAYED, "a", Fake(9))], 1),
        ([(PathKind.RELAYED, "a", Fake()), (PathKind.DIRECT, "a", Fake(9))], 1),
        # A better one is taken only once its host has said hello; the only one is not waited for.
        ([(PathKind.RELAYED, "a", Fake(9)), (PathKind.DIRECT, "", Fake(greeted=False))], 0),
        ([(PathKind.DIRECT, "", Fake(greeted=False))], 0),
        # Of several hosts of one certificate the one that has least to do, over all its paths.
        ([(PathKind.DIRECT, "a", Fake(3)), (PathKind.DIRECT, "b", Fake(2))], 1),
        ([(PathKind.DIRECT, "a", Fake(1)), (PathKind.DIRECT, "b", Fake(2)), (PathKind.LAN, "a", Fake(2, False))], 1),
        # The best kind first, whoever has less to do; but none that does not answer while another one does.
        ([(PathKind.RELAYED, "a", Fake()), (PathKind.DIRECT, "b", Fake(9))], 1),
        ([(PathKind.DIRECT, "a", Fake(owes=True)), (PathKind.DIRECT, "b", Fake(9))], 1),
        ([(PathKind.DIRECT, "a", Fake(owes=True)), (PathKind.RELAYED, "b", Fake(9))], 1),
        ([(PathKind.DIRECT, "a", Fake(owes=True)), (PathKind.RELAYED, "", Fake(greeted=False))], 0),
        # Several sessions to one host: the first, so that the others can end.
        ([(PathKind.DIRECT, "a", Fake(5)), (PathKind.DIRECT, "a", Fake(0))], 0),
    ],
)
def test_a_new_stream_takes_the_best_path(tmp_path, paths, best):
    async def story():
        async with pair(tmp_path, echo) as both:
            await begun(both)
            [real] = both.visitor.paths
            link = Link(both.service.label, LinkLimits(SessionLimits(), 600, 1))
            for kind, instance, session in paths:
                candidate = replace(real.route.candidate, kind=kind)
                route = replace(real.route, candidate=candidate)
                link.paths.append(Path(link.label, session, route, instance=instance))
            assert link.best() is (None if best is None else link.paths[best])

    run(story)


def test_the_times_of_all_steps_are_known_of_a_path(tmp_path):
    async def story():
        async with pair(tmp_path, echo) as both:
            await begun(both)
            [path] = both.visitor.paths
            steps = path.route.steps
            assert (steps.resolve, steps.tcp, steps.tls, steps.hello) == (0, 0, 0, 0), "by a clock that stood still"
            assert path.title == "Test"
            assert len(path.instance) == 32

    run(story)


def test_a_session_that_ends_while_a_stream_is_opened_leaves_it_waiting_for_nothing(tmp_path):
    """At its last free place it tells of ends first, and may learn by that that nobody is there any more."""

    async def story():
        async with pair(tmp_path, echo, VisitorLimits(replace(QUICK, streams=2))) as both:
            await begun(both)
            second = await begun(both)
            [path] = both.visitor.paths
            path.session.tls.hold()  # what the host says is not read
            [guest] = both.host.guests
            guest.abort("gone")
            for _ in range(5):
                await asyncio.sleep(0)
            assert isinstance(second.pipe, Stream)
            second.pipe.abort()
            with pytest.raises(ConnectionLost):
                await path.session.open_stream().receive()
            with pytest.raises(ConnectionLost):
                path.session.open_stream()

    run(story)


def test_more_visits_than_a_session_takes_wait_for_one_dial_and_are_all_served(tmp_path):
    async def story():
        async with pair(tmp_path, echo, VisitorLimits(replace(QUICK, streams=3))) as both:
            visits = await asyncio.gather(*(begun(both) for _ in range(8)))
            for visit in visits:
                await echoed(visit, b"here")
            assert sorted(path.session.open_streams for path in both.visitor.paths) == [2, 3, 3]

    run(story)
