"""A visit by a relay gets a path of its own, through whatever lies between; nothing that was open is touched."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable

import pytest

from hardline.errors import ConnectionLost
from hardline.punch import hosting, limits, plan, ports
from hardline.punch.messages import Go, Punch
from hardline.punch.visiting import _Place
from hardline.relay.lines import Verb, encode_line
from hardline.routes import Endpoint, PathKind
from hardline.session.controlstream import ControlStream
from hardline.session.session import CONTROL_STREAM
from hardline.transport import tcp
from hardline.transport.listener import Listener
from hardline.transport.tcp import Manner
from hardline.tunnel import pool, upgrade
from hardline.tunnel.arrival import By
from hardline.tunnel.link import Path
from tests.support.clock import run, settled
from tests.tunnel.pair import eventually
from tests.tunnel.relayed import RELAY, Relayed, relayed
from tests.tunnel.test_link import begun, echoed
from tests.tunnel.test_upgrade import best, kinds


@pytest.fixture(autouse=True)
def _loopback_is_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardline.tunnel.attempts.refusal", lambda candidate, way_to: None)
    monkeypatch.setattr(plan, "_is_told", lambda one, way_to: one.host == "127.0.0.1")


@pytest.fixture(autouse=True)
def _nobody_looks_for_other_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "SOON", (1e6,))


def rows(relay: Relayed) -> list[Path]:
    return list(relay.both.visitor.paths)


def test_a_visit_by_a_relay_gets_a_path_of_its_own_and_what_is_open_stays(tmp_path):
    async def story():
        async with relayed(tmp_path) as relay:
            old = await begun(relay.both)
            assert kinds(relay.both) == [PathKind.RELAYED]
            await best(relay.both, PathKind.PUNCHED)
            await echoed(old, b"still here")
            new = await begun(relay.both)
            before = relay.carried
            await echoed(new, b"x" * 50_000)
            assert relay.carried - before < 1000, "nothing of it went by the relay"
            assert {guest.by for guest in relay.both.host.guests} == {By.RELAY, By.PUNCH}
            old.pipe.abort()
            await eventually(lambda: kinds(relay.both) == [PathKind.PUNCHED], "the relayed one ended with its last")
            assert relay.joined == 1, "without another connection by the relay"
            await asyncio.sleep(10)
            assert len(relay.both.host.guests) == 1
            # What was punched is of no use another time.
            assert {kind for _, _, kind, _ in relay.both.memory.worked_calls} == {PathKind.RELAYED, PathKind.PUNCHED}

    run(story)


def test_the_control_stream_counts_for_nothing(tmp_path):
    async def story():
        async with relayed(tmp_path) as relay:
            relay.lies = lambda seen, other: (Endpoint("192.168.1.5", 4000), Endpoint("192.168.1.6", 4000))
            visit = await begun(relay.both)
            [path] = rows(relay)
            await eventually(lambda: CONTROL_STREAM in path.session._streams, "the host opened it")
            [guest] = relay.both.host.guests
            assert guest.session is not None
            assert (path.session.open_streams, guest.session.open_streams) == (1, 1)
            visit.pipe.abort()
            await eventually(lambda: not guest.session.open_streams, "it is over")
            assert path.session.open_streams == 0
            assert guest.session.source.streams == 0
            path.session.go_away()
            await eventually(lambda: path not in rows(relay), "nothing keeps it from ending")

    run(story)


def test_a_relay_that_lies_has_nobody_knocked_at_who_is_private(tmp_path, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr("hardline.tunnel.attempts.refusal", lambda candidate, way_to: None)
    knocked: list[Endpoint] = []
    real = tcp.connected_socket

    async def counted(addresses, manner=tcp.AS_USUAL):
        if manner.local is not None:
            knocked.extend(addresses)
        return await real(addresses, manner)

    monkeypatch.setattr(tcp, "connected_socket", counted)

    async def story():
        async with relayed(tmp_path) as relay:
            lies = [("192.168.1.5", 4000), ("127.0.0.1", 4000), ("10.0.0.1", 80), ("0.0.0.0", 4000), ("::1", 4000)]
            for host, port in lies:
                at = Endpoint(host, port)
                relay.lies = lambda seen, other, at=at: (at, at)
                await begun(relay.both)
                await asyncio.sleep(30)
                await asyncio.gather(*(path.session.aclose() for path in rows(relay)))
            assert knocked == []
            assert relay.joined >= len(lies)

    run(story)


def test_nobody_is_knocked_at_often_and_a_dial_lasts_until_the_window_is_over(tmp_path, monkeypatch):
    knocked: dict[Endpoint, int] = {}

    async def refused(addresses, manner: Manner = tcp.AS_USUAL):
        if manner.local is None:
            return await real(addresses, manner)
        knocked[addresses[0]] = knocked.get(addresses[0], 0) + 1
        raise ConnectionRefusedError(111, "refused")

    real = tcp.connected_socket
    monkeypatch.setattr(tcp, "connected_socket", refused)

    async def story():
        async with relayed(tmp_path) as relay:
            relay.lies = lambda seen, other: (Endpoint("127.0.0.1", 4000), Endpoint("127.0.0.1", 4001))
            await begun(relay.both)
            await eventually(lambda: rows(relay)[0].punched.done(), "the try is over")
            assert len(knocked) == 2
            assert max(knocked.values()) <= plan.MOST_KNOCKS
            assert "nothing came through" in rows(relay)[0].punching

    run(story)


@pytest.mark.full
def test_a_try_that_failed_is_made_again_by_another_connection_and_ever_more_rarely(tmp_path, monkeypatch):
    async def nothing(self, targets, opened, enough):
        await asyncio.sleep(ports.WINDOW)

    with monkeypatch.context() as blocked:
        blocked.setattr(ports.Ports, "punch", nothing)

        async def story():
            async with relayed(tmp_path) as relay:
                visit = await begun(relay.both)
                for after, joined in ((30, 3), (60, 6), (330, 9), (930, 12), (1800, 12), (2000, 15)):
                    for _ in range(-(-after // 300)):
                        await asyncio.sleep(after / -(-after // 300))
                        (await begun(relay.both)).pipe.abort()
                    await echoed(visit, b"still here")
                    assert relay.joined == joined
                    alive = [path for path in rows(relay) if not path.session.draining]
                    assert len(alive) == 1
                assert relay.both.visitor.next_look(relay.both.service.label) is not None
                blocked.undo()
                monkeypatch.setattr(plan, "_is_told", lambda one, way_to: one.host == "127.0.0.1")
                relay.both.visitor.network_changed({"127.0.0.1"})
                await best(relay.both, PathKind.PUNCHED)
                await echoed(visit, b"still here")

        run(story, limit=None)


def test_who_is_not_used_tries_nothing(tmp_path, monkeypatch):
    async def nothing(self, targets, opened, enough):
        await asyncio.sleep(ports.WINDOW)

    monkeypatch.setattr(ports.Ports, "punch", nothing)

    async def story():
        async with relayed(tmp_path) as relay:
            visit = await begun(relay.both)
            await asyncio.sleep(30)
            visit.pipe.abort()
            await asyncio.sleep(500)
            assert relay.joined <= 6

    run(story)


def test_a_punched_path_that_breaks_twice_rests(tmp_path):
    async def story():
        async with relayed(tmp_path) as relay:
            for _ in range(2):
                await begun(relay.both)
                path = await best(relay.both, PathKind.PUNCHED)
                await asyncio.sleep(5)
                path.session.abort(ConnectionLost("a router forgot it"))
                await eventually(lambda path=path: path not in rows(relay), "it is gone")
            await begun(relay.both)
            await asyncio.sleep(300)
            assert set(kinds(relay.both)) == {PathKind.RELAYED}

    run(story)


def test_a_visitor_who_can_be_connected_to_is_called(tmp_path, monkeypatch):
    async def nothing(self, targets, opened, enough):
        await asyncio.sleep(ports.WINDOW)

    monkeypatch.setattr(ports.Ports, "punch", nothing)

    async def story():
        async with relayed(tmp_path) as relay:

            def accepted(stream):
                async def take():
                    line = b""
                    while not line.endswith(b"\r\n"):
                        line += await stream.receive(1)
                    name = line.decode().split()[1]
                    assert line == encode_line(Verb.REVERSE, name)
                    relay.expected.pop(name)(stream)

                relay._tasks.start(take(), "called")

            listener = await Listener.open(["127.0.0.1"], 0, accepted, what="p2pport")
            relay.open_at = [Endpoint("127.0.0.1", listener.port)]
            await begun(relay.both)
            await best(relay.both, PathKind.PUNCHED)
            await listener.aclose()

    run(story)


@pytest.mark.parametrize(
    "line",
    [b"nonsense\n", b"{}\n", b'{"go":{"id":1}}\n', b'{"punch":{"id":9}}\n', b"x" * 5000, b'{"again":{}}\n' * 100],
)
def test_a_host_that_talks_nonsense_is_not_heard_and_its_service_is(tmp_path, monkeypatch, line):
    async def nonsense(self, talk, number, service, half):
        talk._control.say(line)
        await asyncio.sleep(600)

    monkeypatch.setattr(hosting.HostPunches, "_try", nonsense)

    async def story():
        async with relayed(tmp_path) as relay:
            visit = await begun(relay.both)
            [path] = rows(relay)
            await eventually(lambda: path.punched.done(), "nothing comes of it")
            await asyncio.sleep(1)
            assert CONTROL_STREAM not in path.session._streams
            await echoed(visit, b"still here")

    run(story)


@pytest.mark.parametrize("said", [{"go": {"id": 1}}, {"punch": {"id": 7}}, {"stop": {"id": 1, "why": "off"}}, {}])
def test_a_visitor_who_talks_nonsense_is_not_heard_and_his_streams_are(tmp_path, said):
    async def story():
        async with relayed(tmp_path) as relay:

            def talk(control, host, local, wanted, take, over):
                control.hear("punch", lambda value: control.say(json.dumps(said).encode() + b"\n"))

            relay.both.visitor._punched._punches = talk
            visit = await begun(relay.both)
            await asyncio.sleep(8)
            [guest] = relay.both.host.guests
            assert guest.session is not None
            assert guest.session.open_streams == 1
            await echoed(visit, b"still here")
            assert set(kinds(relay.both)) == {PathKind.RELAYED}

    run(story)


def test_a_name_is_good_for_one(tmp_path):
    """Whoever has overheard it, and knows the service, is not let in by it a second time."""

    async def story():
        async with relayed(tmp_path) as relay:
            delivered = []

            def keep(punched):
                delivered.append(punched)
                relay.brought.punched(punched)

            relay.deliver = keep
            await begun(relay.both)
            await best(relay.both, PathKind.PUNCHED)
            [punched] = delivered
            before = len(relay.both.host.guests)
            assert punched.taken.done()
            link = relay.both.visitor._links[relay.both.service.label]
            came: asyncio.Future = asyncio.get_running_loop().create_future()
            listener = await Listener.open(["127.0.0.1"], 0, came.set_result, what="again")
            stream = await tcp.connect_any([Endpoint("127.0.0.1", listener.port)])
            relay.brought.punched(hosting.Punched(await came, punched.service, punched.name, punched.taken, "x"))
            assert not await relay.both.visitor._punched._take(link, link.paths[0], stream, punched.name)
            await asyncio.sleep(1)
            assert len(relay.both.host.guests) <= before
            await listener.aclose()

    run(story)


def attempts(monkeypatch: pytest.MonkeyPatch) -> list[Endpoint]:
    """Whom tries connect to, in order; nobody answers."""
    knocked: list[Endpoint] = []
    real = tcp.connected_socket

    async def counted(addresses, manner=tcp.AS_USUAL):
        if manner.local is None:
            return await real(addresses, manner)
        knocked.extend(addresses)
        raise ConnectionRefusedError(111, "refused")

    monkeypatch.setattr(tcp, "connected_socket", counted)
    return knocked


def a_host_that(say: Callable[[hosting.Talk, int, hosting.Half], Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """In place of HostPunches._try: this host says what it likes."""

    async def told(self, talk, number, service, half):
        await say(talk, number, half)

    return told


def test_a_host_does_not_have_a_visitor_look_for_others_in_his_network(tmp_path, monkeypatch):
    """It says that both are behind one router; only somebody else can know that."""
    monkeypatch.setattr(plan, "_is_near", lambda one, way_to: True)
    knocked, answers = attempts(monkeypatch), []
    victim = Endpoint("192.168.77.9", 8080)

    async def scan(talk, number, half):
        await talk.say(Punch(number, (half.other,), (victim,), name="ab" * 20, you=half.other))
        answers.append(await talk.next())
        await talk.say(Go(number))
        await asyncio.sleep(6)

    monkeypatch.setattr(hosting.HostPunches, "_try", a_host_that(scan))

    async def story():
        async with relayed(tmp_path) as relay:
            await begun(relay.both)
            await eventually(lambda: rows(relay)[0].punched.done(), "it is over")
            assert victim not in knocked
            assert [answer.lan for answer in answers] == [()], "and nobody is told where he is in it"
            await asyncio.gather(*(path.session.aclose() for path in rows(relay)))
            relay.seen_at.add("127.0.0.1")  # his own relay says so, too
            await begun(relay.both)
            await eventually(lambda: victim in knocked, "then it may be true")

    run(story)


def test_a_visitor_does_not_have_a_host_look_for_others_in_its_network(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "_is_near", lambda one, way_to: True)
    knocked = attempts(monkeypatch)
    victim = Endpoint("192.168.77.9", 8080)

    async def story():
        async with relayed(tmp_path) as relay:
            relay.lies = lambda seen, other: (seen, Endpoint("127.0.0.9", 4000))

            def talk(control, host, local, wanted, take, over):
                talk = hosting.Talk(control)

                async def answer():
                    theirs = await talk.next()
                    await talk.say(Punch(theirs.number, theirs.at, (victim,)))
                    await talk.next()

                relay._tasks.start(answer(), "answer")

            relay.both.visitor._punched._punches = talk
            await begun(relay.both)
            await asyncio.sleep(8)
            assert knocked
            assert victim not in knocked

    run(story)


def test_a_host_has_a_visitor_knock_at_somebody_only_so_often(tmp_path, monkeypatch):
    knocked = attempts(monkeypatch)
    victim = Endpoint("127.0.0.1", 4000)
    told = 0

    async def again_and_again(talk, number, half):
        nonlocal told
        while True:
            told += 1
            await talk.say(Punch(told, (victim,), name="ab" * 20, you=half.other))
            if isinstance(await talk.next(), Punch):
                await talk.say(Go(told))
            await asyncio.sleep(1)

    monkeypatch.setattr(hosting.HostPunches, "_try", a_host_that(again_and_again))

    async def story():
        async with relayed(tmp_path) as relay:
            visit = await begun(relay.both)
            for _ in range(10):
                await asyncio.sleep(60)
                (await begun(relay.both)).pipe.abort()
            assert told > 100
            assert len(knocked) <= limits.AT_ONE[0] * plan.MOST_KNOCKS
            await echoed(visit, b"still here")

    run(story)


def test_visitors_who_do_not_read_keep_no_place_from_others(tmp_path, monkeypatch):
    """A line that cannot be said is given up, and with it the try."""
    monkeypatch.setattr(hosting, "MOST_AT_ONCE", 1)

    async def story():
        async with relayed(tmp_path) as relay:
            monkeypatch.setattr(ControlStream, "room_made", lambda self: None)
            await begun(relay.both)
            await asyncio.sleep(30)
            assert relay.punching._host._under_way == 0

    run(story)


def test_one_source_does_not_take_all_tries_of_a_host(tmp_path):
    async def story():
        async with relayed(tmp_path) as relay:
            tries = relay.punching._host._tries
            loop = asyncio.get_running_loop()
            begun_by_one = sum(tries.may_begin("relay 11.22.33.44", loop.time()) for _ in range(100))
            assert begun_by_one == limits.OF_A_SOURCE[0] < limits.OF_ALL[0]

    run(story)


def test_who_finds_no_place_asks_again_and_gets_one(tmp_path):
    async def story():
        async with relayed(tmp_path) as relay:
            busy = [
                _Place("one", relay.punching._visitor._under_way),
                _Place("two", relay.punching._visitor._under_way),
            ]
            await begun(relay.both)
            await asyncio.sleep(5)
            assert set(kinds(relay.both)) == {PathKind.RELAYED}
            assert relay.joined == 1, "no try is lost, and no connection made for it"
            for place in busy:
                place.leave()
            await best(relay.both, PathKind.PUNCHED)
            assert relay.joined == 1

    run(story)


def test_a_host_without_room_says_so_and_is_asked_again(tmp_path, monkeypatch):
    async def story():
        async with relayed(tmp_path) as relay:
            with monkeypatch.context() as full:
                full.setattr(hosting, "MOST_AT_ONCE", 0)
                await begun(relay.both)
                await eventually(lambda: rows(relay)[0].punched.done(), "it says so")
                assert "no room" in rows(relay)[0].punching
            for _ in range(3):
                await asyncio.sleep(30)
                await begun(relay.both)
            await best(relay.both, PathKind.PUNCHED)

    run(story)


def test_a_relay_that_poses_as_the_hosts_router_is_not_taken_for_it(tmp_path):
    async def story():
        async with relayed(tmp_path) as relay:
            await begun(relay.both)
            [path] = rows(relay)
            link = relay.both.visitor._links[relay.both.service.label]
            came: asyncio.Future = asyncio.get_running_loop().create_future()
            listener = await Listener.open([RELAY], 0, came.set_result, what="relay")
            stream = await tcp.connect_any([Endpoint(RELAY, listener.port)])
            assert not await relay.both.visitor._punched._take(link, path, stream, "ab" * 20)
            await listener.aclose()

    run(story)


def test_a_relay_that_says_something_new_each_time_has_nobody_flap_for_ever(tmp_path):
    async def story():
        async with relayed(tmp_path) as relay:
            punched, number = 0, itertools.count(2)
            seen = [frozenset({f"11.22.33.{next(number)}"}) for _ in range(40)]
            paths, upgrades = relay.both.visitor._punched, relay.both.visitor._upgrades
            for one in seen:
                key_hash = relay.both.service.key_hash
                paths._are_seen(key_hash, one)
                if upgrades.rests_until(key_hash) > asyncio.get_running_loop().time():
                    continue
                await begun(relay.both)
                path = await best(relay.both, PathKind.PUNCHED)
                punched += 1
                path.session.abort(ConnectionLost("cut"))
                await eventually(lambda path=path: path not in rows(relay), "it is gone")
                await asyncio.gather(*(path.session.aclose() for path in rows(relay)))
            assert punched <= 4

    run(story)


def test_a_punched_path_that_became_slow_is_left(tmp_path, monkeypatch):
    async def story():
        async with relayed(tmp_path) as relay:
            await begun(relay.both)
            path = await best(relay.both, PathKind.PUNCHED)
            assert path.slowest > 0
            monkeypatch.setattr(upgrade, "_trip", lambda path: 10.0)
            for _ in range(8):
                await asyncio.sleep(50)
                (await begun(relay.both)).pipe.abort()
            assert path.session.draining or path not in rows(relay)

    run(story)


def test_nobody_who_calls_after_a_try_is_taken(tmp_path, monkeypatch):
    async def nothing(self, targets, opened, enough):
        await asyncio.sleep(ports.WINDOW)

    monkeypatch.setattr(ports.Ports, "punch", nothing)

    async def story():
        async with relayed(tmp_path) as relay:
            relay.open_at = [Endpoint("127.0.0.1", 9)]
            await begun(relay.both)
            await eventually(lambda: relay.expected, "somebody is expected")
            [take] = relay.expected.values()
            await eventually(lambda: rows(relay)[0].punched.done(), "it is over")
            assert not relay.expected
            came: asyncio.Future = asyncio.get_running_loop().create_future()
            listener = await Listener.open(["127.0.0.1"], 0, came.set_result, what="late")
            stream = await tcp.connect_any([Endpoint("127.0.0.1", listener.port)])
            take(await came)
            assert await stream_ends(stream)
            await listener.aclose()

    run(story)


async def stream_ends(stream: tcp.TcpStream) -> bool:
    try:
        return not await stream.receive()
    except ConnectionLost:
        return True


def test_a_host_that_opens_streams_keeps_no_session_that_nobody_uses(tmp_path):
    """Only what its visitor opens is use; all but the first are reset, and that one counts for nothing."""

    async def story():
        async with relayed(tmp_path) as relay:
            relay.lies = lambda seen, other: (Endpoint("192.168.1.5", 4000), Endpoint("192.168.1.6", 4000))
            (await begun(relay.both)).pipe.abort()
            await asyncio.sleep(20)
            [path] = [one for one in rows(relay) if one.session.usable]
            [guest] = [one for one in relay.both.host.guests if one.session.usable]
            guest.session._streams[CONTROL_STREAM].abort()
            await settled()
            before = path.session.last_used
            for _ in range(5):
                guest.session.open_control()
                guest.session._outbox.schedule()
                await asyncio.sleep(5)
            assert path.session.last_used == before
            assert path.session.open_streams == 0

    run(story)
