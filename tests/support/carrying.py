"""A session's receiving half with and without C: both must come to the same, by the same count."""

from __future__ import annotations

import socket
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from hardline.errors import PeerError
from hardline.native import books
from hardline.session import yamux
from hardline.session.windows import WindowBudget
from hardline.session.yamux import Yamux
from hardline.transport import native
from hardline.transport.engine import Scratch

ALL = 1 << 40
NUMBERS = (1, 3, 5, 7)
NATIVE = native.best_engine is native.NativeEngine


class Gate:
    """One byte in `every` has to be looked at; what ends with one in `changes` changes something for the socket."""

    def __init__(self, every: int, changes: int = 7) -> None:
        self.every, self.changes = every, changes
        self.got = 0

    @property
    def unwatched(self) -> int:
        """Bytes that come next and that nobody has to look at."""
        return self.every - 1 - self.got % self.every

    def count(self, count: int) -> None:
        assert count <= self.unwatched, "a byte went by that had to be looked at"
        self.got += count

    def heard(self, data: memoryview) -> bool:
        self.got += len(data)
        return not self.got % self.changes


class Lane(books.Lane):
    """A joined stream, as its session sees it; `gate` for one that is looked at."""

    def __init__(self, end: End, number: int, gate: Gate | None) -> None:
        self.end, self.number = end, number
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.far.setblocking(False)
        self.gate, self.counted, self.hears = gate, gate is not None, True
        self.moved = 0
        self.brought = 0  # times that Python had to see to what came of a frame that C had shown the gate

    def carried(self, count: int) -> None:
        assert self.gate is not None
        self.gate.count(count)

    def bring(self, data: memoryview, changed: bool) -> None:
        self.brought += 1
        self.take(data)

    def take(self, data: memoryview) -> None:
        """By Python, behind what went straight to the socket."""
        self.drain()
        self.end.got[self.number] += data
        self.end.consumed(self.end.streams[self.number], len(data))

    def drain(self) -> None:
        """What C wrote to the socket is what the stream got."""
        while True:
            try:
                self.end.got[self.number] += self.far.recv(1 << 20)
            except BlockingIOError:
                return

    def offer_again(self) -> None:
        """As a joint does whenever Python was given something."""
        if self.linked:
            self.offer(self.near.fileno(), ALL if self.gate is None else self.gate.unwatched)

    def close(self) -> None:
        self.part()
        self.near.close()
        self.far.close()


class Use(books.Use):
    def __init__(self, number: int) -> None:
        self.number, self.turn, self.used, self.held = number, 0, 0, 0


class End(books.Box):
    """A session's receiving half; the streams in `joined` have sockets, to which C brings what it can, if `by_c`."""

    def __init__(
        self, streams: int, *, joined: frozenset[int] = frozenset(), every: int = 0, by_c: bool = NATIVE
    ) -> None:
        self.yamux = Yamux(client=True, accepts=0, budget=WindowBudget(1 << 20))
        self.streams = {number: Use(number) for number in [self.yamux.open() for _ in range(streams)]}
        self.yamux.data_to_send()
        self.got: dict[int, bytearray] = defaultdict(bytearray)
        self.events: list[str] = []
        self.holding = books.Held()
        self.holding.held = self.holding.noted = 0
        self.by_c = by_c
        if by_c:
            turns, marks = books.Budget(), books.Marks()
            parts = (lambda: 0.0), _nothing, _nothing, _nothing, _nothing
            self.link(books.Wire(), self.yamux, self.holding, marks, turns, *self.yamux.answers, {}, {}, parts, self)
            self.ready = True
        self.lanes = {number: Lane(self, number, Gate(every) if every else None) for number in joined}
        for lane in self.lanes.values():
            found = self.yamux.books(lane.number)
            if by_c and found is not None:
                lane.link(self, lane.number, self.streams[lane.number], *found, books.Reasons())
                lane.offer_again()

    def consumed(self, stream: Use, count: int) -> None:
        """As outbox.Outbox: C asks for it, too."""
        held = min(count, stream.held)
        stream.held -= held
        self.holding.held -= held
        self.yamux.consumed(stream.number, count, 0.0, 0.0)

    def take(self, data: bytes, most: int = 1 << 30) -> bytes:
        """One read from the peer; what is left for another turn.  Raises PeerError."""
        view = memoryview(data)
        if self.by_c:
            offset, frames = self.carry(view, most)
            view, most = view[offset:], most - frames
        for event in self.yamux.receive(view, most):
            match event:
                case yamux.DataReceived(number, payload):
                    self._deliver(number, payload)
                case _:
                    self.events.append(repr(event))
        for lane in self.lanes.values():
            lane.drain()
        return bytes(view[len(view) - self.yamux.unread :])

    def _deliver(self, number: int, payload: memoryview) -> None:
        stream, lane = self.streams[number], self.lanes.get(number)
        stream.held += len(payload)
        self.holding.held += len(payload)
        if lane is None:
            self.got[number] += payload
            self.consumed(stream, len(payload))
            return
        lane.moved += len(payload)
        if lane.gate is not None:
            lane.gate.heard(payload)
        lane.take(payload)
        lane.offer_again()

    def counted(self) -> tuple[object, ...]:
        """All that both count."""
        state = self.yamux
        windows = {number: (found[1].left, found[1].owed) for number in NUMBERS if (found := state.books(number))}
        places = state.frames, state.empty, state.header, state.payload_left
        return (
            places,
            windows,
            self.holding.held,
            bytes(state.answers[0]),
            {n: lane.moved for n, lane in self.lanes.items()},
        )

    def close(self) -> None:
        for lane in self.lanes.values():
            lane.close()
        self.unlink()


def _nothing(*_: object) -> Scratch | None:
    return None


@contextmanager
def ends(*made: End) -> Iterator[None]:
    with ExitStack() as stack:
        for one in made:
            stack.callback(one.close)
        yield


def agree(said: bytes, cuts: Sequence[int], joined: frozenset[int], most: int, every: int) -> None:
    """Give `said` in reads of `cuts`, `most` frames a turn, to both halves.

    AssertionError when they differ, or when C carried one byte in `every`, which the gate has to see; 0 for none.
    """
    python, both = End(4, joined=joined, every=every, by_c=False), End(4, joined=joined, every=every)
    with ends(python, both):
        failures = []
        for one in (python, both):
            at, turn, rest = 0, 0, b""
            try:
                while at < len(said) or rest:
                    size = cuts[turn % len(cuts)]
                    rest = one.take(rest + said[at : at + size], most)
                    at, turn = at + size, turn + 1
            except PeerError as failure:
                failures.append(str(failure))
            else:
                failures.append("")
        assert failures[0] == failures[1]
        for lane in both.lanes.values():
            lane.drain()
        assert {number: bytes(data) for number, data in python.got.items() if data} == {
            number: bytes(data) for number, data in both.got.items() if data
        }
        assert python.events == both.events
        assert python.counted() == both.counted()
