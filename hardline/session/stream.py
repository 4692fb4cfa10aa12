"""One stream of a session, as a ByteStream, or pushing what it gets to a Sink.

a task ◀─ receive/send ─▶ Stream ◀─ put, consumed / deliver, room_made ─▶ Multiplexer (session.py)
Joint  ◀─ Sink ─────────▶
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from hardline.errors import ConnectionLost, afresh
from hardline.native.books import Lane, Reasons, Use
from hardline.streams import DEFAULT_RECEIVE
from hardline.transport.inbox import Inbox
from hardline.transport.sources import Source

_CLOSED = ConnectionLost("the pipe was closed")  # raised afresh


class Multiplexer(Protocol):
    """What streams and joints use of their session."""

    @property
    def source(self) -> Source:
        """Whom the peer belongs to."""
        ...

    def reserve(self, stream: Stream) -> memoryview:
        """Room to put payload of `stream` straight into; `commit` says how much was put.

        Never empty, but of use only while `may_send` holds.
        """
        ...

    def commit(self, stream: Stream, count: int, *, lazily: bool = False) -> bool:
        """`count` bytes were put where `reserve` said.  False when `stream` must wait until `room_made`.

        They leave in this turn of the event loop; `lazily`, when there is something else to send.
        """
        ...

    def may_send(self, stream: Stream) -> bool:
        """There is room for `stream`; if not, `room_made` will be called."""
        ...

    def put(self, stream: Stream, data: memoryview, *, lazily: bool = False) -> int:
        """Copy as much of `data` as there is room for; return how much.  `lazily` as in `commit`."""
        ...

    def park(self, stream: Stream) -> None:
        """Call `stream.room_made` when there may be room again."""
        ...

    def consumed(self, stream: Stream, count: int) -> None:
        """The reader of `stream` took `count` bytes."""
        ...

    def lend(self, stream: Stream, lane: Lane, brake: Reasons) -> None:
        """What comes on `stream` may go straight to the socket of `lane`, as far as that offers, and what the socket
        says straight to the session, while `brake` has no reasons.

        Until `lane.part`, which must come before the stream is another's.  What does not go that way goes as ever.
        """
        ...

    def finish(self, stream: Stream, *, lazily: bool = False) -> None:
        """End our direction of `stream`.  `lazily` as in `commit`."""
        ...

    def reset(self, stream: Stream) -> None:
        """End both directions of `stream`."""
        ...


class Sink(Protocol):
    """Who gets a stream's data pushed, instead of asking for it (joint.py)."""

    def data_received(self, data: memoryview) -> None: ...
    def ended(self) -> None: ...
    def was_reset(self, failure: Exception) -> None: ...
    def room_made(self) -> None: ...


class Stream(Use):
    """One pipe in a session: a ByteStream."""

    __slots__ = (
        *("_inbox", "_room", "_session", "_sink", "_write_failure"),
        *("gone", "number", "when_gone"),
    )

    def __init__(self, session: Multiplexer, number: int) -> None:
        self.number = number
        self.turn, self.used = 0, 0  # the session's account of what was sent in which turn
        self.held = 0  # and of what was delivered and not consumed
        self.gone = False  # both directions, at once
        self.when_gone: Callable[[], object] | None = None  # called once: for who waits with it, and reads nothing yet
        self._session = session
        self._inbox = Inbox(self._taken)
        self._sink: Sink | None = None
        self._room: asyncio.Future[None] | None = None
        self._write_failure: Exception | None = None

    @property
    def session(self) -> Multiplexer:
        """The session that carries this stream."""
        return self._session

    async def receive(self, max_bytes: int = DEFAULT_RECEIVE) -> bytes:
        """As ByteStream.receive."""
        return await self._inbox.receive(max_bytes)

    async def send(self, data: bytes) -> None:
        """As ByteStream.send: waits until the session has taken all of `data`."""
        view = memoryview(data)
        while view:
            if self._write_failure:
                raise afresh(self._write_failure)
            count = self._session.put(self, view)
            view = view[count:]
            if view:
                self._room = asyncio.get_running_loop().create_future()
                self._session.park(self)
                await self._room
        if self._write_failure:
            raise afresh(self._write_failure)

    async def send_lazily(self, data: bytes) -> None:
        """As `send`, for a few bytes that nobody waits for: they leave with others, or after a millisecond."""
        await self.send(data[self._session.put(self, memoryview(data), lazily=True) :])

    async def send_eof(self) -> None:
        """As ByteStream.send_eof."""
        self.finish()

    async def aclose(self) -> None:
        """As ByteStream.aclose: a stream whose two directions have not both ended is reset."""
        self.abort()

    # What a Joint uses.

    def attach(self, sink: Sink) -> None:
        """From now on push everything to `sink`; what was received already comes first."""
        self._sink = sink
        self.when_gone = None  # who waited with it does so no more, and may hold it
        early = self._inbox.drain()
        if early:
            sink.data_received(memoryview(early))
        self._inbox.let_go()
        if self.gone:  # the inbox does not tell that of one whose peer had ended in order before
            sink.was_reset(self._write_failure or ConnectionLost("the pipe was closed"))
        elif self._inbox.ended:
            sink.ended()

    def detach(self) -> None:
        """The sink is told nothing more: both directions have ended."""
        self._sink = None

    def take_back(self) -> None:
        """Undo `attach`: what comes from now on waits for `receive`."""
        self._sink = None
        self._inbox.come_back(self._taken)

    def finish(self, *, lazily: bool = False) -> None:
        """End our direction; `lazily`, where nobody waits to hear of it."""
        if self._write_failure is None:
            self._write_failure = _CLOSED
            self._session.finish(self, lazily=lazily)

    def abort(self) -> None:
        """End both directions at once."""
        self._session.reset(self)
        self.fail(ConnectionLost("the pipe was closed"))

    # What the session asks and calls.

    @property
    def finished(self) -> bool:
        """Our direction has ended."""
        return self._write_failure is not None

    @property
    def ended(self) -> bool:
        """The peer's direction has ended, and we were told."""
        return self._inbox.ended

    @property
    def silent(self) -> bool:
        """It stands, and the peer has said nothing that was not received."""
        return self._inbox.silent and not self.gone

    @property
    def waiting(self) -> bytes:
        """What the peer has said and nobody has received; it stays there."""
        return self._inbox.waiting

    def skip(self, count: int) -> int:
        """The first `count` bytes of what is `waiting` are received.  Returns `count`."""
        if count:
            self._inbox.skip(count)
        return count

    def deliver(self, data: memoryview) -> None:
        """Data came from the peer."""
        if self._sink is not None:
            self._sink.data_received(data)
        else:
            self._inbox.put(bytes(data))

    def peer_ended(self) -> None:
        """The peer ended its direction."""
        self._inbox.end()
        if self._sink is not None:
            self._sink.ended()

    def fail(self, failure: Exception) -> None:
        """Both directions are gone."""
        self.gone = True
        fresh = not self._inbox.ended or self._write_failure is None
        self._inbox.end(failure)
        self._inbox.let_go()
        self._write_failure = failure
        self.room_made()
        if fresh and self._sink is not None:
            self._sink.was_reset(failure)
        if (tell := self.when_gone) is not None:
            self.when_gone = None
            tell()

    def room_made(self) -> None:
        """There is room to send again."""
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        if self._sink is not None:
            self._sink.room_made()

    def _taken(self, count: int) -> None:
        self._session.consumed(self, count)
