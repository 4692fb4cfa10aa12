"""Whatever Python does while C has called it (parts, ends, collects, raises), C looks at nothing that is gone."""

from __future__ import annotations

import gc
import random
import socket
import struct
from collections.abc import Callable

import pytest
from OpenSSL import SSL

from hardline.native import books
from hardline.session.yamux import HEADER_SIZE
from hardline.transport import native, psk
from hardline.transport.buffers import STAGING
from hardline.transport.engine import MODE_ENABLE_PARTIAL_WRITE, RECORD, Scratch
from tests.support.size import FULL

pytestmark = pytest.mark.skipif(
    native.best_engine is not native.NativeEngine, reason=f"this machine cannot have the part in C: {native.why_not}"
)

HEADER = struct.Struct(">BBHII")
NUMBERS = (1, 3, 5)
STORIES = 3000 if FULL else 150


def engines() -> list[native.NativeEngine]:
    """Both ends of a connection."""
    ends, known = list[SSL.Connection](), native._Known()
    for prepare in (psk.use_psk, psk.find_psk):
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        context.set_tls13_ciphersuites(psk.CIPHERSUITES_AES_FIRST)
        context.clear_mode(MODE_ENABLE_PARTIAL_WRITE)
        prepare(context)
        ends.append(SSL.Connection(context, None))
    client, server = ends
    client.set_connect_state()
    server.set_accept_state()
    for _ in range(3):
        with psk.client_at_work(client, known):
            native._step(client, server)
        with psk.server_at_work(server, known):
            native._step(server, client)
    return [native.NativeEngine(end) for end in ends]


class Mischief(Exception):
    """A callback has failed."""


class Stage:
    """One session between a connection and sockets; each callback of C's does what `chance` says first."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.calm = True
        self.frames = books.Frames()
        self.received, self.plain, self.scratch = Scratch(4 * RECORD), Scratch(5 * RECORD), Scratch(16 * RECORD)
        self.spare = [Staging(self) for _ in range(2)]
        self.due: list[Callable[[], None]] = []
        self.odd: list[tuple[object, str, object]] = []  # what numbers were before
        self.looks: list[memoryview] = []
        self.sockets = {number: socket.socketpair() for number in NUMBERS}
        for pair in self.sockets.values():
            for end in pair:
                end.setblocking(False)
        self.wire = Wire(self)
        self.box = Box(self)
        self.lanes = {number: Lane(self, number) for number in NUMBERS}
        self.connect()
        for lane in self.lanes.values():
            lane.begin()

    def chance(self) -> None:
        if self.calm or self.random.random() < 0.6:
            return
        self.random.choice(
            [
                *(
                    self.part_lane,
                    self.part_lane,
                    self.relink,
                    self.box.unlink,
                    self.wire.part,
                    self.collect,
                    self.fail,
                ),
                *(self.forget, self.brake, self.block, self.make_ready, self.drop_gate, self.take_away),
                *(self.exaggerate, self.exaggerate, self.leave, self.swap, self.box.tick),
                *(self.answer, self.answer, self.look_at_answers),
            ]
        )()

    def connect(self) -> None:
        """A new connection: the other has missed something."""
        self.broken = False
        self.wire.part()
        self.ours, self.theirs = engines()
        parts = self.received.data, self.plain.data, self.plain.view, self.scratch.data
        self.sizes = books.Sizes()
        self.wire.link(self.box, self.ours.cipher, self.sizes, *parts)
        self.wire.transport = self.wire

    # What may happen at any time.

    def part_lane(self) -> None:
        self.random.choice(list(self.lanes.values())).part()

    def relink(self) -> None:
        lane = self.random.choice(list(self.lanes.values()))
        lane.part()
        if self.box.ready:
            lane.begin()

    def collect(self) -> None:
        gc.collect(0)

    def fail(self) -> None:
        raise Mischief

    def forget(self) -> None:
        """The stream's and everything it counts by are nobody else's from now on."""
        number = self.random.choice(NUMBERS)
        self.lanes[number].part()
        self.lanes[number] = Lane(self, number)

    def brake(self) -> None:
        lane = self.random.choice(list(self.lanes.values()))
        if lane.books is not None:
            lane.books[3].reasons ^= 1

    def block(self) -> None:
        self.wire.blocked = not self.wire.blocked

    def make_ready(self) -> None:
        self.box.ready = not self.box.ready

    def drop_gate(self) -> None:
        self.random.choice(list(self.lanes.values())).gate = None

    def take_away(self) -> None:
        self.box.staging, self.box.fill = None, 0

    def swap(self) -> None:
        self.box.staging = self.spare.pop() if self.spare else Staging(self)

    def exaggerate(self) -> None:
        """A number is what no rule would make it, until the step is over."""
        lane = self.random.choice(list(self.lanes.values()))
        members = [(self.box, name) for name in ("fill", "turn", "senders", "share", "sent", "received")]
        members += [(self.wire, "burst"), (self.wire, "written"), (self.wire, "direct"), (lane, "moved")]
        members += [(self.sizes, "left"), (self.box.turns, "left"), (self.box.held, "held")]
        members += [(self.ours.cipher, "fruitless"), (self.ours.cipher, "overhead")]
        if lane.books is not None:
            use, ways, window, _ = lane.books
            members += [(use, "turn"), (use, "used"), (use, "held"), (ways, "send_window")]
            members += [(window, "left"), (window, "owed"), (window, "size")]
        found, name = self.random.choice(members)
        before = getattr(found, name)
        self.odd.append((found, name, before))
        value = self.random.choice([0, -1, 1 << 61, -(1 << 61)])
        setattr(found, name, bool(value) if isinstance(before, bool) else value)

    def come_to_reason(self) -> None:
        while self.odd:
            setattr(*self.odd.pop())
        while self.looks:
            self.looks.pop().release()

    def answer(self) -> None:
        """Control frames wait, or some stream is to be announced."""
        count = self.random.choice([HEADER_SIZE, 10 * HEADER_SIZE, STAGING - self.box.room, STAGING, STAGING + 1])
        if not self.looks:
            self.box.answers.extend(bytes(count))
        if self.random.random() < 0.1:
            self.box.unannounced.append(7)

    def look_at_answers(self) -> None:
        """They cannot be taken away until the step is over."""
        self.looks.append(memoryview(self.box.answers))

    def leave(self) -> None:
        """The loop has no transport there any more."""
        self.wire.transport = None

    def close(self) -> None:
        self.calm = True
        self.box.unlink()
        self.wire.part()
        for pair in self.sockets.values():
            for end in pair:
                end.close()


class Wire(books.Wire):
    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.transport, self.fd, self.view = self, -1, stage.received.view

    def is_closing(self) -> bool:
        self.stage.chance()
        return False

    def took_in(self, *_: object) -> None:
        self.stage.broken = True
        self.stage.chance()

    pull_failed = took_in

    def went_on(self, *how: object) -> None:
        self.stage.chance()

    sent = went_on


class Box(books.Box):
    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.turn, self.share = 1, 100_000
        self.turns, marks = Turns(stage), books.Marks()
        self.turns.left, marks.asked_at, marks.pinged_at = 1 << 30, float("inf"), float("inf")
        self.answers, self.unannounced = bytearray(), list[int]()
        self.held = books.Held()
        counts = stage.frames, self.held, marks, self.turns
        parts = self.now, stage.due.append, self.take_staging, self.give_back, self.nothing
        self.link(stage.wire, *counts, self.answers, self.unannounced, Nobody(stage), Nobody(stage), parts, self)
        self.ready = True

    def nothing(self, *_: object) -> None:
        self.stage.chance()

    next_turn = consumed = looked = plaintext_received = take = nothing

    def now(self) -> float:
        self.stage.chance()
        return 0.0

    def take_staging(self) -> Staging:
        self.stage.chance()
        return self.stage.spare.pop() if self.stage.spare else Staging(self.stage)

    def give_back(self, staging: Staging) -> None:
        self.stage.chance()
        self.stage.spare.append(staging)

    def end_turn(self) -> None:
        self.stage.chance()

    @property
    def room(self) -> int:
        """What is staged, as far as that is possible."""
        return min(max(self.fill, 0), STAGING)

    def flush(self) -> None:
        self.stage.chance()
        self.fill = 0
        self.unannounced.clear()
        if not self.stage.looks:
            self.answers.clear()

    refused = flush


class Turns(books.Budget):
    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def looked(self, count: int) -> None:
        self.stage.chance()


class Staging:
    """A staging buffer that is asked for what it has."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.scratch = stage, Scratch(STAGING)

    @property
    def data(self) -> bytearray:
        self.stage.chance()
        return self.scratch.data

    @property
    def view(self) -> memoryview:
        self.stage.chance()
        return self.scratch.view


class Nobody:
    """Those who wait."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def __len__(self) -> int:
        self.stage.chance()
        return 0


class Gate:
    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    @property
    def unwatched(self) -> int:
        self.stage.chance()
        return self.stage.random.choice([0, 10, 1 << 40])

    def asked(self, data: memoryview) -> memoryview | bytes:
        self.stage.chance()
        return data if self.stage.random.random() < 0.8 else bytes(data)

    def heard(self, data: memoryview) -> bool:
        self.stage.chance()
        return self.stage.random.random() < 0.1


class Lane(books.Lane):
    def __init__(self, stage: Stage, number: int) -> None:
        self.stage, self.number = stage, number
        self.gate = Gate(stage) if stage.random.random() < 0.6 else None
        self.counted, self.hears = stage.random.random() < 0.5, stage.random.random() < 0.8
        self.books: tuple[books.Use, books.Ways, books.Window, books.Reasons] | None = None

    def begin(self) -> None:
        counts = books.Use(), books.Ways(), books.Window(), books.Reasons()
        counts[1].send_window, counts[1].announced = 1 << 20, True
        counts[2].left, counts[2].size = 1 << 20, 1000
        self.link(self.stage.box, self.number, *counts)
        self.offer(self.stage.sockets[self.number][0].fileno(), 1 << 40)
        self.books = counts

    def part(self) -> None:
        self.books = None
        super().part()

    def room_for(self, sizehint: int = -1) -> memoryview:
        self.stage.chance()
        return memoryview(bytearray(100))

    def took(self, *_: object) -> None:
        self.stage.chance()

    passed = withheld = wait_for_room = carried = bring = took


def play(seed: int, steps: int) -> int:
    """One story; AssertionError when a socket got bytes of another's frames.  How many bytes they all got."""
    total = 0
    stage = Stage(seed)
    said, into = Scratch(8 * RECORD), Scratch(16 * RECORD)
    try:
        for _ in range(steps):
            chance = stage.random
            if stage.broken or not stage.wire.direct:
                stage.connect()
            stage.frames.header = stage.frames.payload_left = 0
            stage.calm = False
            try:
                match chance.randrange(3):
                    case 0:
                        size = 0
                        for _ in range(chance.randrange(1, 5)):
                            number, length = chance.choice(NUMBERS), chance.choice([1, 50, 3000, 10_000])
                            HEADER.pack_into(said.data, size, 0, 0, 0, number, length)
                            size += HEADER_SIZE + length
                            said.view[size - length : size] = bytes([number]) * length
                        _, ciphertext, _ = stage.theirs.send(said, size, -1, into)
                        assert ciphertext is not None
                        stage.received.view[: len(ciphertext)] = ciphertext
                        stage.wire.buffer_updated(len(ciphertext))
                    case 1:
                        number = chance.choice(NUMBERS)
                        room = stage.lanes[number].get_buffer(-1)
                        count = min(len(room), chance.choice([1, 200, 70_000]))
                        room[:count] = bytes([number]) * count
                        stage.lanes[number].buffer_updated(count)
                        del room
                    case 2:
                        stage.box.tick()
            except (Mischief, BufferError):  # what somebody looks at cannot be taken away
                pass
            except ValueError as failure:
                if "not within" not in str(failure):
                    raise
            stage.calm = True
            stage.come_to_reason()
            if not stage.box.ready and not stage.box.over:
                stage.box.ready = True
            for number, (_, far) in stage.sockets.items():
                while True:
                    try:
                        got = far.recv(1 << 20)
                    except BlockingIOError:
                        break
                    total += len(got)
                    assert set(got) <= {number}, f"stream {number} got bytes of {set(got)}"
    finally:
        stage.close()
    return total


def test_whatever_a_callback_does_c_looks_at_nothing_that_is_gone():
    assert sum(play(seed, 30) for seed in range(STORIES)) > 1000 * STORIES
