"""Joins inside TLS: what is joined is as if they were not, and nothing of it is done for strangers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random

import pytest

from hardline.errors import ConnectionLost
from hardline.relay.joinway import AT_ONCE, FIRST_LOOK, LONGEST, JoinWay
from hardline.relay.lines import Verb, encode_line
from hardline.routes import Endpoint, RelayAddress
from hardline.streams import ByteStream
from hardline.tasks import TaskSet
from hardline.transport import tcp
from hardline.transport.listener import Listener
from hardline.transport.tcp import TcpStream
from tests.relay.running import echoed, in_loop, running_host, running_relay, until
from tests.relay.test_relay import control


class OnlyTls:
    """A firewall before a relay: what begins as anything but TLS is reset."""

    def __init__(self, to: Endpoint) -> None:
        self._to, self._tasks = to, TaskSet("firewall")
        self.refused = self.passed = 0
        self.listener: Listener

    async def open(self) -> Endpoint:
        self.listener = await Listener.open(["127.0.0.1"], 0, self._came, what="firewall")
        return self.listener.endpoints[0]

    def _came(self, stream: TcpStream) -> None:
        self._tasks.start(self._carry(stream), "carry", expects=Exception)

    async def _carry(self, inside: TcpStream) -> None:
        first = await inside.receive()
        if first[:1] != b"\x16":
            self.refused += 1
            inside.abort()
            return
        self.passed += 1
        outside = await tcp.connect_any([self._to])
        try:
            await outside.send(first)
            await asyncio.gather(_copy(inside, outside), _copy(outside, inside))
        finally:
            inside.abort()
            outside.abort()

    async def aclose(self) -> None:
        await self.listener.aclose()
        await self._tasks.aclose()


async def _copy(one: TcpStream, other: TcpStream) -> None:
    while data := await one.receive():
        await other.send(data)
    await other.send_eof()


async def read_to_end(stream: ByteStream) -> None:
    while await stream.receive():
        pass


@pytest.mark.parametrize("parked", [True, False])
def test_a_host_that_only_tls_gets_out_of_is_visited(parked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not parked:
        monkeypatch.setattr("hardline.relay.joins.MAX_PARKED", 0)

    @in_loop
    async def story() -> None:
        async with running_relay() as relay:
            firewall = OnlyTls(relay.endpoint)
            address = RelayAddress(await firewall.open(), relay.address.key_hash)
            async with running_host(address) as host:
                assert host.client.inside_tls
                refused = firewall.refused
                if parked:
                    await until(lambda: relay.relay.describe().parked == 2)
                    host.client._joins._under_way = 10_000  # no invite is followed
                data = random.Random(1).randbytes(3_000_000)
                for _ in range(3):
                    visitor = await host.visit(relay.endpoint)
                    assert await echoed(visitor, data) == data
                    assert relay.relay.describe().pairs == 1
                    await visitor.send_eof()
                    assert await visitor.receive() == b"", "each direction ends by itself"
                    await visitor.aclose()
                    await until(lambda: relay.relay.describe().pairs == 0)
                    if parked:
                        await until(lambda: relay.relay.describe().parked == 2)
                assert relay.relay.describe().passed > 6 * len(data)
                assert [one.saw for one in host.joined] == [None] * 3
                assert firewall.refused == refused, "nothing is tried as it is any more"
                visitor = await host.visit(relay.endpoint)
                host.joined[-1].tcp.abort()
                with pytest.raises(ConnectionLost):
                    await read_to_end(visitor)
                await until(lambda: relay.relay.describe().pairs == 0)
            await firewall.aclose()

    story()


@in_loop
async def test_where_everything_passes_nothing_is_inside_tls() -> None:
    async with running_relay() as relay, running_host(relay.address) as host:
        visitor = await host.visit(relay.endpoint)
        assert await echoed(visitor, b"hello") == b"hello"
        assert not host.client.inside_tls
        await visitor.aclose()


@in_loop
async def test_guessed_and_replayed_tokens_do_nothing_and_silent_ones_are_cut() -> None:
    async with running_relay(timeout=0.5) as relay, running_host(relay.address) as host:
        host.client._joins._under_way = 10_000
        await until(lambda: relay.relay.describe().parked == 2)
        for control_ in tuple(relay.relay._controls):
            relay.relay._parking.left(control_)  # none is ready
        visit = TASKS.start(host.visit(relay.endpoint), "visit", expects=Exception)
        await until(lambda: relay.relay.describe().waiting == 1)
        [token] = relay.relay._waiting._visitors
        for verb, said in ((Verb.JOIN, "0" * 32), (Verb.PARK, token), (Verb.GO, "x")):
            tls = await control(relay)
            await tls.send(encode_line(verb, said))
            assert await tls.receive() == b"HARDLINE-NO gone\r\n"
        first = await control(relay)
        line = encode_line(Verb.JOIN, token)
        for at in range(len(line)):
            await first.send(line[at : at + 1])
        assert (await first.receive()).startswith(b"HARDLINE-OK 127.0.0.1:")
        again = await control(relay)
        await again.send(line)
        assert await again.receive() == b"HARDLINE-NO gone\r\n"
        first.abort()
        visit.cancel()
        await until(lambda: relay.relay.describe().pairs == 0)


TASKS = TaskSet("test")


def test_strangers_that_say_nothing_in_it_leave_nothing_behind() -> None:
    from hardline.relay.limits import RelayLimits

    @in_loop
    async def story() -> None:
        async with running_relay(RelayLimits(hello_timeout=0.3)) as relay:
            before = len(os.listdir("/proc/self/fd"))
            silent = [await control(relay) for _ in range(20)]
            for half in silent[:10]:
                with contextlib.suppress(ConnectionLost):  # on a slow machine its time is up
                    await half.send(b"HARDLINE-JO")
            for one in silent:
                with pytest.raises(ConnectionLost):
                    await read_to_end(one)
                one.abort()
            assert not relay.relay._controls._of_source
            await until(lambda: len(os.listdir("/proc/self/fd")) <= before)

    story()


def test_two_without_an_answer_are_a_reason_and_one_is_not() -> None:
    way = JoinWay()
    assert not way.unanswered(inside=False, now=0.0)
    way.answered(inside=False)
    assert not way.unanswered(inside=False, now=0.0)
    assert way.unanswered(inside=False, now=0.0)
    assert way.inside
    assert not way.unanswered(inside=False, now=0.0), "a late one of the way before"
    way.parted(AT_ONCE + 1)
    assert not way.inside, "nothing has shown that it works"
    assert not way.unanswered(inside=False, now=0.0)
    assert way.unanswered(inside=False, now=0.0)
    way.answered(inside=True)
    way.parted(AT_ONCE + 1)
    assert way.inside
    for _ in range(10):
        way.looked(passes=False)
    assert way.look_after == LONGEST
    way.looked(passes=True)
    assert (way.inside, way.look_after) == (False, FIRST_LOOK)


def test_a_relay_that_knows_nothing_of_it_is_spoken_to_as_it_is_again() -> None:
    way = JoinWay()
    assert not way.unanswered(inside=False, now=0.0)
    assert way.unanswered(inside=False, now=0.0)
    assert not way.unanswered(inside=True, now=0.0)
    assert way.unanswered(inside=True, now=0.0)
    assert not way.inside


def test_another_network_is_a_new_beginning() -> None:
    way = JoinWay()
    assert not way.unanswered(inside=False, now=0.0)
    assert way.unanswered(inside=False, now=0.0)
    way.answered(inside=True)
    way.network_changed()
    assert not way.inside


def test_a_relay_that_ends_has_shown_nothing_of_the_way() -> None:
    """It closes what is parked before the control connection."""
    way = JoinWay()
    for _ in range(2):
        way.unanswered(inside=False, now=0.0)
    assert (way.inside, way.only_tls) == (True, False), "nothing was answered there yet"
    assert way.answered(inside=True)
    assert not way.answered(inside=True), "it is no news"
    way.looked(passes=False)
    for _ in range(2):
        way.unanswered(inside=True, now=100.0)
    assert not way.inside
    way.parted(100.1)
    assert (way.only_tls, way.look_after) == (True, 2 * FIRST_LOOK)
    for _ in range(2):
        way.unanswered(inside=True, now=200.0)
    way.parted(200.0 + AT_ONCE + 1)
    assert not way.inside, "the control connection stood"
    for _ in range(2):
        way.unanswered(inside=False, now=300.0)
    way.parted(300.1)
    assert not way.inside
