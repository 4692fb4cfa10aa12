"""The carrier in C brings every byte where Python's own way does, counts it as that does, and judges nothing."""

from __future__ import annotations

import gc
import os
import resource
import socket
import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.errors import PeerError
from hardline.session.windows import INITIAL_WINDOW
from hardline.session.yamux import ACK, DATA, FIN, PING, RST, SYN, WINDOW
from hardline.transport import native
from tests.support.carrying import NUMBERS, End, Sink, agree, ends
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


def test_what_a_socket_does_not_take_is_left_to_python_to_the_byte():
    end = End(1, joined=frozenset({1}))
    with ends(end):
        near = end._pairs[1][0]
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        payload = os.urandom(200_000)
        offset, frames, stream, left, carried = end.carrier.carry(
            memoryview(HEADER.pack(0, DATA, 0, 1, len(payload)) + payload), 100, 0, 0
        )
        [(sink, announced, written)] = carried
        assert (frames, stream, announced, sink) == (1, 1, len(payload), end.sinks[1])
        assert 0 < written < len(payload)
        assert (offset, left) == (12 + written, len(payload) - written)
        assert end._pairs[1][1].recv(1 << 20) == payload[:written]
        again = end.carrier.carry(memoryview(payload[written:]), 100, stream, left)
        assert again == (0, 0, 1, left, ()), "it is Python's until it joins again"


def test_a_frame_beyond_the_window_is_left_to_python_which_ends_the_session():
    end = End(1, joined=frozenset({1}))
    with ends(end), pytest.raises(PeerError, match="in a window of"):
        end.take(HEADER.pack(0, DATA, 0, 1, INITIAL_WINDOW + 1) + b"x")
    assert not end.sinks[1].got


def test_a_descriptor_that_is_none_any_more_takes_nothing():
    end = End(1, joined=frozenset({1}))
    end.close()
    assert end.carrier.carry(memoryview(HEADER.pack(0, DATA, 0, 1, 3) + b"abc"), 1, 0, 0) == (
        *(12, 1, 1, 3),
        ((end.sinks[1], 3, 0),),
    )


@pytest.mark.parametrize(
    "wrong",
    [
        lambda one: one.join(-1, None, 1, 1, 1),
        lambda one: one.join(1 << 32, None, 1, 1, 1),
        lambda one: one.join(1, None, 1, 1 << 32, 1),
        lambda one: one.join(1, None, 1 << 40, 1, 1),
        lambda one: one.join(1),
        lambda one: one.carry("text", 1, 0, 0),
        lambda one: one.part("1"),
        lambda one: type(one)(1),
    ],
)
def test_a_carrier_refuses_what_it_cannot_mean(wrong):
    one = native.carrier()
    with pytest.raises((TypeError, OverflowError, ValueError)):
        wrong(one)


def test_a_cipher_refuses_what_it_cannot_mean():
    made = native.native.carry.Cipher
    for wrong in ((), ((0,) * 15, 1, 1, 1), ((1,) * 15, 1, 1, 0), (("1",) * 15, 1, 1, 1), ((1,) * 14, 1, 1, 1)):
        with pytest.raises((TypeError, ValueError)):
            made(*wrong)
    with pytest.raises(RuntimeError):
        made.__new__(made).receive(b"", 0, 0, bytearray(20_000))


def test_carriers_leave_nothing():
    def rounds(count: int) -> None:
        for _ in range(count):
            one = native.carrier()
            for number in range(1, 40, 2):
                one.join(number, Sink(0), -1, 10, 10)
            for number in range(1, 20, 2):
                one.part(number)
            one.join(39, one, -1, 10, 10)  # a circle, for the collector

    tracemalloc.start()
    try:
        rounds(200)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        rounds(2000)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 20_000  # bytes; what one round needs, kept, would be a million


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
