"""One request and its answer, between a client and a stream to its service.

    client's socket ── the rest of the request's body ──▶ Outward ──▶ stream
    client's socket ◀── Inward ◀── head, body as it comes ─────────── stream

Nothing is collected: what one side sends leaves to the other, and who is slow holds the other back.  Where an answer
that has begun cannot be ended, the client's connection is cut, so that a part is never taken for the whole.
"""

from __future__ import annotations

import asyncio

from hardline.errors import ConnectionLost, HardlineError, PeerError
from hardline.gateway.answering import Answering
from hardline.http.bodies import Body
from hardline.native.books import Lane
from hardline.outcome import Outcome
from hardline.session.inward import Inward
from hardline.session.outward import Outward
from hardline.session.stream import Stream
from hardline.streams import ByteStream
from hardline.transport.tcp import TcpStream

GONE = "the client has gone"
_BEHIND = 4096  # bytes that are read at once behind a request: what is asked next has to wait
TOO_EARLY = "the service ended before its answer"


class Sent:
    """The request's body on its way: what of it has not come yet, and what came behind it (`leftover`)."""

    __slots__ = ("body", "leftover", "moved", "wrong")

    def __init__(self, body: Body, leftover: bytes) -> None:
        self.body, self.leftover = body, leftover
        self.moved = 0
        self.wrong: PeerError | None = None  # what the client said is no body

    @property
    def settled(self) -> bool:
        """The client has said all, and waits."""
        return False

    @property
    def stopped(self) -> bool:
        """Nothing more is wanted of the client now: what it asks next waits with it."""
        return self.wrong is not None or bool(self.leftover)

    def begin(self) -> bytes:
        """What of the body is there.  Raises PeerError for chunks that are none."""
        if self.body.done:
            return b""
        part = self.body.take(self.leftover)
        self.leftover = self.leftover[len(part) :]
        return part

    def asked(self, data: memoryview | bytes) -> memoryview | bytes:
        """What of `data`, which comes next, is the body's: itself, or bytes of their own."""
        if self.body.done:
            self.leftover += data
            return b""
        try:
            end = self.body.skip(data)
        except PeerError as wrong:
            self.wrong = wrong
            return b""
        self.moved += end
        if end == len(data):
            return data
        self.leftover = bytes(data[end:])
        return bytes(data[:end])

    async def pump(self, client: TcpStream, pipe: ByteStream) -> None:
        """Send the rest.  A service may answer and close before it has read all: then the rest is dropped."""
        wanted = True
        try:
            while not self.body.done:
                data = await client.receive()
                if not data:
                    raise ConnectionLost("the client ended in the middle of its request")
                part = bytes(self.asked(data))
                if self.wrong is not None:
                    raise self.wrong
                if wanted:
                    wanted = await _took(pipe, part)
        except (ConnectionLost, PeerError):
            await pipe.aclose()


class Carrying(Lane, asyncio.BufferedProtocol):
    """Carries the rest of a request and of its answer, without a task.

    It has the stream and the client's socket until `done`, which says how it went; then both are their owners' again,
    and what came behind the answer is the stream's.  A client that ends its direction meanwhile has gone.
    """

    def __init__(self, stream: Stream, client: TcpStream, sent: Sent, answering: Answering) -> None:
        self._stream, self._client, self._transport = stream, client, client.transport
        self._sent, self._answering = sent, answering
        self.moved = 0
        self.counted, self.hears = True, False
        self.done = Outcome()
        self._inward = Inward(stream, self._transport, None)
        self._outward = Outward(stream, self._transport, sent)
        early, ended = client.hand_over(self)
        self._inward.begin()
        self._outward.begin(early, ended=False)
        if ended or self._transport.is_closing():
            self._end(ConnectionLost(GONE), ended=ended)
            return
        stream.attach(self)
        if self.done.done():
            stream.take_back()  # what it had received was all
            return
        stream.session.lend(stream, self, self._outward.brake)
        self._push()
        self._offer()

    @property
    def progress(self) -> tuple[int, int]:
        """Another one as soon as a byte has moved."""
        return self.moved, self._transport.get_write_buffer_size()

    def abort(self, failure: Exception) -> None:
        """Let both go as they are.  Idempotent."""
        self._end(failure)

    # What the event loop calls for the socket.

    def get_buffer(self, sizehint: int) -> memoryview:
        room = self._outward.get_buffer()
        self.place = place = room[:_BEHIND] if self._sent.body.done else room
        return place

    def buffer_updated(self, nbytes: int) -> None:
        self.moved += nbytes
        place, self.place = self.place, None  # who keeps it would keep a buffer that all share
        assert place is not None, "asked for before"
        if self._outward.took(place, nbytes):
            self._push()

    def eof_received(self) -> bool:
        self._end(ConnectionLost(GONE), ended=True)
        return True  # its owner closes it

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(ConnectionLost(str(exc) if exc else GONE), ended=True)
        self._client.connection_lost(exc)

    def pause_writing(self) -> None:
        self._inward.fall_behind()

    def resume_writing(self) -> None:
        self._inward.catch_up()
        self._offer()

    # What the stream calls.

    def data_received(self, data: memoryview) -> None:
        self.moved += len(data)
        try:
            self._give(data)
        except OSError as failure:
            self._end(ConnectionLost(str(failure)))
            return
        except HardlineError as failure:
            self._end(failure)
            return
        if self._answering.whole:
            self._end(None)
        else:
            self._offer()

    def carried(self, count: int) -> None:
        """From C: `count` bytes went straight to the socket."""
        self._answering.passed(count)

    def ended(self) -> None:
        if self._answering.ended():
            self._end(None)
        else:
            middle = "the service ended in the middle of its answer"
            self._end(ConnectionLost(middle if self._answering.status else TOO_EARLY))

    def was_reset(self, failure: Exception) -> None:
        self._end(failure)

    def room_made(self) -> None:
        self._push()

    # How it works.

    def _give(self, data: memoryview) -> None:
        """Bring what is the client's to it."""
        if not self._answering.status:
            said = self._answering.take(bytes(data))
            self._inward.drop(len(data))
            if said:
                self._inward.say(said)
            return
        end = self._answering.skip(data)
        if end < len(data):
            self._inward.drop(len(data) - end)
        self._inward.write(data[:end])

    def _push(self) -> None:
        """Send what was read before, or was cut off behind the body's end; until it is gone nothing more is read."""
        if self.done.done():
            return
        if self._sent.wrong is not None:
            self._end(self._sent.wrong)
        elif self._outward.push(reads_on=True):
            if self._sent.stopped:
                self._outward.wait()
            else:
                self._outward.read_on()

    def _offer(self) -> None:
        if self.linked and self._answering.status and not self.done.done():
            self._inward.offer_lane(self, self._answering)

    def _end(self, failure: Exception | None, *, ended: bool = False) -> None:
        if self.done.done():
            return
        self._inward.forget_descriptor(self)
        self.part()
        self._inward.catch_up()  # what waits for the client is its socket's now
        self._stream.take_back()
        behind = self._transport.get_write_buffer_size() > 0
        self._client.take_back(paused=self._outward.waits, ended=ended)
        if behind and not self._transport.is_closing():
            self._client.pause_writing()
        self.done.settle(failure)


async def _took(pipe: ByteStream, part: bytes) -> bool:
    try:
        await pipe.send(part)
    except ConnectionLost:
        return False
    return True
