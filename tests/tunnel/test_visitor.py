"""From a label to a pipe: warm sessions, shared dials, refusals, and what is known to be absent."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from hardline.errors import ConnectionLost, LimitReached, PasswordRefused, ServiceFailed
from hardline.identity import Label
from hardline.routes import Endpoint, NoRoute
from hardline.session.session import SessionLimits
from hardline.streams import ByteStream
from hardline.transport.tcp import send_at_once
from hardline.tunnel.dialer import PUT_OFF
from hardline.tunnel.visitor import VisitorLimits
from tests.support.check_byte_stream import read_all
from tests.support.clock import run, settled, since
from tests.tunnel.pair import DIAL_LASTS, QUICK, Pair, echo, eventually, pair

CALM = VisitorLimits(SessionLimits(), keepwarm=60.0)


async def read_exactly(pipe: ByteStream, count: int, early: bytes = b"") -> bytes:
    data = early
    while len(data) < count:
        more = await pipe.receive()
        assert more, f"ended after {len(data)} of {count} bytes"
        data += more
    return data


async def echoed(both: Pair, text: bytes, label: Label | None = None) -> None:
    visit = await both.visitor.visit(label or both.service.label, text)
    early = await visit.answered()
    assert await read_exactly(visit.pipe, len(text), early) == text
    await visit.pipe.aclose()


def now() -> float:
    return asyncio.get_running_loop().time()


async def finds_nobody(both: Pair) -> float:
    """A visit that says so; after how many seconds."""
    began = now()
    with pytest.raises(NoRoute):
        await both.visitor.visit(both.service.label, b"x")
    return since(began)


@contextlib.asynccontextmanager
async def silent() -> AsyncIterator[Endpoint]:
    """Somebody who accepts connections and says nothing."""
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    try:
        yield Endpoint(*server.sockets[0].getsockname())
    finally:
        server.close()


def test_a_visit_reaches_the_service_and_the_next_shares_its_session(tmp_path):
    async def story():
        async with pair(tmp_path, echo) as both:
            await echoed(both, b"one")
            await echoed(both, b"two")
            assert both.finding.searches == 1
            assert len(both.visitor.paths) == 1
            assert [record.candidate.found_by.name for record in both.visitor.recent if record.candidate] == [
                "test",
                "test",
            ]

    run(story)


@pytest.mark.parametrize("most", [0, 3, 1 << 20])
def test_what_a_service_gets_before_its_transport_is_made_comes_once_and_first(tmp_path, monkeypatch, most):
    sent = []

    def some(raw: socket.socket, data: bytes) -> int:
        sent.append(send_at_once(raw, data[:most]))
        return sent[-1]

    monkeypatch.setattr("hardline.tunnel.serving.send_at_once", some)
    first, then = bytes(range(256)) * 100, b"and then"

    async def story():
        async with pair(tmp_path, echo) as both:
            visit = await both.visitor.visit(both.service.label, first)
            await visit.pipe.send(then)
            await visit.pipe.send_eof()
            assert await visit.answered() + await read_all(visit.pipe) == first + then
            await visit.pipe.aclose()

    run(story)
    assert len(sent) == 1
    assert sent[0] in (most, len(first), len(first + then))


def test_what_worked_and_what_the_host_said_is_remembered(tmp_path):
    async def story():
        async with pair(tmp_path, echo) as both:
            await echoed(both, b"x")
            await eventually(lambda: both.memory.learned_calls, "the host's hello reached the memory")
            await settled()
            assert both.memory.worked_calls[0][1:] == (both.finding.endpoints[0], 0, "hardline/2")
            assert both.memory.learned_calls[0][2] == "Test"

    run(story)


def test_what_worked_is_remembered_also_where_the_visitor_ends_right_then(tmp_path):
    async def story():
        async with pair(tmp_path, echo) as both:
            await echoed(both, b"x")
            assert not both.memory.worked_calls, "the first answer comes before the disk's turn"
            await both.visitor.aclose()
            assert len(both.memory.worked_calls) == len(both.memory.learned_calls) == 1

    run(story)


def test_visits_that_come_at_once_wait_for_one_dial(tmp_path):
    async def story():
        async with pair(tmp_path, echo) as both:
            await asyncio.gather(*(echoed(both, b"%d" % number) for number in range(8)))
            assert both.finding.searches == 1

    run(story)


def test_half_a_pipe_can_end_while_the_other_goes_on(tmp_path):
    async def sums_up(reader, writer):
        total = len(await reader.read())
        writer.write(b"%d" % total)
        writer.close()

    async def story():
        async with pair(tmp_path, sums_up) as both:
            visit = await both.visitor.visit(both.service.label, b"a" * 1000)
            await visit.answered()
            await visit.pipe.send(b"b" * 500_000)
            await visit.pipe.send_eof()
            assert await read_exactly(visit.pipe, 6) == b"501000"
            assert await visit.pipe.receive() == b""

    run(story)


@pytest.mark.parametrize(("given", "served"), [("secret", True), ("", False), ("other", False)])
def test_the_labels_word_decides_who_is_served(tmp_path, given, served):
    async def story():
        async with pair(tmp_path, echo, password="secret") as both:
            label = Label(both.service.key_hash, given)
            if served:
                await echoed(both, b"x", label)
            else:
                visit = await both.visitor.visit(label, b"x")
                with pytest.raises(PasswordRefused):
                    await visit.answered()

    run(story)


def test_who_guesses_the_word_is_asked_to_wait_and_told_so(tmp_path):
    async def story():
        async with pair(tmp_path, echo, password="secret") as both:
            failures = []
            for number in range(7):
                visit = await both.visitor.visit(Label(both.service.key_hash, f"wrong{number}"), b"x")
                with pytest.raises((PasswordRefused, ServiceFailed)) as failure:
                    await visit.answered()
                failures.append(getattr(failure.value, "kind", "password"))
            assert failures == ["password"] * 5 + ["wait"] * 2

    run(story)


async def _guesses_until_it_has_to_wait(both: Pair) -> None:
    for number in range(6):
        visit = await both.visitor.visit(Label(both.service.key_hash, f"wrong{number}"), b"x")
        with pytest.raises((PasswordRefused, ServiceFailed)):
            await visit.answered()


def test_where_the_host_said_wait_is_dialled_after_every_other_path(tmp_path, monkeypatch):
    monkeypatch.setattr("hardline.tunnel.dialer.PUT_OFF", 1000.0)

    async def story():
        async with pair(tmp_path, echo, password="secret") as both, both.also_at("::1") as by_ipv6:
            by_ipv4, both.finding.endpoints = both.finding.endpoints, [by_ipv6]
            await _guesses_until_it_has_to_wait(both)
            both.finding.endpoints = [by_ipv6, *by_ipv4]
            await echoed(both, b"x")

    run(story)


def test_where_the_host_said_wait_is_dialled_when_there_is_no_other_path(tmp_path):
    async def story():
        async with pair(tmp_path, echo, password="secret") as both:
            await _guesses_until_it_has_to_wait(both)
            began = now()
            visit = await both.visitor.visit(both.service.label, b"x")
            assert since(began) == PUT_OFF
            with pytest.raises(ServiceFailed):
                await visit.answered()
            await asyncio.sleep(59.75)
            began = now()
            await echoed(both, b"x")
            assert since(began) == PUT_OFF

    run(story)


def test_where_the_host_said_wait_is_dialled_like_any_other_path_a_minute_later(tmp_path):
    async def story():
        async with pair(tmp_path, echo, password="secret") as both:
            await _guesses_until_it_has_to_wait(both)
            await asyncio.sleep(60)
            began = now()
            await echoed(both, b"x")
            assert since(began) == 0

    run(story)


def test_a_session_with_the_right_word_is_not_lent_to_a_wrong_one(tmp_path):
    async def story():
        async with pair(tmp_path, echo, password="secret") as both:
            await echoed(both, b"x")
            visit = await both.visitor.visit(Label(both.service.key_hash, "wrong"), b"x")
            with pytest.raises(PasswordRefused):
                await visit.answered()

    run(story)


def test_a_service_that_is_down_is_told_from_a_host_that_is_away(tmp_path):
    async def story():
        async with pair(tmp_path, echo) as both:
            server = await asyncio.start_server(echo, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            server.close()
            await server.wait_closed()
            both.retarget(target=type(both.service.settings.target)("tcp", "127.0.0.1", port))
            visit = await both.visitor.visit(both.service.label, b"x")
            with pytest.raises(ServiceFailed) as caught:
                await visit.answered()
            assert caught.value.kind == "refused"

    run(story)


def test_an_absent_host_is_known_at_once_the_second_time_and_found_when_it_is_back(tmp_path):
    async def story():
        async with pair(tmp_path, echo) as both:
            await both.stop_host()
            with pytest.raises(NoRoute) as first:
                await both.visitor.visit(both.service.label, b"x")
            assert first.value.attempts[0].failure == "connection refused"
            searches = both.finding.searches
            with pytest.raises(NoRoute):
                await both.visitor.visit(both.service.label, b"x")
            assert both.finding.searches == searches

            await both.start_host()
            await asyncio.sleep(0.375)
            assert await finds_nobody(both) == 0
            assert both.finding.searches == searches, "it was looked for less than half a second ago"
            await asyncio.sleep(0.125)
            began = now()
            await echoed(both, b"x")
            assert since(began) == 0
            assert both.finding.searches == searches + 1

    run(story)


def test_a_host_that_is_still_absent_is_looked_for_twice_a_second_at_most_whoever_asks(tmp_path):
    async def story():
        async with pair(tmp_path, echo) as both:
            await both.stop_host()
            asked = []
            for _ in range(40):
                assert await finds_nobody(both) == 0
                asked.append(both.finding.searches)
                await asyncio.sleep(0.125)
            assert asked == [1 + number // 4 for number in range(40)]

    run(story)


def test_a_visit_waits_a_tenth_of_how_long_its_host_has_been_absent_for_who_looks_again(tmp_path):
    async def story():
        async with pair(tmp_path, echo) as both, silent() as dead:
            both.finding.endpoints = [dead]
            assert await finds_nobody(both) == DIAL_LASTS  # the absence is known since then
            await asyncio.sleep(1)
            assert await finds_nobody(both) == 0.1
            assert both.finding.searches == 2
            await asyncio.sleep(0.4)
            assert await finds_nobody(both) == 0.15
            assert both.finding.searches == 2, "the second visit has no dial of its own"
            await asyncio.sleep(DIAL_LASTS - 0.1 - 0.4 - 0.15)  # until that one failed: the absence is known since then
            assert await finds_nobody(both) == 0
            await asyncio.sleep(4.5)
            assert await finds_nobody(both) == 0.45

    run(story)


def test_after_the_negative_cache_has_run_out_a_visit_waits_for_its_dial_like_the_first(tmp_path):
    async def story():
        async with pair(tmp_path, echo, VisitorLimits(QUICK, negative_cache=3.0)) as both, silent() as dead:
            both.finding.endpoints = [dead]
            assert await finds_nobody(both) == DIAL_LASTS
            await asyncio.sleep(2.875)
            assert await finds_nobody(both) == 0.2875
            await asyncio.sleep(DIAL_LASTS - 0.2875 + 3)
            assert await finds_nobody(both) == DIAL_LASTS
            assert both.finding.searches == 3

    run(story)


def test_who_looks_again_goes_on_when_the_visit_has_waited_enough_and_its_path_is_the_nexts(tmp_path):
    async def story():
        async with pair(tmp_path, echo) as both, silent() as dead:
            right, both.finding.endpoints = both.finding.endpoints, [dead]
            assert await finds_nobody(both) == DIAL_LASTS
            both.finding.endpoints = [dead, *right]  # so it takes a stagger
            await asyncio.sleep(2)
            assert await finds_nobody(both) == 0.2
            assert not both.visitor.is_warm(both.service.label)
            await asyncio.sleep(0.05)
            await settled()
            assert both.visitor.is_warm(both.service.label)
            await echoed(both, b"x")
            assert both.finding.searches == 2

    run(story)


def test_a_visit_that_has_long_enough_to_wait_is_served_by_who_looks_again(tmp_path):
    async def story():
        async with pair(tmp_path, echo) as both, silent() as dead:
            right, both.finding.endpoints = both.finding.endpoints, [dead]
            assert await finds_nobody(both) == DIAL_LASTS
            both.finding.endpoints = [dead, *right]
            await asyncio.sleep(3)
            began = now()
            await echoed(both, b"x")
            assert since(began) == 0.25
            assert both.finding.searches == 2
            assert len(both.visitor.paths) == 1

    run(story)


def test_in_another_network_nobody_is_known_to_be_absent(tmp_path):
    async def story():
        async with pair(tmp_path, echo) as both, silent() as dead:
            both.finding.endpoints = [dead]
            assert await finds_nobody(both) == DIAL_LASTS
            assert await finds_nobody(both) == 0
            both.visitor.network_changed(["192.0.2.1"])
            assert await finds_nobody(both) == DIAL_LASTS

    run(story)


def test_who_is_said_to_be_there_is_waited_for_by_the_next_visit(tmp_path):
    async def story():
        async with pair(tmp_path, echo) as both, silent() as dead:
            right, both.finding.endpoints = both.finding.endpoints, [dead]
            assert await finds_nobody(both) == DIAL_LASTS
            both.finding.endpoints = [dead, *right]  # so it takes a stagger
            assert await finds_nobody(both) == 0
            both.visitor.heard_of(both.service.key_hash)
            began = now()
            await echoed(both, b"x")
            assert since(began) == 0.25

    run(story)


def test_what_others_say_of_it_again_and_again_has_one_visit_wait_in_five_seconds(tmp_path):
    async def story():
        async with pair(tmp_path, echo) as both, silent() as dead:
            both.finding.endpoints = [dead]
            assert await finds_nobody(both) == DIAL_LASTS
            both.visitor.heard_of(both.service.key_hash)
            assert await finds_nobody(both) == DIAL_LASTS, "it was said to be there"
            for _ in range(10):
                both.visitor.heard_of(both.service.key_hash)
            assert await finds_nobody(both) == 0
            await asyncio.sleep(5 - DIAL_LASTS)
            both.visitor.heard_of(both.service.key_hash)
            assert await finds_nobody(both) == DIAL_LASTS

    run(story)


def test_who_is_served_here_meanwhile_is_looked_for_once_more_by_the_same_visit(tmp_path):
    async def story():
        async with pair(tmp_path, echo) as both, silent() as dead:
            right, both.finding.endpoints = both.finding.endpoints, [dead]
            began, visit = now(), asyncio.get_running_loop().create_task(echoed(both, b"x"))
            await asyncio.sleep(1)
            both.finding.endpoints = right
            both.visitor.heard_of(both.service.key_hash, sure=True)
            await visit
            assert since(began) == DIAL_LASTS
            assert both.finding.searches == 2

    run(story)


def test_a_session_that_was_not_used_for_a_while_is_closed(tmp_path):
    async def story():
        async with pair(tmp_path, echo, CALM) as both:
            await asyncio.sleep(5)
            await echoed(both, b"x")
            [path], ended = both.visitor.paths, now()
            await path.session.closed
            assert since(ended) == CALM.keepwarm
            assert str(path.session.failure) == "not used for a while"
            await settled()
            assert not both.visitor.paths
            assert not both.host.guests
            assert not both.visitor.is_warm(both.service.label)

    run(story)


def test_a_session_in_use_stays_warm_and_then_for_a_while_after_its_last_stream(tmp_path):
    async def story():
        async with pair(tmp_path, echo, CALM) as both:
            visit = await both.visitor.visit(both.service.label, b"x")
            await visit.answered()
            [path] = both.visitor.paths
            await asyncio.sleep(1.5 * CALM.keepwarm)
            await visit.pipe.send(b"still here")
            assert (await read_exactly(visit.pipe, 11))[-10:] == b"still here"
            await visit.pipe.aclose()
            await asyncio.sleep(0.75 * CALM.keepwarm)
            await echoed(both, b"and here")
            ended = now()
            await path.session.closed
            assert since(ended) == CALM.keepwarm
            assert len(both.memory.worked_calls) == 1, "one dial"

    run(story)


def test_a_limit_on_streams_is_said_and_the_session_goes_on(tmp_path):
    async def story():
        async with pair(tmp_path, echo) as both:
            visits = [await both.visitor.visit(both.service.label, b"x") for _ in range(QUICK.streams)]
            for visit in visits:
                await visit.answered()
            extra = await both.visitor.visit(both.service.label, b"y")
            await extra.answered()  # through a second session
            for visit in visits:
                await visit.pipe.send(b"z")

    run(story)


def test_when_max_sessions_are_in_use_one_more_is_refused_by_name(tmp_path):
    async def story():
        limits = VisitorLimits(QUICK, sessions=1)
        async with pair(tmp_path, echo, limits) as both:
            visit = await both.visitor.visit(both.service.label, b"x")
            await visit.answered()
            with pytest.raises(LimitReached, match="max_sessions"):
                await both.visitor.visit(Label(both.service.key_hash, "another"), b"x")

    run(story)


def test_a_service_that_is_removed_cuts_its_streams_and_no_others(tmp_path):
    async def story():
        async with pair(tmp_path, echo) as both:
            visit = await both.visitor.visit(both.service.label, b"x")
            await read_exactly(visit.pipe, 1, await visit.answered())
            both.host.replace([])
            await eventually(lambda: not both.visitor.paths, "the session ended")
            with pytest.raises(ConnectionLost):
                await visit.pipe.receive()

    run(story)


def test_a_service_that_changed_its_target_serves_new_streams_there_and_old_ones_where_they_were(tmp_path):
    async def shouts(reader, writer):
        while data := await reader.read(100):
            writer.write(data.upper())
        writer.close()

    async def story():
        async with pair(tmp_path, echo) as both:
            old = await both.visitor.visit(both.service.label, b"a")
            await read_exactly(old.pipe, 1, await old.answered())
            server = await asyncio.start_server(shouts, "127.0.0.1", 0)
            target = type(both.service.settings.target)("tcp", "127.0.0.1", server.sockets[0].getsockname()[1])
            both.retarget(target=target)
            new = await both.visitor.visit(both.service.label, b"b")
            assert await read_exactly(new.pipe, 1, await new.answered()) == b"B"
            await old.pipe.send(b"c")
            assert await read_exactly(old.pipe, 1) == b"c"
            assert both.finding.searches == 1
            await new.pipe.aclose()
            server.close()

    run(story)


def test_a_service_without_legacy_does_not_answer_to_its_plain_name(tmp_path):
    async def story():
        async with pair(tmp_path, echo, legacy=False) as both:
            both.finding.plain = True
            with pytest.raises(NoRoute) as caught:
                await both.visitor.visit(both.service.label, b"x")
            assert "TLS handshake" in caught.value.attempts[0].failure

    run(story)
