"""What a node that dialled us, or that we dialled, can send: first lines, and frames."""

from __future__ import annotations

import contextlib
import struct
from collections import defaultdict
from collections.abc import Iterator

from hardline.errors import LimitReached, PeerError
from hardline.identity import KeyHash, Label
from hardline.session import hello
from hardline.session.hello import HelloReader, LegacyHostLine, LegacyVisitorLine, VisitorHello
from hardline.session.status import KINDS, StatusReader, StreamStatus
from hardline.session.status import MAX_LINE as MAX_STATUS
from hardline.session.windows import INITIAL_WINDOW, WindowBudget
from hardline.session.yamux import (
    ACK,
    DATA,
    FIN,
    GOAWAY,
    HEADER_SIZE,
    MAX_CONTROL_BACKLOG,
    PING,
    RST,
    SYN,
    WINDOW,
    DataReceived,
    StreamEnded,
    StreamOpened,
    StreamReset,
    Yamux,
)
from hardline.showable import is_plain
from tests.support.carrying import NUMBERS, agree

ANY = Label(KeyHash(bytes(20)), "sesame")
ACCEPTS = 4
PER_STREAM = 1 << 20
BUDGET = 2 << 20
_HEADER = struct.Struct(">BBHII")
_PATTERN = bytes(number % 251 for number in range(600_000))  # a shifted piece of it is seen as another


# ── lines ────────────────────────────────────────────────────────────────────────────────────────────────────


def hello_line(data: bytes) -> None:
    """The first line is found however it is cut; each of the four readers takes it or says PeerError."""
    step = 1 + len(data) % 7
    found, leftover = _first_line(data, len(data) or 1)
    assert _first_line(data, step) == (found, leftover)
    assert found is None or data == found + b"\n" + leftover
    line = data.partition(b"\n")[0][: hello.MAX_LINE]
    for parse in (VisitorHello.parse, hello.parse_host_hello, LegacyVisitorLine.parse, LegacyHostLine.parse):
        with contextlib.suppress(PeerError):
            said = parse(line)
            encoded = said.encode()
            assert encoded.index(b"\n") == len(encoded) - 1
            assert parse(encoded[:-1]) == said
            if isinstance(said, VisitorHello | LegacyVisitorLine):
                assert ANY.has_password(said.password) == (said.password.lower() == ANY.password)


def status_line(data: bytes) -> None:
    """A status or PeerError, however it is cut; its text is for a page: bounded and printable."""
    whole, cut = StatusReader(), StatusReader()
    try:
        status = whole.feed(data)
    except PeerError:
        return
    found = None
    step = 1 + len(data) % 5
    for start in range(0, len(data), step):
        found = cut.feed(data[start : start + step])
        if found is not None:
            assert cut.leftover + data[start + step :] == whole.leftover
            break
    assert found == status
    if status is not None:
        assert status.kind in ("", *KINDS)
        assert is_plain(status.detail)
        again = status.encode()
        assert len(again) <= MAX_STATUS
        assert StreamStatus.parse(again[:-1]) == status


def _first_line(data: bytes, step: int) -> tuple[bytes | None, bytes]:
    reader = HelloReader(200)
    for start in range(0, len(data), step):
        try:
            line = reader.feed(data[start : start + step])
        except PeerError:
            assert b"\n" not in data[:201]
            return None, b""
        if line is not None:
            return line, reader.leftover + data[start + step :]
    return None, b""


# ── frames ───────────────────────────────────────────────────────────────────────────────────────────────────


class Account:
    """One end, and everything that it must keep whatever its peer does.

    The peer's credit is counted here once more, from the bytes that this end sends; so is what waits to be read.
    """

    def __init__(self, *, client: bool) -> None:
        self.process = WindowBudget(BUDGET)
        self.budget = WindowBudget(BUDGET, PER_STREAM, self.process)
        self.end = Yamux(client=client, accepts=ACCEPTS, budget=self.budget)
        self.credit: dict[int, int] = defaultdict(lambda: INITIAL_WINDOW)
        self.room: dict[int, int] = defaultdict(lambda: INITIAL_WINDOW)
        self.waiting: dict[int, int] = {}  # streams whose peer has not ended, and what nobody has read yet
        self.got: dict[int, bytearray] = defaultdict(bytearray)
        self.events: list[object] = []
        self.now = 0.0
        self._outgoing = b""

    def receive(self, data: bytes) -> None:
        """Take bytes off the pipe, as session.py does.  Raises PeerError."""
        view = memoryview(data)
        number = self.end.only_frame(view)
        for event in [DataReceived(number, view[HEADER_SIZE:])] if number else self.end.receive(view):
            match event:
                case StreamOpened(stream):
                    assert stream not in self.waiting
                    self.waiting[stream] = 0
                case DataReceived(stream, payload):
                    assert len(payload) > 0
                    self.waiting[stream] += len(payload)
                    self.credit[stream] -= len(payload)
                    self.got[stream] += payload
                case StreamEnded(stream) | StreamReset(stream):
                    self.waiting.pop(stream, None)
            self.events.append(event if not isinstance(event, DataReceived) else event.stream)
        self.check()

    def check(self) -> None:
        """The bounds."""
        assert all(left >= 0 for left in self.credit.values())
        assert all(waiting <= PER_STREAM for waiting in self.waiting.values())
        assert sum(self.waiting.values()) <= self.end.open_streams * INITIAL_WINDOW + BUDGET

    def open(self) -> None:
        with contextlib.suppress(LimitReached):
            self.waiting[self.end.open()] = 0

    def consume(self, stream: int, part: int) -> None:
        """Read a part of what waits: all of it, a half, a third…"""
        count = self.waiting.get(stream, 0) // part
        if count:
            self.waiting[stream] -= count
            self.end.consumed(stream, count, self.now, 0.01)
            self._outgoing += self._drained()  # a window is granted from here on

    def send(self, stream: int, count: int) -> bytes:
        """The frame of up to `count` bytes of the stream's pattern."""
        count = min(count, self.end.room(stream))
        if count <= 0 or not self.end.knows(stream):
            return b""
        header = bytearray(HEADER_SIZE)
        self.end.put_data_header(header, 0, stream, count)
        return bytes(header) + _PATTERN[:count]

    def answers(self) -> bytes:
        """What this end sends on its own."""
        data, self._outgoing = self._outgoing + self._drained(), b""
        return data

    def _drained(self) -> bytes:
        """It is well-formed and gives credit for nothing that was not read."""
        data = self.end.data_to_send()
        assert len(data) % HEADER_SIZE == 0
        for version, kind, flags, stream, length in _HEADER.iter_unpack(data):
            assert (version, kind in (WINDOW, PING, GOAWAY)) == (0, True)
            if kind == WINDOW:
                assert flags in (0, SYN, ACK, FIN, RST, SYN | FIN, ACK | FIN)
                self.credit[stream] += length
                assert self.credit[stream] <= PER_STREAM
        return data

    def over(self) -> None:
        """The session ends: everything that it held is free again."""
        self.end.release()
        assert self.end.open_streams == 0
        for budget in (self.budget, self.process):
            assert not budget.take(BUDGET - INITIAL_WINDOW + 1)
        assert self.budget.take(BUDGET - INITIAL_WINDOW)


def yamux_wire(data: bytes) -> None:
    """First byte: who we are, and how the rest is cut.  The same is understood however it is cut."""
    if not data:
        return
    how, wire = data[0], data[1:]
    whole, cut = Account(client=bool(how & 1)), Account(client=bool(how & 1))
    step = 1 + how // 8
    for account in (whole, cut):
        if how & 2:
            account.open()
            account.answers()
    failed = [_is_refused(whole, [wire]), _is_refused(cut, [wire[at : at + step] for at in range(0, len(wire), step)])]
    assert failed[0] == failed[1]
    if not failed[0]:
        assert whole.got == cut.got
        assert _told(whole) == _told(cut)
        assert whole.answers() == cut.answers()
        for stream, got in whole.got.items():
            assert _payloads(wire)[stream].startswith(got)
    for account in (whole, cut):
        account.over()


def yamux_frames(data: bytes) -> None:
    """Three bytes each: a frame of the peer's or something that we do, with streams and lengths that matter."""
    account = Account(client=bool(data[:1] and data[0] & 1))
    try:
        for at in range(1, min(len(data), 300) - 2, 3):
            _step(account, *data[at : at + 3])
            account.check()
    except PeerError:
        pass
    account.answers()
    account.over()


def yamux_talk(data: bytes) -> None:
    """Three bytes each: what one of two ends that follow the rules does.  They agree on every byte."""
    ends = (Account(client=True), Account(client=False))
    wires = (bytearray(), bytearray())  # towards each end
    sent: tuple[dict[int, int], dict[int, int]] = (defaultdict(int), defaultdict(int))
    reset: set[int] = set()
    opened = 0

    def put(who: int, payload: bytes = b"") -> None:
        wires[1 - who].extend(payload + ends[who].answers())

    def send(who: int, stream: int, count: int) -> None:
        offset = sent[who][stream]
        frame = ends[who].send(stream, min(count, len(_PATTERN) - offset))
        if frame:
            count = len(frame) - HEADER_SIZE
            sent[who][stream] += count
            put(who, frame[:HEADER_SIZE] + _PATTERN[offset : offset + count])

    def deliver(who: int, count: int) -> None:
        piece = bytes(wires[who][:count])
        del wires[who][:count]
        ends[who].receive(piece)
        put(who)

    for at in range(0, min(len(data), 240) - 2, 3):
        what, which, size = data[at : at + 3]
        who, stream = what & 1, 2 * (which % ACCEPTS) + 1
        for account in ends:
            account.now += 0.001 * (which >> 4)
        match what >> 1 & 7:
            case 0 if opened < ACCEPTS:
                ends[0].open()
                opened += 1
                put(0)
            case 1 | 2:
                send(who, stream, size * size * 5)
            case 3 | 4:
                deliver(who, size * size * size)
            case 5:
                ends[who].consume(stream, 1 + size % 4)
                put(who)
            case 6:
                ends[who].end.finish(stream)
                put(who)
            case 7 if size > 200 and ends[who].end.knows(stream):
                ends[who].end.reset(stream)
                ends[who].waiting.pop(stream, None)
                reset.add(stream)
                put(who)
    for _ in range(12):
        for who in (0, 1):
            put(who)
            deliver(who, 1 << 30)
            for stream in list(ends[who].waiting):
                ends[who].consume(stream, 1)
    for stream in {2 * number + 1 for number in range(opened)} - reset:
        for who in (0, 1):
            assert ends[1 - who].got[stream] == _PATTERN[: sent[who][stream]]
            ends[who].end.finish(stream)
    for who in (0, 1, 0):
        put(who)
        deliver(who, 1 << 30)
    for account in ends:
        assert account.end.open_streams == 0
        account.over()


_LENGTHS = (
    *(0, 1, 2, 11, 12, 13, 300, 4096, 65_536, 131_071, 131_072, 131_073),
    *(INITIAL_WINDOW - 1, INITIAL_WINDOW, INITIAL_WINDOW + 1, 2**31, 2**32 - 1 - INITIAL_WINDOW, 2**32 - 1),
)
_FLAGS = (0, SYN, ACK, FIN, RST, SYN | FIN, SYN | RST, FIN | RST, ACK | FIN, SYN | ACK | FIN | RST, 16)
_STREAMS = (1, 2, 3, 4, 5, 6, 7, 9, 11, 0, 2049, 2051, 5001, 2**31 - 1, 2**31, 2**32 - 1)


def _step(account: Account, what: int, which: int, size: int) -> None:
    stream, length = _STREAMS[which % 16], _LENGTHS[size % len(_LENGTHS)]
    account.now += 0.0005 * (which >> 4)
    match what % 16:
        case 0 | 1 | 2 | 3:
            account.receive(_HEADER.pack(0, DATA, _FLAGS[what // 16 % 11], stream, length))
            if length <= INITIAL_WINDOW:
                half = length * (size % 3) // 2
                account.receive(_PATTERN[:half])
                account.receive(_PATTERN[half:length])
        case 4 | 5:
            account.receive(_HEADER.pack(0, WINDOW, _FLAGS[what // 16 % 11], stream, length))
        case 6:
            account.receive(_HEADER.pack(0, what // 16 % 5, _FLAGS[which % 11], 0, length) * (1 + size))
        case 7 | 8 | 9:
            account.consume(stream, 1 + size % 3)
        case 10:
            account.open()
        case 11:
            account.end.finish(stream)
        case 12:
            account.end.reset(stream)
            account.waiting.pop(stream, None)
        case 13:
            account.send(stream, length)
        case 14:
            backlog = account.answers()
            assert len(backlog) <= 2 * MAX_CONTROL_BACKLOG
        case 15 if size == 255:
            account.end.go_away()


def _is_refused(account: Account, pieces: list[bytes]) -> bool:
    try:
        for piece in pieces:
            account.receive(piece)
    except PeerError:
        return True
    return False


def _told(account: Account) -> list[object]:
    """The events; one for all the pieces of a payload."""
    return [event for event, before in _with_before(account.events) if event != before or not isinstance(event, int)]


def _with_before(events: list[object]) -> Iterator[tuple[object, object]]:
    return zip(events, [None, *events], strict=False)


def _payloads(wire: bytes) -> dict[int, bytes]:
    """What all DATA frames of a stream carry, by the plainest reading of the specification."""
    found: dict[int, bytes] = defaultdict(bytes)
    at = 0
    while len(wire) - at >= HEADER_SIZE:
        _, kind, _, stream, length = _HEADER.unpack_from(wire, at)
        at += HEADER_SIZE
        payload = wire[at : at + length] if kind == DATA else b""
        found[stream] += payload
        at += len(payload)
    return found


def yamux_carried(data: bytes) -> None:
    """The carrier in C and Python alone come to the same, whatever the bytes and wherever they are cut."""
    if len(data) < 4:
        return
    joined = frozenset(number for bit, number in enumerate(NUMBERS) if data[0] >> bit & 1)
    cuts = [1 + data[1], 1 + 97 * data[2]]
    agree(data[4:], cuts, joined, 1 + data[3] % 16 if data[3] < 128 else 1 << 30, 0 if data[0] < 128 else 100)
