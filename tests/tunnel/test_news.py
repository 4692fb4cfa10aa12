"""What a host says of itself while its sessions live, to whom, and what visitors make of it; and of hosts that lie."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from hardline import certificates
from hardline.addresses import Way
from hardline.errors import AccessRefused, ConnectionLost, HardlineError
from hardline.identity import KeyHash
from hardline.peers.accepted import Accepted
from hardline.peers.remembered import Remembered
from hardline.routes import MAX_HOSTS, MAX_VIA, Endpoint, PathKind, Via, format_wan_hosts
from hardline.session.controlstream import MOST_UNSENT, ControlStream
from hardline.session.hello import VisitorHello
from hardline.session.session import CONTROL_STREAM, SessionLimits
from hardline.showable import MAX_TITLE
from hardline.tunnel import hearnews, pool, tellnews
from hardline.tunnel import link as links
from hardline.tunnel.attempts import refusal
from hardline.tunnel.guests import Guest
from hardline.tunnel.visitor import VisitorLimits
from tests.support.clock import run, settled
from tests.tunnel.pair import Pair, echo, eventually, pair
from tests.tunnel.relayed import Relayed, relayed
from tests.tunnel.test_link import begun, echoed
from tests.tunnel.test_pools import Another, get
from tests.tunnel.test_pools import pool as several

CALM = VisitorLimits(SessionLimits())
HERE, THERE = Endpoint("203.0.113.9", 7008), Endpoint("198.51.100.4", 7008)
BY = Via(Endpoint("relay.example", 7008), "6d" * 20)
BY_ANOTHER = Via(Endpoint("other.example", 443), "0f" * 20)


@pytest.fixture(autouse=True)
def _nobody_looks_for_other_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "SOON", (1e6,))


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """All that anybody says on a control stream."""
    lines, say = list[bytes](), ControlStream.say

    def noted(self: ControlStream, line: bytes) -> None:
        lines.append(line)
        say(self, line)

    monkeypatch.setattr(ControlStream, "say", noted)
    return lines


def now() -> float:
    return asyncio.get_running_loop().time()


def is_at(both: Pair, *endpoints: Endpoint, via: Sequence[Via] = ()) -> None:
    """The host is known there from now on, and reached by these relays."""
    both.host._whereabouts = lambda: endpoints
    both.host._via = lambda key_hash: via
    both.host.has_news()


def ends(both: Pair) -> tuple[links.Path, Guest]:
    """The one session, as both sides have it."""
    [path], [guest] = both.visitor.paths, both.host.guests
    return path, guest


def says(guest: Guest, *values: object) -> None:
    """The host says news that it made up."""
    assert guest.control is not None
    for value in values:
        guest.control.say(json.dumps({"news": value}).encode() + b"\n")


# Who hears what.


def test_what_changes_is_heard_and_remembered_by_whoever_has_a_session(tmp_path):
    async def story():
        async with pair(tmp_path, echo, CALM) as both:
            visit = await begun(both)
            path, guest = ends(both)
            await asyncio.sleep(5)
            assert CONTROL_STREAM not in path.session._streams, "there was nothing to say"
            key_hash, changed = both.service.key_hash, now()
            assert both.memory.learned_calls == [(key_hash, "", "Test", ())]
            is_at(both, HERE, THERE, via=[BY])
            await eventually(lambda: len(both.memory.learned_calls) == 2, "it is remembered")
            assert now() - changed < 2 * tellnews.SETTLE + hearnews.REMEMBERED_AFTER
            assert both.memory.learned_calls[1] == (key_hash, f"{HERE},{THERE}", None, (BY,))
            assert path.own == {HERE, THERE, BY}
            both.retarget(title="Our wiki")
            await eventually(lambda: path.title == "Our wiki", "it is called so")
            assert now() - changed < tellnews.EVERY + 3 * tellnews.SETTLE
            is_at(both)
            await eventually(lambda: len(both.memory.learned_calls) == 4, "it is reached nowhere else")
            assert both.memory.learned_calls[2:] == [(key_hash, None, "Our wiki", None), (key_hash, "", None, ())]
            assert path.own == {HERE, THERE, BY}, "nobody else is there now"
            await echoed(visit, b"still here")
            assert (path.session.open_streams, guest.session.open_streams) == (1, 1)
            visit.pipe.abort()
            await settled()
            used = path.session.last_used
            is_at(both, HERE)
            await asyncio.sleep(5)
            assert len(both.memory.learned_calls) == 5
            assert path.session.last_used == used, "which is no use of it"

    run(story)


def test_many_changes_are_one_line_and_what_was_undone_is_none(tmp_path, said):
    async def story():
        async with pair(tmp_path, echo, CALM) as both:
            await begun(both)
            for number in range(100):
                is_at(both, Endpoint("203.0.113.9", 1024 + number))
                await asyncio.sleep(0.05)
            await asyncio.sleep(5)
            assert 1 < len(said) <= 1 + 5 / tellnews.EVERY + 1
            assert json.loads(said[-1]) == {"news": {"WANHosts": "203.0.113.9:1123"}}
            told = len(said)
            is_at(both, HERE)
            is_at(both, Endpoint("203.0.113.9", 1123))
            await asyncio.sleep(5)
            assert len(said) == told

    run(story)


def test_an_old_visitor_hears_nothing_and_is_cut_all_the_same(tmp_path, monkeypatch, said):
    encode = VisitorHello.encode
    monkeypatch.setattr(VisitorHello, "encode", lambda self: encode(replace(self, control=False)))

    async def story():
        async with invited(tmp_path) as both:
            visit = await begun(both)
            path, guest = ends(both)
            is_at(both, HERE, via=[BY])
            await asyncio.sleep(5)
            assert CONTROL_STREAM not in path.session._streams
            assert guest.control is None
            lets_in(both)
            with pytest.raises(ConnectionLost):
                await visit.pipe.receive()
            assert said == []
            with pytest.raises(AccessRefused, match="whom he has invited"):
                await begun(both)

    run(story)


def test_who_came_by_a_password_that_is_another_now_hears_nothing_of_what_is_new(tmp_path, said):
    async def story():
        async with pair(tmp_path, echo, CALM, password="old") as both:
            visit = await begun(both)
            path, _ = ends(both)
            both.retarget(password="new")
            both.retarget(title="Only for those who know the new one")
            is_at(both, HERE, via=[BY])
            await asyncio.sleep(5)
            await echoed(visit, b"still here")
            assert path.title == "Test"
            assert said == []

    run(story)


def test_who_does_not_read_is_told_the_rest_when_he_has(tmp_path, monkeypatch):
    async def story():
        async with pair(tmp_path, echo, CALM) as both:
            await begun(both)
            _, guest = ends(both)
            real = ControlStream.room_made
            monkeypatch.setattr(ControlStream, "room_made", lambda self: None)
            for number in range(100):
                is_at(both, Endpoint("203.0.113.9", 1024 + number))
                await asyncio.sleep(3)
            assert guest.control is not None
            assert 0 < len(guest.control._unsent) < 100
            monkeypatch.setattr(ControlStream, "room_made", real)
            guest.control.room_made()
            await eventually(lambda: both.memory.learned_calls[-1][1] == "203.0.113.9:1123", "he has heard the last")
            assert len(both.memory.learned_calls) == 3

    run(story)


def test_what_cannot_leave_is_bounded(tmp_path, monkeypatch):
    async def story():
        async with pair(tmp_path, echo, CALM) as both:
            visit = await begun(both)
            _, guest = ends(both)
            assert guest.control is not None
            monkeypatch.setattr(ControlStream, "room_made", lambda self: None)
            line = b'{"x":1}\n'
            for _ in range(MOST_UNSENT // len(line)):
                guest.control.say(line)
            with pytest.raises(ConnectionLost, match="does not read"):
                guest.control.say(line)
            with pytest.raises(ConnectionLost, match="does not read"):
                guest.control.say(line)
            await echoed(visit, b"still here")

    run(story)


def test_a_host_that_ends_says_nothing_of_what_it_loses_by_that(tmp_path, said):
    async def story():
        async with pair(tmp_path, echo, CALM) as both:
            is_at(both, HERE, via=[BY])
            await begun(both)
            both.host.go_away()
            is_at(both)
            await asyncio.sleep(5)
            assert said == []

    run(story)


def test_of_several_hosts_the_memory_has_what_one_says_as_long_as_it_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr("hardline.tunnel.attempts.refusal", lambda candidate, way_to: None)
    monkeypatch.setattr(pool, "SOON", (1.0,))

    def is_elsewhere(host: Pair | Another, endpoint: Endpoint) -> None:
        host.host._whereabouts = lambda: (endpoint,)
        host.host.has_news()

    async def story():
        async with several(tmp_path, 1) as (both, [other]):
            await get(both)
            await eventually(lambda: len(both.visitor.paths) == 2, "there is a session with each")
            await asyncio.sleep(5)
            [first] = [path for path in both.visitor.paths if path.remembered]
            ours = first.route.candidate.endpoint == both.finding.endpoints[0]
            one, another = (both, other) if ours else (other, both)
            is_elsewhere(another, THERE)
            is_elsewhere(one, HERE)
            await asyncio.sleep(5)
            assert [call[1] for call in both.memory.learned_calls] == ["", str(HERE)]
            assert {THERE} in [path.own for path in both.visitor.paths]
            first.session.abort(ConnectionLost("it is gone"))
            is_elsewhere(another, Endpoint("203.0.113.77", 7008))
            await asyncio.sleep(5)
            assert both.memory.learned_calls[-1][1] == "203.0.113.77:7008"

    run(story)


# By a relay, beside punching.


@pytest.fixture
def _loopback_is_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardline.tunnel.attempts.refusal", lambda candidate, way_to: None)


def only_by_relay(relay: Relayed) -> None:
    """Nobody gets through to anybody."""
    relay.lies = lambda seen, other: (Endpoint("192.168.1.5", 4000), Endpoint("192.168.1.6", 4000))


@pytest.mark.usefixtures("_loopback_is_anywhere")
@pytest.mark.parametrize("punches", [True, False])
def test_news_come_by_a_relay_whether_its_visitor_punches_or_not(tmp_path, punches):
    async def story():
        async with relayed(tmp_path) as relay:
            only_by_relay(relay)
            if not punches:
                relay.both.visitor._punched = relay.both.visitor._news._punched = None
            visit = await begun(relay.both)
            await asyncio.sleep(20)
            is_at(relay.both, HERE, via=[BY])
            await asyncio.sleep(5)
            assert relay.both.memory.learned_calls[-1][1:] == (str(HERE), None, (BY,))
            assert {path.route.candidate.kind for path in relay.both.visitor.paths} == {PathKind.RELAYED}
            for guest in relay.both.host.guests:
                assert guest.control is not None
                assert guest.control.failure is None
            await echoed(visit, b"still here")

    run(story)


@pytest.mark.usefixtures("_loopback_is_anywhere")
@pytest.mark.parametrize("too_slow", ["hosting.ANSWER_WITHIN", "visiting.GO_WITHIN"])
def test_a_relay_that_is_too_slow_for_punching_takes_no_news_away(tmp_path, monkeypatch, too_slow):
    monkeypatch.setattr(f"hardline.punch.{too_slow}", 0.0)

    async def story():
        async with relayed(tmp_path) as relay:
            only_by_relay(relay)
            visit = await begun(relay.both)
            [path] = relay.both.visitor.paths
            await eventually(lambda: path.punched.done(), "nothing came of it")
            assert path.punching
            await asyncio.sleep(8)
            is_at(relay.both, HERE, via=[BY])
            await asyncio.sleep(5)
            assert relay.both.memory.learned_calls[-1][1:] == (str(HERE), None, (BY,))
            await echoed(visit, b"still here")

    run(story)


@pytest.mark.usefixtures("_loopback_is_anywhere")
def test_before_a_visitor_goes_another_way_than_by_his_relay_he_hears_of_it(tmp_path):
    async def story():
        async with relayed(tmp_path) as relay:
            only_by_relay(relay)
            visit = await begun(relay.both)
            [path] = relay.both.visitor.paths
            await asyncio.sleep(5)
            is_at(relay.both, via=[BY_ANOTHER])
            relay.both.host.go_away_by("relay")
            await eventually(lambda: path.session.draining, "it takes no new streams")
            assert BY_ANOTHER in path.own, "which was said first"
            visit.pipe.abort()

    run(story)


# Who may visit no more.


@contextlib.asynccontextmanager
async def invited(directory: Path) -> AsyncIterator[Pair]:
    """A pair whose visitor says who he is, and is let in by that."""
    async with pair(directory, echo, CALM, invitations=Accepted(directory / "keys")) as both:
        lets_in(both, certificates.load_or_create(directory / "key").key_hash)
        yield both


def lets_in(both: Pair, *clients: KeyHash) -> None:
    both.service = replace(both.service, clients=frozenset(clients))
    both.host.replace([both.service])


def test_who_is_let_in_no_more_is_told_so_and_nobody_dials_because_of_it(tmp_path):
    async def story():
        async with invited(tmp_path) as both:
            visit, idle = await begun(both), await begun(both)
            path, guest = ends(both)
            client = guest.client
            assert client is not None
            lets_in(both)
            for one in (visit, idle):
                with pytest.raises(AccessRefused, match="taken back"):
                    await one.pipe.receive()
            assert isinstance(path.session.failure, AccessRefused)
            await eventually(lambda: not both.visitor.paths and not both.host.guests, "it is over, here and there")
            searches = both.finding.searches
            await asyncio.sleep(1000)
            assert both.finding.searches == searches
            for count in (1, 2):
                with pytest.raises(AccessRefused, match="taken back"):
                    await begun(both)
                assert both.finding.searches == searches + count, "who visits asks once"
            lets_in(both, client)
            await echoed(await begun(both), b"in again")
            assert not both.visitor._news.has_taken_back(both.service.key_hash)

    run(story)


def test_a_warm_link_that_was_taken_back_asks_no_oftener_than_its_interval(tmp_path):
    async def story():
        async with invited(tmp_path) as both:
            link = both.visitor.keep_warm(both.service.label, (), 30.0)
            link.start()
            await link.first
            await asyncio.sleep(100)
            attempts = link.attempts
            lets_in(both)
            await eventually(lambda: "taken back" in link.why, "it is down, and says why")
            await asyncio.sleep(300)
            assert "taken back" in link.why
            assert link.attempts - attempts <= 12
            await link.aclose()

    run(story)


# Hosts that lie.


def test_a_host_that_says_a_thousand_things_is_heard_so_often_and_its_service_goes_on(tmp_path):
    async def story():
        async with pair(tmp_path, echo, CALM) as both:
            visit = await begun(both)
            path, guest = ends(both)
            await asyncio.sleep(5)
            says(guest, *({"title": f"{number}"} for number in range(64)))
            await settled()
            assert path.title == "63"
            says(guest, *({"title": f"{number}"} for number in range(64, 1000)))
            await settled()
            assert path.title == "63"
            assert CONTROL_STREAM not in path.session._streams, "nobody listens any more"
            await asyncio.sleep(5)
            assert len(both.memory.learned_calls) <= 3
            await echoed(visit, b"still here")
            assert guest.control is not None
            with pytest.raises(HardlineError):
                guest.control.say(b'{"news":{}}\n')

    run(story)


def test_a_host_that_says_things_for_ever_has_them_written_once_in_a_while(tmp_path):
    async def story():
        async with pair(tmp_path, echo, CALM) as both:
            await begun(both)
            path, guest = ends(both)
            for number in range(200):
                says(
                    guest,
                    {"WANHosts": f"203.0.113.9:{1024 + number}", "via": [["relay.example:7008", f"{number:040x}"]]},
                )
                await asyncio.sleep(0.5)
            await asyncio.sleep(5)
            assert len(both.memory.learned_calls) <= 2 + 100 / hearnews.PAUSE
            assert both.memory.learned_calls[-1][1] == "203.0.113.9:1223"
            assert len(path.own) <= links._MOST_OWN + MAX_HOSTS + MAX_VIA

    run(story)


@pytest.mark.parametrize(
    "value",
    [
        [],
        {"WANHosts": 7},
        {"WANHosts": None},
        {"title": ["Our wiki"]},
        {"via": "relay.example:7008"},
        {"via": [["relay.example:7008", "0f" * 20]] * 33},
        {"title": "x" * 5000},
    ],
)
def test_news_of_the_wrong_kind_are_not_heard_and_the_session_goes_on(tmp_path, value):
    async def story():
        async with pair(tmp_path, echo, CALM) as both:
            visit = await begun(both)
            path, guest = ends(both)
            says(guest, value)
            await asyncio.sleep(5)
            assert CONTROL_STREAM not in path.session._streams
            assert (path.title, path.own) == ("Test", frozenset())
            assert len(both.memory.learned_calls) == 1
            await echoed(visit, b"still here")

    run(story)


def test_of_what_is_long_so_much_is_taken_and_a_title_steers_nothing(tmp_path):
    async def story():
        async with pair(tmp_path, echo, CALM) as both:
            await begun(both)
            path, guest = ends(both)
            says(
                guest,
                {"WANHosts": ",".join(f"203.0.113.{number}:7008" for number in range(1, 200))},
                {"via": [["relay.example:7008", f"{number:040x}"] for number in range(32)]},
                {"title": "\x1b[2J\u202e" + "x" * 2000},
            )
            await settled()
            assert len(path.own) == MAX_HOSTS + MAX_VIA
            assert path.title == ("[2J" + "x" * 2000)[:MAX_TITLE]

    run(story)


def test_who_is_named_by_news_is_dialled_as_little_as_by_a_hello(tmp_path):
    """Nobody of this network, and nobody on this computer: it goes into the same memory, behind the same checks."""
    told = [Endpoint(host, 7008) for host in ("127.0.0.1", "192.168.7.1", "10.0.0.1", "169.254.169.254", "224.0.0.1")]
    told.append(Endpoint("11.22.33.44", 22))

    async def story():
        memory = await Remembered.open(tmp_path / "routes.db")
        async with pair(tmp_path, echo, CALM) as both:
            both.visitor._memory = both.visitor._news._memory = memory
            await begun(both)
            path, guest = ends(both)
            says(guest, {"WANHosts": format_wan_hosts(told), "via": [[str(one), "0f" * 20] for one in told[:3]]})
            await asyncio.sleep(5)
            known = await memory.get(both.service.key_hash)
            assert known is not None
            assert (known.wan_hosts, len(known.relayed)) == (tuple(told), 3)
            named = [
                one async for one in memory.find(both.service.key_hash) if one.endpoint != path.route.candidate.endpoint
            ]
            assert len(named) == len(told) + 3
            assert all(refusal(one, lambda _: Way.ATTACHED) for one in named)
        await memory.aclose()

    run(story)


def test_what_a_visitor_heard_last_is_remembered_when_he_ends(tmp_path):
    async def story():
        async with pair(tmp_path, echo, CALM) as both:
            await begun(both)
            path, _ = ends(both)
            await asyncio.sleep(5)
            is_at(both, via=[BY])
            await eventually(lambda: len(both.memory.learned_calls) == 2, "it was heard, and remembered")
            guest = ends(both)[1]
            says(guest, {"via": [[str(BY_ANOTHER.endpoint), BY_ANOTHER.name]]})
            await eventually(lambda: BY_ANOTHER in path.own, "and what came at once behind it")
            assert len(both.memory.learned_calls) == 2
            await both.visitor.aclose()
            assert [call[3] for call in both.memory.learned_calls[1:]] == [(BY,), (BY_ANOTHER,)]

    run(story)


def test_a_visitor_who_says_news_is_not_heard(tmp_path):
    async def story():
        async with pair(tmp_path, echo, CALM) as both:
            visit = await begun(both)
            path, guest = ends(both)
            both.retarget(title="Our wiki")
            await eventually(lambda: path.title == "Our wiki", "the stream is there")
            line = b'{"news":{"title":"mine"}}\n{"revoked":{}}\n{"punch":{"id":1}}\n'
            path.session._outbox.put(path.session._streams[CONTROL_STREAM], memoryview(line))
            await settled()
            assert guest.control is not None
            assert guest.control.failure is None
            assert guest.session is not None
            assert guest.session.lives
            await echoed(visit, b"still here")

    run(story)
