"""One end of a session's control stream: lines both ways, whatever they are about.

    say ─▶ what the other end has not taken yet ─▶ Stream
    who reads lines of a kind ◀─ so many and no more ◀─ Stream

A line is read in the callback that brings it: what it says is known before what came behind it, the session's end too.
A kind that nobody reads is ignored; who breaks a rule has the stream reset, and the session goes on.
Source: docs/PROTOCOL.md, section 10.1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from hardline import log
from hardline.allowance import Allowance
from hardline.errors import ConnectionLost, HardlineError, PeerError, afresh
from hardline.session.messages import Lines, read
from hardline.session.stream import Stream

AT_ONCE, PER_SECOND = 64, 2  # lines that the other end may send
MOST_UNSENT = 32_768  # bytes that are kept for one that does not read

Reader = Callable[[object], None]


class ControlStream:
    """`opens` returns the stream: the host's is opened by the first thing that is said, the visitor's is there.

    `failure` says why nothing can be said any more, None while it can: the stream is opened once in a session.
    """

    __slots__ = (
        "_lines",
        "_opens",
        "_readers",
        "_said",
        "_stream",
        "_unsent",
        "_when_drained",
        "_when_over",
        "failure",
    )

    def __init__(self, opens: Callable[[], Stream]) -> None:
        self._opens = opens
        self._stream: Stream | None = None
        self._readers: dict[str, Reader] | None = None
        self._lines: Lines | None = None
        self._said: Allowance | None = None
        self._unsent = b""
        self._when_drained: dict[Callable[[], object], None] | None = None
        self._when_over: list[Callable[[], object]] | None = None
        self.failure: Exception | None = None

    def hear(self, kind: str, reader: Reader) -> None:
        """Have `reader` called with the value of each line of this kind.

        A PeerError of it resets the stream, any other HardlineError ends the session with it.
        """
        if self._readers is None:
            self._readers = {}
        self._readers[kind] = reader

    def begin(self) -> None:
        """Take the stream, or open it.  Raises HardlineError where that cannot be."""
        try:
            stream = self._opens()
        except HardlineError as failure:
            self._is_over(failure)
            raise
        self._stream, self._lines, self._said = stream, Lines(), Allowance(AT_ONCE, PER_SECOND)
        stream.attach(self)

    def say(self, line: bytes) -> None:
        """Send a whole line, or several, as soon as there is room.

        Raises ConnectionLost, also for an end that does not read; LimitReached where the visitor has gone away.
        """
        if self.failure is None and self._stream is None:
            self.begin()
        if self.failure is None and len(self._unsent) + len(line) > MOST_UNSENT:
            self.close(ConnectionLost("the other end of the control stream does not read"))
        if self.failure is not None:
            raise afresh(self.failure)
        self._unsent += line
        self.room_made()

    @property
    def is_behind(self) -> bool:
        """The other end has not taken all that was said."""
        return bool(self._unsent)

    def when_drained(self, tell: Callable[[], object]) -> None:
        """Have `tell` called once when it has, or nothing can be said any more; it is not behind by itself."""
        if self._when_drained is None:
            self._when_drained = {}
        self._when_drained[tell] = None

    async def drained(self) -> None:
        """All that was said has left.  Raises ConnectionLost when it cannot any more.  Safe to cancel."""
        if self._unsent and self.failure is None:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.when_drained(partial(_settle, done))
            await done
        if self.failure is not None:
            raise afresh(self.failure)

    def when_over(self, tell: Callable[[], object]) -> None:
        """Have `tell` called once when nothing can be said any more; at once where that is so."""
        if self.failure is not None:
            tell()
        elif self._when_over is None:
            self._when_over = [tell]
        else:
            self._when_over.append(tell)

    def close(self, failure: Exception | None = None) -> None:
        """There is nothing more to say.  Idempotent."""
        if self.failure is None:
            self._is_over(failure or ConnectionLost("the control stream was closed"))
            if self._stream is not None:
                self._stream.abort()

    # What the stream calls.

    def data_received(self, data: memoryview) -> None:
        if self.failure is not None or self._stream is None or self._lines is None or self._said is None:
            return
        self._stream.session.consumed(self._stream, len(data))
        now = asyncio.get_running_loop().time()
        try:
            self._lines.feed(bytes(data))
            while self.failure is None and (line := self._lines.next()) is not None:
                if not self._said.take("", now):
                    raise PeerError("more lines than there is to say")
                kind, value = read(line)
                if (reader := (self._readers or {}).get(kind)) is not None:
                    reader(value)
        except PeerError as failure:
            log.debug("control.reset", endpoint=self._stream.session.source.name, reason=failure.message)
            self.close(failure)

    def ended(self) -> None:
        self.close(ConnectionLost("the other end has ended the control stream"))

    def was_reset(self, failure: Exception) -> None:
        if self.failure is None:
            self._is_over(failure)

    def room_made(self) -> None:
        stream = self._stream
        if stream is None or self.failure is not None:
            return
        while self._unsent:
            count = stream.session.put(stream, memoryview(self._unsent))
            if not count:
                stream.session.park(stream)
                return
            self._unsent = self._unsent[count:]
        self._tell_drained()

    # How it ends.

    def _is_over(self, failure: Exception) -> None:
        self.failure, self._unsent = failure, b""
        self._tell_drained()
        tells, self._when_over = self._when_over or [], None
        for tell in tells:
            tell()
        self._readers = None

    def _tell_drained(self) -> None:
        tells, self._when_drained = self._when_drained or {}, None
        for tell in tells:
            tell()


def _settle(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
