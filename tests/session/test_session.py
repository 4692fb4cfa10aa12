"""Sessions: streams, limits, silence, and ends."""

from __future__ import annotations

import asyncio
import socket

import pytest

from hardline.errors import ConnectionLost, LimitReached
from hardline.session.session import Session, SessionLimits
from hardline.transport.tls import TlsStream, client_context
from tests.support.check_byte_stream import read_all, read_exactly
from tests.support.pairs import host_context, session_pair, tcp_pair
from tests.tunnel.pair import eventually

QUICK = SessionLimits(ping_interval=0.2, ping_timeout=0.2)


def run(story):
    async def whole():
        async with asyncio.timeout(60):
            await story()

    asyncio.run(whole())


def test_a_thousand_streams_opened_and_ended_leave_nothing_behind():
    async def story():
        async with session_pair() as (visitor, host, opened):
            for _ in range(1000):
                ours = visitor.open_stream()
                await ours.send(b"x")
                theirs = await opened.get()
                await ours.send_eof()
                assert await read_all(theirs) == b"x"
                await theirs.send_eof()
                assert await ours.receive() == b""
            assert visitor.open_streams == host.open_streams == 0
            assert not visitor._streams
            assert not host._streams

    run(story)


def test_a_thousand_streams_opened_and_reset_leave_nothing_behind():
    async def story():
        async with session_pair() as (visitor, host, opened):
            for _ in range(1000):
                ours = visitor.open_stream()
                await ours.send(b"x")
                await ours.aclose()
                (await opened.get()).abort()
            await eventually(lambda: not host._streams and not host.open_streams, "the host forgot them")
            assert not visitor._streams

    run(story)


def test_a_reset_is_seen_as_a_cut_after_what_came_before_it():
    async def story():
        async with session_pair() as (visitor, _, opened):
            ours = visitor.open_stream()
            await ours.send(b"before")
            theirs = await opened.get()
            assert await read_exactly(theirs, 6) == b"before"
            await ours.aclose()
            with pytest.raises(ConnectionLost):
                await theirs.receive()

    run(story)


def test_when_a_session_ends_its_streams_are_cut():
    async def story():
        async with session_pair() as (visitor, _, opened):
            ours = visitor.open_stream()
            await ours.send(b"x")
            theirs = await opened.get()
            await visitor.aclose()
            for stream in (ours, theirs):
                with pytest.raises(ConnectionLost):
                    await read_all(stream)

    run(story)


def test_a_go_away_lets_open_streams_finish_and_refuses_new_ones():
    async def story():
        async with session_pair() as (visitor, host, opened):
            ours = visitor.open_stream()
            await ours.send(b"x")
            theirs = await opened.get()
            host.go_away()
            await eventually(lambda: not visitor.usable, "the go-away arrived")
            with pytest.raises(LimitReached):
                visitor.open_stream()
            await theirs.send(b"still")
            assert await read_exactly(ours, 5) == b"still"

    run(story)


def test_a_quiet_session_stays_alive_by_pings():
    async def story():
        async with session_pair(QUICK) as (visitor, host, _):
            await asyncio.sleep(1.0)
            assert not visitor.closed.done()
            assert not host.closed.done()

    run(story)


def test_a_peer_that_falls_silent_is_given_up():
    async def story():
        async with tcp_pair() as (one, other):
            client, server = await asyncio.gather(
                TlsStream.over(one, client_context(), "any"), TlsStream.over(other, host_context())
            )
            visitor = Session(client, QUICK, client=True)
            visitor.start()
            server._transport.pause_reading()
            began = asyncio.get_running_loop().time()
            await visitor.closed
            assert asyncio.get_running_loop().time() - began < 2
            assert "does not answer" in str(visitor.failure)
            server.abort()

    run(story)


def test_a_peer_that_takes_bytes_slowly_is_not_given_up():
    async def story():
        async with session_pair(QUICK) as (visitor, _, opened):
            ours = visitor.open_stream()
            raw = visitor.tls._transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
            sending = asyncio.get_running_loop().create_task(ours.send(bytes(600_000)))
            theirs = await opened.get()
            received = 0
            while received < 600_000:
                received += len(await theirs.receive(20_000))
                await asyncio.sleep(0.05)
            await sending
            assert not visitor.closed.done()

    run(story)


def test_garbage_ends_the_session_and_says_whose_fault_it_was():
    async def story():
        async with tcp_pair() as (one, other):
            client, server = await asyncio.gather(
                TlsStream.over(one, client_context(), "any"), TlsStream.over(other, host_context())
            )
            host = Session(server, SessionLimits(), client=False, accept=lambda stream: None)
            host.start()
            await client.send(b"GET / HTTP/1.1\r\n\r\n")
            await host.closed
            assert "yamux version" in str(host.failure)
            client.abort()

    run(story)
