"""One answer as it comes: what the service says, and what of that the client gets; without I/O.

    HTTP/1.1 103 …, HTTP/1.1 200 …, body, …  ──▶ take ──▶ heads as `written` has them, body as it is
                                     body, …  ──▶ skip ──▶ how much of it is the body's

Nothing is collected but a head.  `whole`: it has come to its end, which nothing but the end of its stream says of some.
"""

from __future__ import annotations

from collections.abc import Callable

from hardline.gateway.answers import Answer, AnswerReader, Last
from hardline.http.bodies import Body

_ALL = 1 << 40  # bytes: nobody has to look at any


class Answering:
    """The answer to a request of `method`.  `status` is 0 until its head is there; `count` are bytes of its body.

    `written` makes what the client gets of a head, and is told whether what follows ends with its stream; `last` is of
    answers.AnswerReader.
    """

    __slots__ = ("_body", "_method", "_reader", "_written", "begun", "count", "keeps", "status", "whole")

    def __init__(self, method: str, written: Callable[[Answer, bool], bytes], last: Last | None = None) -> None:
        self._method, self._written = method, written
        self._reader = AnswerReader(last)
        self._body: Body | None = None
        self.status = self.count = 0
        self.begun = False  # there is something for the client
        self.whole = False
        self.keeps = False  # its stream may be asked again

    @property
    def heard(self) -> bool:
        """The service has said something."""
        return self.begun or self._reader.begun

    @property
    def unwatched(self) -> int:
        """How many bytes that come next can only be the body's, and not its last one."""
        return _ALL if self._body is None else self._body.unwatched

    def take(self, data: bytes) -> bytes:
        """What the client gets of what the service says.  Raises PeerError for what is no answer."""
        if self.status:
            return data[: self.skip(data)]
        heads = b""
        while (answer := self._reader.feed(data)) is not None:
            final = not answer.interim
            self._body = answer.body(self._method) if final and answer.status != 101 else None
            heads += self._written(answer, final and self._body is None)
            self.begun = self.begun or bool(heads)
            if final:
                return heads + self._behind(answer)
            data = b""
        return heads

    def skip(self, data: bytes | memoryview) -> int:
        """How much of `data`, behind the head, is the body's.  Raises PeerError for chunks that are none."""
        size = len(data)
        if self._body is None:
            self.count += size
            return size
        end = self._body.skip(data)
        self.count += end
        if self._body.done:
            self.whole = True
            self.keeps = self.keeps and end == size
        return end

    def passed(self, count: int) -> None:
        """So many bytes of it went to the client that nobody looked at."""
        self.count += count
        if self._body is not None:
            self._body.count(count)

    def ended(self) -> bool:
        """The service has; whether that is the end of its answer, and not a cut."""
        self.keeps = False
        self.whole = self.whole or (self.status > 0 and self._body is None)
        return self.whole

    def _behind(self, answer: Answer) -> bytes:
        """What of the body came with the head."""
        rest, self.status = self._reader.leftover, answer.status
        if answer.status == 101:
            return rest
        self.keeps = self._body is not None and not answer.closes
        return rest[: self.skip(rest)]
