"""The carrier in C brings every byte where Python's own way does, counts it as that does, and judges nothing."""

from __future__ import annotations

import asyncio
import gc
import importlib
import importlib.util
import math
import os
import resource
import socket
import struct
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.errors import ConnectionLost, PeerError
from hardline.native import books, built
from hardline.session import frames, liveness, outbox, yamux
from hardline.session.joint import Joint
from hardline.session.windows import INITIAL_WINDOW
from hardline.session.yamux import ACK, DATA, FIN, HEADER_SIZE, PING, RST, SYN, WINDOW
from hardline.transport import buffers, native, records, tls
from hardline.transport.engine import Scratch
from tests.support.carrying import NUMBERS, End, agree, ends
from tests.support.check_byte_stream import read_exactly
from tests.support.pairs import session_pair, tcp_pair
from tests.support.size import FULL

pytestmark = pytest.mark.skipif(
    native.best_engine is not native.NativeEngine, reason=f"this machine cannot have the part in C: {native.why_not}"
)

HEADER = struct.Struct(">BBHII")
FRAMES = st.one_of(
    st.tuples(
        st.just(DATA), st.sampled_from([0, 0, 0, 0, ACK, FIN, RST]), st.sampled_from(NUMBERS), st.integers(0, 3000)
    ),
    st.tuples(st.just(DATA), st.just(0), st.sampled_from(NUMBERS), st.integers(1, 40_000)),
    st.tuples(st.just(WINDOW), st.sampled_from([0, ACK]), st.sampled_from(NUMBERS), st.integers(0, 100)),
    st.tuples(st.just(PING), st.sampled_from([SYN, ACK]), st.just(0), st.integers(0, 9)),
    st.tuples(st.just(DATA), st.just(0), st.sampled_from([9, 2]), st.integers(0, 20)),  # never opened: an error
)


@given(
    st.lists(FRAMES, max_size=30),
    st.lists(st.integers(1, 50_000), min_size=1, max_size=8),
    st.frozensets(st.sampled_from(NUMBERS)),
    st.sampled_from([1 << 30, 1, 3]),
    st.sampled_from([0, 1, 50, 5000, 70_000]),
)
def test_every_byte_and_every_event_is_that_of_python(frames, cuts, joined, most, every):
    said = b"".join(
        HEADER.pack(0, kind, flags, number, length)
        + (bytes((index + at) % 251 for at in range(length)) if kind == DATA else b"")
        for index, (kind, flags, number, length) in enumerate(frames)
    )
    agree(said, cuts, joined, most, every)


def test_what_comes_on_a_stream_that_was_cut_is_nobodys_also_before_its_lane_has_heard():
    cut = HEADER.pack(0, DATA, RST, 3, 0)
    agree(cut + HEADER.pack(0, DATA, 0, 3, 5) + b"later", [1], frozenset({3}), 1 << 30, 0)


def test_what_a_socket_does_not_take_is_left_to_python_to_the_byte():
    end = End(1, joined=frozenset({1}))
    with ends(end):
        lane = end.lanes[1]
        lane.near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        payload = os.urandom(200_000)
        offset, frames = end.carry(memoryview(HEADER.pack(0, DATA, 0, 1, len(payload)) + payload), 100)
        written = offset - HEADER_SIZE
        assert frames == 1
        assert 0 < written < len(payload)
        assert (end.yamux.payload_stream, end.yamux.payload_left, lane.moved) == (1, len(payload) - written, written)
        assert lane.far.recv(1 << 20) == payload[:written]
        assert end.carry(memoryview(payload[written:]), 100) == (0, 0), "it is Python's until the lane offers again"


def test_a_whole_small_frame_is_shown_to_the_gate_and_what_its_socket_does_not_take_is_held_by_python():
    end = End(1, joined=frozenset({1}), every=1)
    with ends(end):
        lane = end.lanes[1]
        lane.near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        payload, frames = os.urandom(3000), 0
        while not lane.brought:  # the gate says nothing of the first six
            lane.offer(lane.near.fileno(), 0)
            _, one = end.carry(memoryview(HEADER.pack(0, DATA, 0, 1, len(payload)) + payload), 100)
            frames += one
        lane.drain()
        assert end.got[1] == payload * frames
        assert lane.gate.got == lane.moved == len(payload) * frames
        assert end.holding.held == end.streams[1].held == 0, "Python has taken it since"


def test_a_gate_that_is_told_of_a_change_has_python_see_to_it():
    end = End(1, joined=frozenset({1}), every=1)
    with ends(end):
        end.take(HEADER.pack(0, DATA, 0, 1, 7) + b"changes" + HEADER.pack(0, DATA, 0, 1, 3) + b"not")
        assert (end.got[1], end.lanes[1].brought) == (b"changesnot", 1)


def test_a_lane_that_ends_while_it_is_shown_a_frame_gets_nothing_of_it():
    end = End(2, joined=frozenset({1, 3}), every=1)
    with ends(end):

        def end_it(data: memoryview) -> bool:
            end.lanes[1].part()
            return False

        end.lanes[1].gate.heard = end_it
        frames = HEADER.pack(0, DATA, 0, 1, 3) + b"abc" + HEADER.pack(0, DATA, 0, 3, 3) + b"def"
        assert end.carry(memoryview(frames), 9) == (len(frames), 2)
        with pytest.raises(BlockingIOError):
            end.lanes[1].far.recv(9)
        assert end.lanes[3].far.recv(9) == b"def"


def test_a_session_that_ends_while_a_gate_is_shown_a_frame_carries_nothing_more():
    end = End(2, joined=frozenset({1, 3}), every=1)
    with ends(end):

        def end_all(data: memoryview) -> bool:
            end.unlink()
            return False

        end.lanes[1].gate.heard = end_all
        frames = HEADER.pack(0, DATA, 0, 1, 3) + b"abc" + HEADER.pack(0, DATA, 0, 3, 3) + b"def"
        end.carry(memoryview(frames), 9)
        for lane in end.lanes.values():
            assert not lane.linked
            with pytest.raises(BlockingIOError):
                lane.far.recv(9)


def test_a_frame_beyond_the_window_is_left_to_python_which_ends_the_session():
    end = End(1, joined=frozenset({1}))
    with ends(end), pytest.raises(PeerError, match="in a window of"):
        end.take(HEADER.pack(0, DATA, 0, 1, INITIAL_WINDOW + 1) + b"x")
    assert not end.lanes[1].moved


def test_a_descriptor_that_is_none_any_more_takes_nothing():
    end = End(1, joined=frozenset({1}))
    end.lanes[1].near.close()
    with ends(end):
        assert end.carry(memoryview(HEADER.pack(0, DATA, 0, 1, 3) + b"abc"), 1) == (HEADER_SIZE, 1)
        assert (end.yamux.payload_left, end.lanes[1].moved) == (3, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda lane, box: lane.link(box, -1, books.Use(), books.Ways(), books.Window(), books.Reasons()),
        lambda lane, box: lane.link(box, 1 << 32, books.Use(), books.Ways(), books.Window(), books.Reasons()),
        lambda lane, box: lane.link(None, 1, books.Use(), books.Ways(), books.Window(), books.Reasons()),
        lambda lane, box: lane.link(box, 1, books.Ways(), books.Ways(), books.Window(), books.Reasons()),
        lambda lane, box: lane.link(box, 1, books.Use(), books.Ways(), books.Window()),
        lambda lane, box: lane.offer("1", 0),
        lambda lane, box: lane.offer(1 << 40, 0),
        lambda lane, box: lane.buffer_updated("1"),
        lambda lane, box: box.carry(b"bytes", 1),
        lambda lane, box: box.carry(memoryview(b"12345678")[::2], 1),
        lambda lane, box: box.link(),
        lambda lane, box: box.link(*[None] * 11),
        lambda lane, box: setattr(box, "fill", "1"),
        lambda lane, box: setattr(lane, "counted", 1),
        lambda lane, box: books.Wire().link(
            box, None, books.Sizes(), bytearray(), bytearray(), memoryview(b""), bytearray()
        ),
        lambda lane, box: books.Wire().buffer_updated(-1),
        lambda lane, box: books.Wire().get_buffer(-1),
    ],
)
def test_the_types_refuse_what_they_cannot_mean(wrong):
    with pytest.raises((TypeError, OverflowError, ValueError, RuntimeError, BufferError)):
        wrong(books.Lane(), books.Box())


def test_a_stream_has_one_lane_and_a_lane_one_stream():
    end = End(2, joined=frozenset({1}))
    with ends(end):
        parts = books.Use(), books.Ways(), books.Window(), books.Reasons()
        with pytest.raises(ValueError):
            books.Lane().link(end, 1, *parts)
        with pytest.raises(ValueError):
            end.lanes[1].link(end, 3, *parts)
        end.lanes[1].part()
        end.lanes[1].part()
        end.lanes[1].link(end, 1, *parts)


def test_what_is_linked_with_nothing_asks_python():
    class Lane(books.Lane):
        def room_for(self, sizehint=-1):
            return memoryview(bytearray(5))

        def took(self, nbytes):
            self.said = nbytes

    class Box(books.Box):
        turns = 0

        def end_turn(self):
            self.turns += 1

    lane, box = Lane(), Box()
    assert len(lane.get_buffer(-1)) == 5
    lane.buffer_updated(3)
    box.tick()
    assert (lane.said, box.turns, box.carry(memoryview(bytes(12)), 9)) == (3, 1, (0, 0))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        *((yamux, "HEADER_SIZE"), (frames, "AT_ONCE"), (liveness, "UNANSWERED"), (tls, "_BURST"), (buffers, "STAGING")),
        *((outbox, "_ALONE"), (outbox, "_TURN"), (outbox, "_SHARE"), (outbox, "_FLUSH_AT"), (records, "SMALL")),
    ],
)
def test_c_has_the_numbers_of_python(module, name):
    assert getattr(built.carry, name) == getattr(module, name)


def test_c_has_the_pause_of_python():
    assert built.carry.PAUSE_MS == records._PAUSE * 1000


def test_behind_a_pause_python_cuts_small_records_and_then_c_sends_by_itself():
    async def story() -> None:
        async with session_pair() as (visitor, _, opened), tcp_pair() as (browser, ours):
            stream, written = visitor.open_stream(), list[int]()
            joint = Joint(stream, ours)
            await browser.send(b"x")
            theirs = await opened.get()
            assert await read_exactly(theirs, 1) == b"x"
            by_python = visitor.tls._write

            def write(source: Scratch, count: int) -> None:
                written.append(count)
                by_python(source, count)

            visitor.tls._write = write
            for paused in (True, False):
                if paused:
                    visitor.tls._records.sent_at = -math.inf
                before = visitor.tls.written
                await browser.send(bytes(20_000))
                assert await read_exactly(theirs, 20_000) == bytes(20_000)
                assert (written[:1] == [records.SMALL]) is paused
                assert visitor.tls.written - before > 20_000
                written.clear()
            joint.abort(ConnectionLost("the test is over"))

    asyncio.run(story())


def test_a_connection_that_was_never_linked_is_written_to_by_python_whatever_it_says_of_itself():
    class Box(books.Box):
        flushed = 0

        def flush(self) -> None:
            self.flushed += 1

    box, wire = Box(), books.Wire()
    parts = (lambda: 0.0), print, print, print, print
    box.link(
        wire, books.Frames(), books.Held(), books.Marks(), books.Budget(), bytearray(), [], {}, {}, parts, object()
    )
    wire.direct, wire.transport, box.staging, box.fill = True, wire, Scratch(100), 5
    box.tick()
    assert box.flushed == 1
    with pytest.raises(AttributeError, match="took_in"):
        books.Wire.buffer_updated(wire, 5)


def test_a_second_interpreter_of_the_process_does_without():
    found = importlib.util.find_spec("_interpreters") or importlib.util.find_spec("_xxsubinterpreters")
    if found is None:
        pytest.skip("this Python has no module for that")
    interpreters = importlib.import_module(found.name)
    other = interpreters.create()
    try:
        assert not interpreters.run_string(
            other,
            f"import sys; sys.path = {sys.path!r}\n"
            "from hardline.native import books, built\n"
            "assert built.carry is None and built.why_not, 'C has the types of one interpreter'\n"
            "assert not books.Lane().linked",
        )
    finally:
        interpreters.destroy(other)
    assert native._wrong_exchange() == ""


def test_a_cipher_refuses_what_it_cannot_mean():
    made = built.carry.Cipher
    owner = ("owner",)
    for wrong in (
        *((), ((0,) * 16, 1, 1, 1, owner), ((1,) * 16, 1, 1, 0, owner), (("1",) * 16, 1, 1, 1, owner)),
        *(((1,) * 15, 1, 1, 1, owner), ((1,) * 16, 1, 1, 1, None)),
    ):
        with pytest.raises((TypeError, ValueError)):
            made(*wrong)
    with pytest.raises(RuntimeError):
        made.__new__(made).receive(b"", 0, 0, bytearray(20_000))


def test_lanes_and_boxes_leave_nothing():
    def rounds(count: int) -> None:
        for _ in range(count):
            end = End(20, joined=frozenset(range(1, 20, 2)), every=5)
            for number in range(1, 10, 2):
                end.lanes[number].part()
            for lane in end.lanes.values():
                lane.near.close()
                lane.far.close()
            # The others' circles, of lane and box, are the collector's.

    tracemalloc.start()
    try:
        rounds(50)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        rounds(400)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 20_000  # bytes; what one round needs, kept, would be more than a million


def test_what_sessions_leave_never_takes_much_memory():
    """Two connections a time, from the handshake to a frame that is carried; 10⁵ of them at full size."""

    def rounds(count: int) -> int:
        for _ in range(count):
            assert native._wrong_exchange() == ""
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    before = rounds(200)
    sessions = 100_000 if FULL else 2_000
    assert rounds(sessions // 2) - before < 4_000_000 + 50 * sessions  # bytes; OpenSSL's, too
