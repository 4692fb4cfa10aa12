"""Lines that connections are to begin with: who gets them, and who is not held up by that."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from hardline.errors import ConnectionLost
from hardline.relay import expected as expected_module
from hardline.relay.expected import Expected
from hardline.relay.lines import Verb, encode_line
from hardline.routes import Endpoint
from hardline.transport import tcp
from hardline.transport.listener import Listener
from hardline.transport.tcp import TcpStream
from tests.relay.running import in_loop, running_relay, until

NAME = "00112233445566778899aabbccddeeff"


@dataclass
class Door:
    """A listener whose connections Expected sees first."""

    expected: Expected
    listener: Listener
    host: list[TcpStream] = field(default_factory=list)
    taken: list[TcpStream] = field(default_factory=list)
    visitors: list[TcpStream] = field(default_factory=list)

    async def come(self, said: bytes = b"") -> TcpStream:
        stream = await tcp.connect_any([Endpoint("127.0.0.1", self.listener.port)])
        self.visitors.append(stream)
        if said:
            await stream.send(said)
        return stream

    def expect(self, verb: Verb = Verb.PROBE, name: str = NAME, seconds: float = 100.0) -> None:
        self.expected.expect(verb, name, self.taken.append, seconds)


@contextlib.asynccontextmanager
async def door(*, most: int = 64, timeout: float = 100.0) -> AsyncIterator[Door]:
    expected = Expected(most=most, of_a_source=most, timeout=timeout)
    found: list[Door] = []

    def accepted(stream: TcpStream) -> None:
        expected.accepted(stream, found[0].host.append)

    listener = await Listener.open(["127.0.0.1"], 0, accepted, what="door")
    found.append(Door(expected, listener))
    try:
        yield found[0]
    finally:
        expected.close()
        for stream in (*found[0].host, *found[0].taken, *found[0].visitors):
            stream.abort()
        await listener.aclose()
        await asyncio.sleep(0)


async def ends(stream: TcpStream) -> None:
    """It was cut, or ended."""
    with contextlib.suppress(ConnectionLost):
        assert await stream.receive() == b""


@in_loop
async def test_while_nothing_is_expected_who_says_nothing_is_the_hosts() -> None:
    async with door() as at:
        stream = await at.come()
        await until(lambda: len(at.host) == 1)
        assert len(at.expected._coming) == 0
        stream.abort()


@pytest.mark.parametrize("verb", [Verb.PROBE, Verb.REVERSE])
@pytest.mark.parametrize("cut", [1, 9, 20, 40])
@in_loop
async def test_what_stands_behind_the_line_is_left_for_who_expected_it(verb: Verb, cut: int) -> None:
    async with door() as at:
        at.expect(verb)
        said = encode_line(verb, NAME) + b"\x16\3\1 and more"
        stream = await at.come(said[:cut])
        await until(lambda: len(at.expected._coming) == 1)
        assert not at.taken
        await stream.send(said[cut:])
        await until(lambda: len(at.taken) == 1)
        got = b""
        while len(got) < 12:
            got += await at.taken[0].receive()
        assert got == b"\x16\3\1 and more"
        await at.taken[0].send(b"answer")
        assert await stream.receive() == b"answer"
        assert not at.host


@pytest.mark.parametrize("said", [b"\x16\3\1", b"HEAD / HTTP/1.1\r\n\r\n", b"HARDLINED", b"GET /", b"\0"])
@in_loop
async def test_what_is_no_line_is_the_hosts_at_once_and_whole(said: bytes) -> None:
    async with door() as at:
        at.expect()
        stream = await at.come(said)
        await until(lambda: len(at.host) == 1)
        assert await at.host[0].receive() == said
        assert not at.taken
        stream.abort()


@pytest.mark.parametrize(
    "said",
    [
        encode_line(Verb.PROBE, "f" * 32),
        encode_line(Verb.REVERSE, NAME),
        encode_line(Verb.PROBE, NAME.upper()),
        encode_line(Verb.PROBE, NAME + " "),
        encode_line(Verb.PROBE, NAME[:-1]),
        b"HARDLINE-NONSENSE x\r\n",
        b"HARDLINE-PROBE " + b"0" * 300,
    ],
)
@in_loop
async def test_a_line_that_nobody_expects_is_the_end(said: bytes) -> None:
    async with door() as at:
        at.expect()
        await ends(await at.come(said))
        assert not at.taken
        assert not at.host
        await at.come(encode_line(Verb.PROBE, NAME))
        await until(lambda: len(at.taken) == 1)


@in_loop
async def test_a_line_is_good_once() -> None:
    async with door() as at:
        at.expect()
        at.expect(Verb.REVERSE)
        await at.come(encode_line(Verb.PROBE, NAME))
        await until(lambda: len(at.taken) == 1)
        await ends(await at.come(encode_line(Verb.PROBE, NAME)))
        assert len(at.taken) == 1


@in_loop
async def test_what_is_forgotten_or_too_old_is_not_expected() -> None:
    async with door() as at:
        at.expect()
        at.expected.forget(Verb.PROBE, NAME)
        at.expected.forget(Verb.PROBE, NAME)
        at.expect(Verb.REVERSE, seconds=0.0)
        await at.come()
        await until(lambda: len(at.host) == 1)


@in_loop
async def test_of_too_many_the_oldest_is_forgotten() -> None:
    async with door() as at:
        for number in range(expected_module.MOST + 1):
            at.expect(name=f"{number:032x}")
        await ends(await at.come(encode_line(Verb.PROBE, f"{0:032x}")))
        await at.come(encode_line(Verb.PROBE, f"{1:032x}"))
        await until(lambda: len(at.taken) == 1)


@in_loop
async def test_who_says_nothing_waits_within_bounds_and_not_for_ever() -> None:
    async with door(most=4, timeout=0.2) as at:
        at.expect()
        silent = [await at.come() for _ in range(10)]
        await asyncio.gather(*map(ends, silent))
        assert len(at.expected._coming) == 0
        assert not at.host


@in_loop
async def test_who_leaves_before_he_says_what_he_is_is_forgotten() -> None:
    async with door() as at:
        at.expect()
        stream = await at.come(b"HARD")
        await until(lambda: len(at.expected._coming) == 1)
        stream.close()
        await until(lambda: len(at.expected._coming) == 0)
        assert not at.host


@in_loop
async def test_a_relay_is_asked_for_no_line_that_somebody_else_in_its_node_expects() -> None:
    async with running_relay() as relay:
        taken: list[TcpStream] = []
        relay.expected.expect(Verb.REVERSE, NAME, taken.append, 100.0)
        stream = await tcp.connect_any([relay.endpoint])
        await stream.send(encode_line(Verb.REVERSE, NAME) + b"behind")
        await until(lambda: len(taken) == 1)
        assert await taken[0].receive() == b"behind"
        other = await tcp.connect_any([relay.endpoint])
        await other.send(encode_line(Verb.REVERSE, NAME))
        assert await other.receive() == encode_line(Verb.NO, "gone")
        for one in (stream, other, *taken):
            one.abort()
