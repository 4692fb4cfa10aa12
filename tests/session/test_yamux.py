"""Frames and streams: the rules, the bytes, and peers who break them."""

from __future__ import annotations

import struct
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardline.errors import LimitReached, PeerError
from hardline.session import yamux
from hardline.session.windows import INITIAL_WINDOW, WindowBudget
from hardline.session.yamux import (
    ACK,
    DATA,
    FIN,
    GOAWAY,
    HEADER_SIZE,
    PING,
    RST,
    SYN,
    WINDOW,
    DataReceived,
    GoneAway,
    PongReceived,
    StreamEnded,
    StreamOpened,
    StreamReset,
    WindowGrew,
    Yamux,
)

pytestmark = pytest.mark.pure


def budget() -> WindowBudget:
    return WindowBudget(64 << 20, 16 << 20)


def client(accepts: int = 0) -> Yamux:
    return Yamux(client=True, accepts=accepts, budget=budget())


def server(accepts: int = 100) -> Yamux:
    return Yamux(client=False, accepts=accepts, budget=budget())


def frame(kind: int, flags: int, stream: int, length: int, payload: bytes = b"", version: int = 0) -> bytes:
    return struct.pack(">BBHII", version, kind, flags, stream, length) + payload


def data_frame(end: Yamux, stream: int, payload: bytes) -> bytes:
    header = bytearray(HEADER_SIZE)
    end.put_data_header(header, 0, stream, len(payload))
    return bytes(header) + payload


def receive(end: Yamux, data: bytes) -> list[yamux.Event]:
    """What `data` means, with the payloads copied out of the buffer that is valid only now."""
    return [
        DataReceived(event.stream, bytes(event.data)) if isinstance(event, DataReceived) else event
        for event in end.receive(memoryview(data))
    ]


# The bytes: HashiCorp's specification, docs/PROTOCOL.md 5.1.


def test_the_first_data_of_a_stream_opens_it():
    end = client()
    assert end.open() == 1
    assert data_frame(end, 1, b"hello") == bytes.fromhex("00 00 0001 00000001 00000005") + b"hello"
    assert data_frame(end, 1, b"!") == bytes.fromhex("00 00 0000 00000001 00000001") + b"!"


def test_a_stream_without_data_is_opened_by_a_window_update():
    end = client()
    end.open()
    assert end.data_to_send() == bytes.fromhex("00 01 0001 00000001 00000000")
    assert end.data_to_send() == b""


def test_the_first_answer_accepts():
    end = server()
    receive(end, frame(WINDOW, SYN, 1, 0))
    assert data_frame(end, 1, b"x")[:HEADER_SIZE] == bytes.fromhex("00 00 0002 00000001 00000001")


def test_an_end_a_reset_a_ping_and_a_go_away_are_these_bytes():
    end = client()
    end.open()
    end.data_to_send()
    end.finish(1)
    assert end.data_to_send() == bytes.fromhex("00 01 0004 00000001 00000000")
    end.reset(1)
    assert end.data_to_send() == bytes.fromhex("00 01 0008 00000001 00000000")
    end.ping(7)
    assert end.data_to_send() == bytes.fromhex("00 02 0001 00000000 00000007")
    end.go_away()
    assert end.data_to_send() == bytes.fromhex("00 03 0000 00000000 00000000")


def test_a_ping_is_answered_with_its_value_and_a_pong_is_told():
    end = server()
    assert receive(end, frame(PING, SYN, 0, 0xCAFE)) == []
    assert end.data_to_send() == frame(PING, ACK, 0, 0xCAFE)
    assert receive(end, frame(PING, ACK, 0, 9)) == [PongReceived(9)]


STORY = (
    frame(DATA, SYN, 1, 5, b"hello")
    + frame(WINDOW, 0, 1, 1000)
    + frame(WINDOW, SYN, 3, 0)
    + frame(DATA, FIN, 1, 3, b"bye")
    + frame(WINDOW, RST, 3, 0)
    + frame(GOAWAY, 0, 0, 0)
)


@pytest.mark.parametrize("cut", range(len(STORY) + 1))
def test_a_story_means_the_same_however_it_is_cut(cut):
    end = server()
    events = receive(end, STORY[:cut]) + receive(end, STORY[cut:])
    payload = b"".join(event.data for event in events if isinstance(event, DataReceived))
    assert payload == b"hellobye"
    assert [event for event in events if not isinstance(event, DataReceived)] == [
        StreamOpened(1),
        WindowGrew(1),
        StreamOpened(3),
        StreamEnded(1),
        StreamReset(3),
        GoneAway(0),
    ]


# Peers who break the rules.


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(frame(DATA, 0, 1, 1, b"x"), id="data on a stream that was never opened"),
        pytest.param(frame(WINDOW, SYN, 2, 0), id="a stream with our parity"),
        pytest.param(frame(WINDOW, SYN, 0, 0), id="stream 0"),
        pytest.param(frame(WINDOW, SYN, 3, 0) + frame(WINDOW, SYN, 3, 0), id="a number used twice"),
        pytest.param(
            frame(WINDOW, SYN, 3, 0) + frame(WINDOW, SYN, 1, 0) * 2, id="a number passed over, then used twice"
        ),
        pytest.param(frame(WINDOW, SYN, 5001, 0), id="a number far ahead"),
        pytest.param(frame(WINDOW, 0, 2, 5), id="a stream of ours that we never opened"),
        pytest.param(frame(7, 0, 0, 0), id="an unknown type"),
        pytest.param(frame(PING, SYN, 0, 0, version=1), id="an unknown version"),
        pytest.param(frame(DATA, SYN, 1, INITIAL_WINDOW + 1), id="more than the window"),
        pytest.param(frame(WINDOW, SYN | FIN, 1, 0) + frame(DATA, 0, 1, 1, b"x"), id="data after the end"),
        pytest.param(frame(WINDOW, SYN, 1, 2**32 - 1), id="a window beyond 4 GiB"),
        pytest.param(frame(PING, SYN, 0, 1) * 6000, id="a flood of pings"),
    ],
)
def test_a_peer_that_breaks_a_rule_is_told_so(bad):
    with pytest.raises(PeerError):
        receive(server(), bad)


def test_streams_beyond_the_limit_are_refused_one_by_one_and_their_data_is_skipped():
    end = server(accepts=1)
    events = receive(end, frame(WINDOW, SYN, 1, 0) + frame(DATA, SYN, 3, 4, b"data") + frame(DATA, 0, 1, 1, b"x"))
    assert events == [StreamOpened(1), DataReceived(1, b"x")]
    assert end.data_to_send() == frame(WINDOW, RST, 3, 0)
    end.reset(1)
    assert receive(end, frame(WINDOW, SYN, 5, 0)) == [StreamOpened(5)]


def test_streams_that_were_opened_at_once_may_come_in_another_order():
    events = receive(server(), frame(WINDOW, SYN, 5, 0) + frame(WINDOW, SYN, 1, 0) + frame(WINDOW, SYN, 3, 0))
    assert events == [StreamOpened(5), StreamOpened(1), StreamOpened(3)]


def test_what_was_under_way_when_a_stream_was_reset_is_skipped():
    end = client()
    end.open()
    end.data_to_send()
    end.reset(1)
    assert receive(end, frame(DATA, ACK, 1, 3, b"abc") + frame(PING, ACK, 0, 1)) == [PongReceived(1)]


def test_a_stream_that_was_never_announced_vanishes_without_a_word():
    end = client()
    end.open()
    end.reset(1)
    assert end.data_to_send() == b""


def test_after_a_go_away_no_stream_can_be_opened():
    end = client()
    receive(end, frame(GOAWAY, 0, 0, 0))
    with pytest.raises(LimitReached):
        end.open()


@settings(max_examples=300)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_events_or_the_peers_fault(data, as_client):
    end = client(accepts=3) if as_client else server(accepts=3)
    try:
        receive(end, data)
    except PeerError:
        return
    end.data_to_send()


plausible = st.builds(
    lambda kind, flags, stream, length: frame(kind, flags, stream, length, bytes(length) if kind == DATA else b""),
    st.integers(0, 4),
    st.sampled_from([0, SYN, ACK, FIN, RST, SYN | FIN, SYN | RST, FIN | RST]),
    st.integers(0, 9),
    st.integers(0, 300),
)


@settings(max_examples=300)
@given(st.lists(plausible, max_size=30), st.booleans(), st.data())
def test_plausible_frames_in_any_order_are_events_or_the_peers_fault(frames, as_client, choose):
    end = client(accepts=3) if as_client else server(accepts=3)
    opened: set[int] = set()
    if as_client:
        opened.add(end.open())
    stream_bytes = b"".join(frames)
    cut = choose.draw(st.integers(0, len(stream_bytes)))
    try:
        for piece in (stream_bytes[:cut], stream_bytes[cut:]):
            for event in receive(end, piece):
                if isinstance(event, StreamOpened):
                    opened.add(event.stream)
                elif not isinstance(event, PongReceived | GoneAway):
                    assert event.stream in opened
            end.data_to_send()
    except PeerError:
        pass
    end.release()
    assert end.open_streams == 0


# Two ends that follow the rules always agree.


class Talk:
    """Two ends and the bytes between them."""

    def __init__(self) -> None:
        self.ends = {"visitor": client(), "host": server()}
        self.wires: dict[str, bytearray] = {"visitor": bytearray(), "host": bytearray()}  # towards
        self.sent: dict[tuple[str, int], bytes] = defaultdict(bytes)
        self.got: dict[tuple[str, int], bytes] = defaultdict(bytes)
        self.ended: set[tuple[str, int]] = set()
        self.reset: set[int] = set()
        self.open: set[int] = set()

    def other(self, who: str) -> str:
        return "host" if who == "visitor" else "visitor"

    def flush(self, who: str) -> None:
        self.wires[self.other(who)] += self.ends[who].data_to_send()

    def send(self, who: str, stream: int, payload: bytes) -> None:
        end = self.ends[who]
        count = min(end.room(stream), len(payload))
        if count and end.knows(stream):
            self.wires[self.other(who)] += data_frame(end, stream, payload[:count])
            self.sent[who, stream] += payload[:count]

    def deliver(self, who: str, count: int, now: float) -> None:
        wire = self.wires[who]
        piece, wire[:] = bytes(wire[:count]), wire[count:]
        for event in receive(self.ends[who], piece):
            match event:
                case DataReceived(stream, data):
                    self.got[who, stream] += data
                    self.ends[who].consumed(stream, len(data), now, 0.01)
                case StreamEnded(stream):
                    self.ended.add((who, stream))
                case StreamReset(stream):
                    self.reset.add(stream)
        self.flush(who)


steps = st.lists(
    st.tuples(
        st.sampled_from(["open", "send", "send", "send", "deliver", "deliver", "finish", "reset"]),
        st.sampled_from(["visitor", "host"]),
        st.integers(0, 5),
        st.integers(1, 300_000),
    ),
    max_size=80,
)


@settings(max_examples=150, deadline=None)
@given(steps)
def test_two_ends_that_follow_the_rules_agree_on_every_byte(plan):
    talk, now = Talk(), 0.0
    for what, who, which, count in plan:
        now += 0.001
        stream = 2 * which + 1
        if what == "open":
            talk.open.add(talk.ends["visitor"].open())
            talk.flush("visitor")
        elif what == "send":
            talk.send(who, stream, bytes([which]) * count)
        elif what == "deliver":
            talk.deliver(who, count, now)
        elif what == "finish":
            talk.ends[who].finish(stream)
            talk.flush(who)
        elif what == "reset" and talk.ends[who].knows(stream):
            talk.ends[who].reset(stream)
            talk.reset.add(stream)
            talk.flush(who)
    for _ in range(6):
        for who in ("visitor", "host"):
            talk.flush(who)
            talk.deliver(who, 1 << 30, now)
    for stream in talk.open - talk.reset:
        for who in ("visitor", "host"):
            assert talk.got[talk.other(who), stream] == talk.sent[who, stream]
        talk.ends["visitor"].finish(stream)
        talk.ends["host"].finish(stream)
    for who in ("visitor", "host", "visitor"):
        talk.flush(who)
        talk.deliver(who, 1 << 30, now)
    assert talk.ends["visitor"].open_streams == talk.ends["host"].open_streams == 0


# A read that is one frame: the same by the short way.


PIECES = st.lists(
    st.one_of(
        st.tuples(
            st.just(DATA), st.sampled_from([0, 0, 0, FIN, RST]), st.sampled_from([1, 1, 3, 5]), st.integers(0, 20)
        ),
        st.tuples(st.just(DATA), st.just(0), st.just(1), st.sampled_from([INITIAL_WINDOW, INITIAL_WINDOW + 1])),
        st.tuples(st.just(WINDOW), st.sampled_from([0, FIN, RST]), st.sampled_from([1, 3]), st.integers(0, 9)),
    ),
    max_size=8,
)


@given(PIECES, st.lists(st.integers(-2, 2), max_size=8))
def test_a_read_that_is_one_frame_means_the_same_by_the_short_way(frames, shifts):
    """Reads end at the end of a frame, or a byte or two beside it."""
    wires = [
        frame(kind, flags, number, length, bytes(length if kind == DATA else 0))
        for kind, flags, number, length in frames
    ]
    said, cuts, at = b"".join(wires), list[int](), 0
    for wire, shift in zip(wires, [*shifts, *[0] * len(wires)], strict=False):
        at += len(wire)
        cuts.append(max(at + shift, cuts[-1] if cuts else 0))
    one, other = client(), client()
    for end in (one, other):
        end.open()
        end.open()
    for begin, until in zip([0, *cuts], [*cuts, len(said)], strict=True):
        piece = said[begin:until]
        meant = outcome(other, piece)
        assert shortly(one, piece) == meant
        if isinstance(meant, str):
            return
        assert counted(one) == counted(other)


def counted(end: Yamux) -> tuple[object, ...]:
    books = end.books(1)
    return end.frames, end.empty, end.unread, end.header, end.payload_left, books and books[1].left


def shortly(end: Yamux, data: bytes) -> list[yamux.Event] | str:
    try:
        number = end.only_frame(memoryview(data))
    except PeerError as wrong:
        return str(wrong)
    return [DataReceived(number, data[HEADER_SIZE:])] if number else outcome(end, data)


def outcome(end: Yamux, data: bytes) -> list[yamux.Event] | str:
    try:
        return receive(end, data)
    except PeerError as wrong:
        return str(wrong)


@pytest.mark.parametrize("with_data", [True, False])
def test_a_stream_that_begins_with_more_says_so_once_it_is_announced(with_data):
    mine = Yamux(client=True, accepts=0, budget=WindowBudget(64 << 20, 16 << 20, first=1 << 20))
    theirs, number, said = server(), mine.open(), b""
    if with_data:
        said = data_frame(mine, number, b"hello")  # which goes out first, and announces it
    events = receive(theirs, said + mine.data_to_send())
    assert events[0] == StreamOpened(number)
    assert WindowGrew(number) in events
    assert theirs.room(number) == 1 << 20
    assert mine.data_to_send() == b""
