"""The receiving half of a session with and without the carrier in C: both must come to the same."""

from __future__ import annotations

import socket
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from hardline.errors import PeerError
from hardline.session import yamux
from hardline.session.windows import WindowBudget
from hardline.session.yamux import Yamux
from hardline.transport import native

ALL = 0xFFFFFFFF
NUMBERS = (1, 3, 5, 7)


class Sink:
    """A joined stream, as the session's side of it sees it: one byte in `every` has to be looked at by Python."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.got = 0

    @property
    def unwatched(self) -> int:
        """Bytes that come next and that nobody has to look at."""
        return ALL if not self.every else self.every - 1 - self.got % self.every

    def carried(self, announced: int, written: int) -> None:
        assert written <= self.unwatched, "a byte went by that had to be looked at"
        self.got += written


class End:
    """A session's receiving half: yamux, and a carrier for the streams in `joined`, which write to `sockets`.

    Like a Joint it joins again whenever Python was given something, in the middle of frames, too.
    """

    def __init__(self, streams: int, *, joined: frozenset[int] = frozenset(), every: int = 0) -> None:
        self.yamux = Yamux(client=True, accepts=0, budget=WindowBudget(1 << 20))
        for _ in range(streams):
            self.yamux.open()
        self.yamux.data_to_send()
        self.got: dict[int, bytearray] = defaultdict(bytearray)
        self.events: list[str] = []
        self.sinks = {number: Sink(every) for number in joined}
        self._pairs = {number: socket.socketpair() for number in joined}
        self.carrier = native.carrier()
        for number, (near, far) in self._pairs.items():
            near.setblocking(False)
            far.setblocking(False)
            self._join(number)

    def take(self, data: bytes, most: int = 1 << 30) -> bytes:
        """One read from the peer; what is left for another turn.  Raises PeerError."""
        view = memoryview(data)
        if self.carrier is not None and (place := self.yamux.between) is not None:
            offset, frames, stream, left, carried = self.carrier.carry(view, most, *place)
            if offset:
                self.yamux.went_by(frames, stream, left)
                for sink, announced, written in carried:
                    sink.carried(announced, written)
                    number = next(number for number, one in self.sinks.items() if one is sink)
                    self.yamux.announced(number, announced)
                    self._drain(number)
            view, most = view[offset:], most - frames
        for event in self.yamux.receive(view, most):
            match event:
                case yamux.DataReceived(number, payload):
                    self.got[number] += payload
                    if number in self.sinks:
                        self.sinks[number].got += len(payload)
                        self._join(number)
                case yamux.StreamEnded(number) | yamux.StreamReset(number):
                    self.events.append(repr(event))
                    if self.carrier is not None:
                        self.carrier.part(number)
                case _:
                    self.events.append(repr(event))
        return bytes(view[len(view) - self.yamux.unread :])

    def _join(self, number: int) -> None:
        """As Outbox.lead."""
        if self.carrier is None:
            return
        if left := self.yamux.allowance(number):
            sink = self.sinks[number]
            self.carrier.join(number, sink, self._pairs[number][0].fileno(), left, sink.unwatched)
        else:
            self.carrier.part(number)

    def _drain(self, number: int) -> None:
        while True:
            try:
                self.got[number] += self._pairs[number][1].recv(1 << 20)
            except BlockingIOError:
                return

    def close(self) -> None:
        for pair in self._pairs.values():
            for one in pair:
                one.close()


@contextmanager
def ends(*made: End) -> Iterator[None]:
    with ExitStack() as stack:
        for one in made:
            stack.callback(one.close)
        yield


def agree(said: bytes, cuts: Sequence[int], joined: frozenset[int], most: int, every: int) -> None:
    """Give `said` in reads of `cuts`, `most` frames a turn, to both halves.

    AssertionError when they differ, or when C carried one byte in `every`, which Python has to look at; 0 for none.
    """
    python, both = End(4), End(4, joined=joined, every=every)
    python.carrier = None
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
        if failures[0]:  # what came before the mistake, in the same read, Python keeps from its readers
            assert all(both.got[number].startswith(data) for number, data in python.got.items())
            return
        assert {number: bytes(data) for number, data in python.got.items() if data} == {
            number: bytes(data) for number, data in both.got.items() if data
        }
        assert python.events == both.events
        assert python.yamux.frames == both.yamux.frames
        assert python.yamux.empty == both.yamux.empty
        for number in NUMBERS:
            assert python.yamux.allowance(number) == both.yamux.allowance(number)
