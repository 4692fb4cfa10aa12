"""What a session holds for readers that do not read: bounded for it, and with all others for the process.

    delivered ──▶ held ──▶ let_go
                   └─ too much: the stream that holds most is cut

Windows bound each stream; this bounds a peer with many streams, and one with many sessions.
Source: docs/PROTOCOL.md, section 5.2.
"""

from __future__ import annotations

from collections.abc import Mapping

from hardline import log
from hardline.native.books import Held
from hardline.routes import Endpoint
from hardline.session.stream import Stream
from hardline.session.windows import Backlog

STEP = 65_536  # the process hears of what is held in steps of this
_MORE = 16_777_216  # what all streams may hold beyond the session's window, for their initial ones


class Holding(Held):
    """Of one session: `streams` are its own, `window` is the most that theirs may grow to together.

    `held` is raised by who delivers to a stream, as `Stream.held` is; then `look` when it is STEP more than `noted`.
    """

    def __init__(
        self, streams: Mapping[int, Stream], window: int, backlog: Backlog, source: str, peer: Endpoint
    ) -> None:
        self._streams, self._most, self._backlog = streams, window + _MORE, backlog
        self._source, self._peer = source, peer
        self.held = self.noted = 0
        self._over = False

    def let_go(self, stream: Stream, count: int) -> None:
        """The reader of `stream` took `count` bytes."""
        held = min(count, stream.held)  # none of a stream that is over, though its last bytes are still on their way
        stream.held -= held
        self.held -= held
        if self.noted - self.held >= STEP and not self._over:
            self._note()

    def dropped(self, stream: Stream) -> None:
        """`stream` is over: nobody will read what it holds."""
        self.held -= stream.held
        stream.held = 0

    def look(self) -> None:
        """Who makes us hold more than honest readers' windows loses the streams that hold most."""
        while self.held > self._most and self._cut_fullest("session_window"):
            pass
        self._note()

    def end(self) -> None:
        """The session is over."""
        self._over = True
        self._backlog.forget(self)

    def _note(self) -> None:
        self.noted = self.held
        fullest = self._backlog.note(self, self._source, self.held)
        while isinstance(fullest, Holding) and fullest._cut_fullest("process_window"):
            fullest.noted = fullest.held
            fullest = self._backlog.note(fullest, fullest._source, fullest.held)

    def _cut_fullest(self, limit: str) -> bool:
        """Cut the stream that holds most because of `limit`.  False when there is none."""
        fullest = max(self._streams.values(), key=lambda stream: stream.held, default=None)
        if fullest is None or not fullest.held:
            return False
        log.warning("stream.cut", endpoint=self._peer, reason=f"{limit}: nobody reads it", held=fullest.held)
        fullest.abort()
        return True
