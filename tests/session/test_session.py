"""Sessions: streams, limits, silence, and ends."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import socket
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from hardline.errors import ConnectionLost, LimitReached
from hardline.session.joint import Joint
from hardline.session.liveness import UNANSWERED
from hardline.session.session import Session, SessionLimits
from hardline.session.stream import Stream
from hardline.session.windows import INITIAL_WINDOW, Backlog
from hardline.session.yamux import HEADER_SIZE
from hardline.transport.contexts import client_context
from hardline.transport.tls import TlsStream
from tests.support import needs
from tests.support.check_byte_stream import read_all, read_exactly
from tests.support.clock import run, settled, since
from tests.support.pairs import host_context, session_pair, tcp_pair
from tests.tunnel.pair import eventually

# Seconds.
ASKS_AFTER, ASKS_ABOUT_DATA_AFTER, GIVES_UP_AFTER = SessionLimits().ping_interval, UNANSWERED, 3.0


def run_for_real(story):
    """Run `story` on the machine's clock: a kernel with little room goes by that, and who is busy all the time sees
    no other one go on."""

    async def whole():
        async with asyncio.timeout(100):
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
        async with session_pair() as (visitor, host, _):
            await asyncio.sleep(600)
            assert not visitor.closed.done()
            assert not host.closed.done()

    run(story)


@contextlib.asynccontextmanager
async def falls_silent() -> AsyncIterator[tuple[Session, TlsStream]]:
    """A visitor's session, and the other end, which will not say or read anything any more."""
    async with tcp_pair() as (one, other):
        client, server = await asyncio.gather(
            TlsStream.over(one, client_context(), "any"), TlsStream.over(other, host_context())
        )
        visitor = Session(client, SessionLimits(), client=True)
        visitor.start()
        server.transport.pause_reading()
        await settled()
        while client.acknowledged not in (
            None,
            client.written,
        ):  # its kernel goes on confirming, and may take a moment for it
            await asyncio.to_thread(time.sleep, 0.001)
        try:
            yield visitor, server
        finally:
            server.abort()


def test_a_peer_that_falls_silent_is_asked_after_the_interval_and_given_up_after_the_timeout():
    async def story():
        async with falls_silent() as (visitor, _):
            await asyncio.sleep(ASKS_AFTER - 0.125)
            written = visitor.tls.written
            await asyncio.sleep(0.125)
            await settled()
            assert visitor.tls.written > written
            assert not visitor.closed.done()
            await visitor.closed
            assert since(visitor.opened_at) == ASKS_AFTER + GIVES_UP_AFTER
            assert "does not answer" in str(visitor.failure)

    run(story)


def test_a_peer_that_falls_silent_while_something_is_asked_of_it_is_given_up_sooner():
    async def story():
        async with falls_silent() as (visitor, _):
            await asyncio.sleep(5)
            began = asyncio.get_running_loop().time()
            ours = visitor.open_stream()
            await ours.send(b"question")
            await visitor.closed
            assert since(began) == ASKS_ABOUT_DATA_AFTER + GIVES_UP_AFTER
            with pytest.raises(ConnectionLost, match="does not answer"):
                await ours.receive()

    run(story)


def test_a_peer_that_may_have_gone_with_the_network_is_asked_at_once():
    async def story():
        async with falls_silent() as (visitor, _):
            await asyncio.sleep(5)
            began = asyncio.get_running_loop().time()
            visitor.network_changed([visitor.tls.local])
            await visitor.closed
            assert since(began) == GIVES_UP_AFTER

    run(story)


def test_a_peer_that_takes_bytes_slowly_is_not_given_up():
    async def story():
        async with session_pair(SessionLimits(ping_interval=0.2, ping_timeout=0.2)) as (visitor, _, opened):
            ours = visitor.open_stream()
            raw = visitor.tls.transport.get_extra_info("socket")
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


@needs.linux()
def test_while_its_kernel_still_takes_what_comes_before_the_ping_a_silent_peer_is_waited_for():
    async def story():
        async with falls_silent() as (visitor, server):
            theirs = server.transport.get_extra_info("socket")
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            visitor.tls.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
            began = asyncio.get_running_loop().time()
            sending = [
                asyncio.get_running_loop().create_task(visitor.open_stream().send(bytes(INITIAL_WINDOW)))
                for _ in range(20)
            ]
            await asyncio.sleep(2)
            before = visitor.tls.acknowledged
            while visitor.tls.acknowledged == before:
                os.read(theirs.fileno(), 65_536)
                time.sleep(0.001)  # in the loop, whose clock goes on meanwhile where everybody waits
            await visitor.closed
            # Asked at 1 s, and looked at every 3 s: at 4 s there was news; at 7 s only if the kernel took its time.
            assert since(began) in (7, 10)
            await asyncio.gather(*sending, return_exceptions=True)

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


def header(kind: int, flags: int, stream: int, length: int) -> bytes:
    return struct.pack(">BBHII", 0, kind, flags, stream, length)


@contextlib.asynccontextmanager
async def raw_visitor(accept, limits: SessionLimits | None = None) -> AsyncIterator[tuple[TlsStream, Session]]:
    """A host's session, and a peer that writes frames as it likes."""
    async with tcp_pair() as (one, other):
        client, server = await asyncio.gather(
            TlsStream.over(one, client_context(), "any"), TlsStream.over(other, host_context())
        )
        host = Session(server, limits or SessionLimits(), client=False, accept=accept)
        host.start()
        try:
            yield client, host
        finally:
            client.abort()
            await host.aclose()


def test_thousands_of_frames_in_one_read_leave_turns_for_everybody_else():
    async def story():
        turns_at: list[int] = []
        turns = 0
        over = asyncio.Event()

        async def others() -> None:
            nonlocal turns
            while not over.is_set():
                turns += 1
                await asyncio.sleep(0)

        async with raw_visitor(lambda stream: turns_at.append(turns)) as (client, _):
            task = asyncio.get_running_loop().create_task(others())
            frames = b"".join(header(1, 1, 2 * n + 1, 0) + header(1, 8, 2 * n + 1, 0) for n in range(4000))
            await client.send(frames)
            await eventually(lambda: len(turns_at) == 4000, "all streams came")
            over.set()
            await task
            at_once = max(Counter(turns_at).values())
            assert at_once <= 64

    run_for_real(story)


def test_what_was_read_and_waits_for_its_turn_is_not_lost_at_the_end():
    async def story():
        streams: list[Stream] = []
        async with raw_visitor(streams.append) as (client, host):
            numbers = range(1, 2 * 900, 2)
            await client.send(b"".join(header(0, 1 | 4, number, 3) + b"%03d" % (number % 1000) for number in numbers))
            await client.send_eof()
            await host.closed
            assert [stream.number for stream in streams] == list(numbers)
            for stream in streams:
                assert await stream.receive() == b"%03d" % (stream.number % 1000)

    run(story)


def test_an_idle_session_keeps_no_staging_buffer():
    async def story():
        async with session_pair() as (visitor, host, opened):
            ours = visitor.open_stream()
            await ours.send(b"question")
            theirs = await opened.get()
            assert await read_exactly(theirs, 8) == b"question"
            await theirs.send(bytes(200_000))
            assert len(await read_exactly(ours, 200_000)) == 200_000
            await eventually(
                lambda: visitor._outbox.staging is host._outbox.staging is None, "both let go of their buffers", 5
            )

    run(story)


def test_a_visitor_whose_streams_nobody_reads_loses_the_fullest():
    async def story():
        streams: list[Stream] = []
        limits = SessionLimits(session_window=1 << 20)
        async with raw_visitor(streams.append, limits) as (client, host):
            for number in range(1, 2 * 100, 2):
                await client.send(header(0, 1, number, 200_000) + bytes(200_000))
            await eventually(lambda: len(streams) == 100, "all came")
            await eventually(lambda: any(stream.gone for stream in streams), "one was cut")
            assert host._holding.held <= (1 << 20) + (16 << 20)
            assert not host.closed.done()
            kept = next(stream for stream in streams if not stream.gone)
            assert len(await read_exactly(kept, 200_000)) == 200_000
            assert host._holding.held == sum(stream.held for stream in streams if not stream.gone)

    run(story)


def test_of_all_sessions_the_one_that_holds_most_loses_its_fullest_streams_when_it_is_too_much_in_all():
    async def story():
        limits = SessionLimits(backlog=Backlog(3 << 20))
        few: list[Stream] = []
        many: list[Stream] = []
        async with raw_visitor(few.append, limits) as (small, small_host):
            await small.send(header(0, 1, 1, 100_000) + bytes(100_000))
            await eventually(lambda: small_host._holding.held == 100_000, "the small one holds something")
            async with raw_visitor(many.append, limits) as (large, large_host):
                for number in range(1, 2 * 20, 2):
                    await large.send(header(0, 1, number, 200_000) + bytes(200_000))
                await eventually(lambda: len(many) == 20, "all came")
                await eventually(lambda: any(stream.gone for stream in many), "one was cut")
                assert large_host._holding.held + small_host._holding.held <= (3 << 20) + 65_536
                assert sum(not stream.gone for stream in many) >= 14
            assert not few[0].gone

    run(story)


def test_a_peer_that_pings_by_the_hundred_is_cut_off_and_one_that_does_it_slowly_is_not():
    async def story():
        async with raw_visitor(lambda stream: None) as (client, host):
            for _ in range(3):
                await client.send(header(2, 1, 0, 7) * 150)
                await asyncio.sleep(1)
            assert not host.closed.done()
            with contextlib.suppress(ConnectionLost):
                await client.send(header(2, 1, 0, 7) * 500)
            await host.closed
            assert "more than 200 pings a second" in str(host.failure)

    run(story)


@pytest.mark.parametrize(("after", "cut"), [(0.875, True), (1.0, False)])
def test_more_pings_than_are_due_are_a_matter_of_one_second(after, cut):
    async def story():
        async with raw_visitor(lambda stream: None) as (client, host):
            await client.send(header(2, 1, 0, 7) * 150)
            await asyncio.sleep(after)
            await client.send(header(2, 1, 0, 7) * 150)
            await settled()
            assert host.closed.done() == cut

    run(story)


def test_a_peer_that_asks_and_never_reads_is_told_off_before_it_costs_much(monkeypatch):
    monkeypatch.setattr("hardline.session.conduct.PINGS", 1 << 30)
    monkeypatch.setattr("hardline.session.conduct.SPARE", 1 << 30)

    async def story():
        async with raw_visitor(lambda stream: None) as (client, host):
            client.transport.pause_reading()
            asked, most = 0, 0
            with contextlib.suppress(ConnectionLost):
                while asked < 5_000_000:
                    await client.send(header(2, 1, 0, 7) * 5000)
                    asked += 5000
                    most = max(most, host.tls.transport.get_write_buffer_size())
            await host.closed
            assert "asks for more answers" in str(host.failure)
            assert most < 1 << 20

    run(story)


def test_answers_that_waited_for_a_slow_socket_leave_when_it_is_ready():
    async def story():
        async with session_pair() as (visitor, host, opened):
            ours = visitor.open_stream()
            raw = visitor.tls.transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
            host.tls.transport.pause_reading()
            await ours.send(bytes(200_000))
            await eventually(lambda: visitor.tls.blocked, "the socket is behind")
            visitor._yamux.ping(77)
            visitor._outbox.schedule()
            for _ in range(100):
                await asyncio.sleep(0)
            assert visitor.tls.blocked
            assert visitor._yamux.has_answers
            host.tls.transport.resume_reading()
            await eventually(lambda: not visitor._yamux.has_answers and not visitor.tls.blocked, "all of it left")
            assert len(await read_exactly(await opened.get(), 200_000)) == 200_000

    run_for_real(story)


RECORD = 22  # bytes that TLS 1.3 adds to what is in one


def test_an_end_that_nobody_waits_for_leaves_with_what_is_said_next():
    async def story():
        async with session_pair() as (visitor, _, opened):
            first = visitor.open_stream()
            await first.send(b"x")
            theirs = await opened.get()
            await theirs.send(b"y")
            assert await first.receive() == b"y"
            before = visitor.tls.written
            first.finish(lazily=True)
            await visitor.open_stream().send(b"z")
            await opened.get()
            assert visitor.tls.written == before + RECORD + 2 * HEADER_SIZE + 1
            assert await read_all(theirs) == b"x"

    run_for_real(story)


def test_an_end_that_nobody_waits_for_leaves_alone_after_a_moment():
    async def story():
        async with session_pair() as (visitor, host, opened):
            ours = visitor.open_stream()
            await ours.send(b"x")
            theirs = await opened.get()
            ours.finish(lazily=True)
            assert await read_all(theirs) == b"x"
            theirs.finish(lazily=True)
            assert await ours.receive() == b""
            await eventually(lambda: not (visitor.open_streams or host.open_streams), "both have forgotten it")

    run_for_real(story)


def test_the_first_who_hurries_in_a_turn_waits_for_nobody_and_the_others_leave_together():
    async def story():
        async with session_pair() as (visitor, _, opened):
            streams = [visitor.open_stream() for _ in range(4)]
            await asyncio.sleep(0.01)
            before, grew = visitor.tls.written, []
            for stream in streams:
                stream.session.put(stream, memoryview(b"x"))
                visitor.hurry()
                grew.append(visitor.tls.written - before)
            one = HEADER_SIZE + 1
            assert grew == [RECORD + one] * 4
            for _ in streams:
                assert await (await opened.get()).receive() == b"x"
            assert visitor.tls.written - before == 2 * RECORD + 4 * one

    run_for_real(story)


def test_the_peer_hears_of_ends_before_it_hears_of_several_streams_that_take_their_place():
    async def story():
        async with session_pair(SessionLimits(streams=4)) as (visitor, _, opened):
            before = [visitor.open_stream() for _ in range(3)]
            for stream in before:
                await stream.send(b"x")
                await (await opened.get()).send_eof()
                assert await stream.receive() == b""
            for stream in before[:2]:
                stream.finish(lazily=True)
            streams = []
            for _ in range(3):
                streams.append(stream := visitor.open_stream())
                assert stream.session.put(stream, memoryview(b"y")) == 1
            for _ in streams:
                theirs = await opened.get()
                await theirs.send(await theirs.receive())
            assert [await stream.receive() for stream in streams] == [b"y"] * 3

    run_for_real(story)


def test_of_an_end_alone_no_answer_is_expected():
    async def story():
        async with session_pair() as (visitor, host, opened), tcp_pair() as (service, ours):
            stream = visitor.open_stream()
            await stream.send(b"x")
            joint = Joint(await opened.get(), ours)
            assert await service.receive() == b"x"
            await eventually(lambda: math.isinf(host._watch.marks.asked_at), "the host has its answers")
            joint.get_buffer(-1)  # as before each read, also of an end
            await service.send_eof()
            assert await stream.receive() == b""
            assert math.isinf(host._watch.marks.asked_at)

    run_for_real(story)


def test_a_peer_that_stopped_is_given_up_also_where_a_ping_left_with_data():
    async def story():
        async with session_pair() as (visitor, host, opened), tcp_pair() as (service, ours):
            await visitor.open_stream().send(b"x")
            joint = Joint(await opened.get(), ours)
            assert await service.receive() == b"x"
            await service.send(b"y")
            visitor.tls.transport.pause_reading()  # its kernel goes on confirming
            visitor._watch.stop()
            pings = host._watch._send_ping

            def ping(value: int) -> None:
                pings(value)
                joint.get_buffer(-1)[:1] = b"z"
                joint.buffer_updated(1)

            host._watch._send_ping = ping
            began = time.monotonic()
            while not host.closed.done() and time.monotonic() < began + 15:
                await service.send(b"and so on")
                await asyncio.sleep(0.1)
            assert host.closed.done()
            assert "does not answer" in str(host.failure)

    run_for_real(story)
