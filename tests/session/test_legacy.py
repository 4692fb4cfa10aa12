"""hardline/1 pipes: two lines, then bytes; an end is the end of both directions."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hardline.errors import ConnectionLost, PeerError
from hardline.session.hello import MAX_LINE
from hardline.session.legacy import LegacyPipe
from tests.support import needs
from tests.support.check_byte_stream import read_all, read_exactly
from tests.support.pairs import tls_pair


def run(story):
    async def whole():
        async with asyncio.timeout(100):
            await story()

    asyncio.run(whole())


def test_each_side_sends_a_line_and_what_comes_behind_it_is_payload():
    async def story():
        async with tls_pair() as (client, server):
            visitor, host = LegacyPipe(client), LegacyPipe(server)
            told = asyncio.get_running_loop().create_task(visitor.exchange(b'{"password":"x"}\n'))
            assert await host.read_line() == b'{"password":"x"}'
            await server.send(b"{}\nfirst")
            assert await told == b"{}"
            await host.send(b" second")
            assert await read_exactly(visitor, 12) == b"first second"

    run(story)


@needs.linux()
def test_both_ends_ask_now_and_then_whether_the_other_is_still_there():
    """There are no pings as in hardline/2."""

    async def asking(port: int) -> bool:
        """Whether a keep-alive timer runs at the connection from this port: proc(5), /proc/net/tcp."""
        while True:
            lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
            [timer] = [line[5] for line in lines if line[1].endswith(f":{port:04X}") and line[3] == "01"]
            if timer[:2] in ("00", "02"):
                return timer.startswith("02")
            await asyncio.sleep(0.01)  # another timer runs, such as until what was sent is acknowledged

    async def story():
        async with tls_pair() as (client, server):
            ports = [server.peer.port, client.peer.port]
            assert [await asking(port) for port in ports] == [False, False]
            LegacyPipe(client), LegacyPipe(server)
            assert [await asking(port) for port in ports] == [True, True]

    run(story)


def test_half_an_end_says_nothing_and_a_whole_one_ends_both_ways():
    async def story():
        async with tls_pair() as (client, server):
            visitor, host = LegacyPipe(client), LegacyPipe(server)
            await visitor.send_eof()
            await visitor.send(b"goes on")
            assert await read_exactly(host, 7) == b"goes on"
            await host.send(b"all")
            await host.aclose()
            assert await read_all(visitor) == b"all"

    run(story)


def test_a_first_line_that_never_ends_is_the_peers_fault():
    async def story():
        async with tls_pair() as (client, server):
            await client.send(b"x" * (MAX_LINE + 1))
            with pytest.raises(PeerError, match="first line"):
                await LegacyPipe(server).read_line()

    run(story)


def test_a_host_that_closes_before_its_line_is_told_from_one_that_said_something():
    async def story():
        async with tls_pair() as (client, server):
            asking = asyncio.get_running_loop().create_task(LegacyPipe(client).exchange(b"{}\n"))
            await server.receive()
            await server.aclose()
            with pytest.raises(ConnectionLost):
                await asking

    run(story)
