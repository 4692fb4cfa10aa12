"""Where the answers on a kept connection begin and end, without I/O.

    GET /a  GET /b   ──▶ Answers.asked(…)                    who waits
    200 …   200 …    ──▶ Answers.heard(…) ──▶ waiting        how many still do

Bytes are looked at and never changed.  What two parsers could understand in two ways, or no parser at all, makes
the answers `lost`: they go on as they come, and nobody knows any more where they end.  So does what costs too much
to follow.  Source: RFC 9112, sections 4, 6 and 9.
"""

from __future__ import annotations

import enum
import re

from hardline.errors import PeerError
from hardline.http.bodies import Body

_MAX_HEAD = 65_536
_WORTH_KNOWING = 2048  # bytes of a head that is kept to be known again
_LOOK = 4096  # bytes in which nearly every head ends
_HEADS = 128  # in one delivery that are followed; thousands of empty ones fit into it
_LINES = 256  # the same between chunks, where nothing else is said

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_HEAD = re.compile(
    rb"HTTP/1\.[01] (?P<status>[1-9][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*+)?\r\n"
    rb"(?:" + _TOKEN + rb":[\t\x20-\x7e\x80-\xff]*+\r\n)*+\r\n"
)
_SWITCHED = re.compile(rb"HTTP/1\.[01] 101[ \r\n]")
_FRAMING = re.compile(rb"\n((?i:content-length|transfer-encoding)):[ \t]*([^\r]*)")
_LENGTH_NAME = len(b"content-length")
_LENGTH = re.compile(rb"[0-9]{1,18}\Z")


class Asked(enum.Enum):
    """What has to be known of a request to find the end of its answer."""

    PLAIN = enum.auto()
    HEAD = enum.auto()  # its answer has no body
    UPGRADE = enum.auto()  # its answer can be the last one of HTTP


PLAIN, HEAD, UPGRADE = Asked.PLAIN, Asked.HEAD, Asked.UPGRADE


class Answers:
    """Follows the answers to the requests that it was told of.

    `waiting` requests have not been answered wholly.  `lost`: nobody knows.  `switched`: the connection speaks
    something else now; `decided`: the last UPGRADE was answered, one way or the other.
    """

    def __init__(self, most_lines: float = _LINES) -> None:
        self._most_lines = most_lines
        self._asked: list[Asked] = []  # few: a deque is 760 bytes, also while nobody asks anything
        self._head = b""
        self._left = 0  # bytes of a body whose length was told
        self._chunks: Body | None = None
        self._known, self._known_length = b"", 0  # the last head with a length, which may come again
        self.lost = False
        self.surplus = False  # something came that answers nothing
        self.switched = False
        self.decided = True

    @property
    def waiting(self) -> int:
        """Requests whose answers are not over."""
        return len(self._asked)

    @property
    def begun(self) -> bool:
        """An answer has begun and is not over."""
        return bool(self._head or self._left) or self._chunks is not None

    @property
    def whole(self) -> bool:
        """Whatever was asked was answered, to the last byte."""
        return not (self._asked or self._head or self.lost)

    @property
    def unwatched(self) -> int:
        """Bytes that come next and that nobody has to look at: of a body, all but the last one."""
        return max(self._left - 1, 0)

    def count(self, count: int) -> None:
        """So many of them came."""
        if count > self.unwatched:  # who counts too much has lost the end of the answer
            self.lost, self._left = True, 0
        else:
            self._left -= count

    def asked(self, kind: Asked) -> None:
        """A request was passed on."""
        self._asked.append(kind)
        if kind is UPGRADE:
            self.decided = False

    def heard(self, data: bytes | memoryview) -> None:
        """Take what the service says next."""
        start, size, heads = 0, len(data), 0
        if self._known and not self.begun and self._asked and self._asked[0] is PLAIN:
            start = len(self._known)
            if bytes(data[:start]) == self._known:
                self._expect(self._known_length)
            else:
                start = 0
        try:
            while start < size and not (self.lost or self.switched):
                if self._left or self._chunks is not None:
                    start = self._skip(data, start)
                elif not self._asked:
                    self.surplus = True
                    raise PeerError("an answer to nothing")
                elif heads == _HEADS:
                    raise PeerError("more than can be followed")
                else:
                    start = self._take_head(data, start)
                    heads += 1
        except PeerError:
            self.lost, self._head, self._left, self._chunks = True, b"", 0, None

    def body(self, data: bytes, start: int) -> int:
        """Take what belongs to the body of the answer that has begun; return where in `data` it ends."""
        try:
            return self._skip(data, start)
        except PeerError:
            self.lost, self._left, self._chunks = True, 0, None
            return len(data)

    def _skip(self, data: bytes | memoryview, start: int) -> int:
        if self._chunks is None:
            step = min(self._left, len(data) - start)
            self._left -= step
            if not self._left:
                del self._asked[0]
            return start + step
        start = self._chunks.skip(data, start)
        if self._chunks.done:
            self._chunks = None
            del self._asked[0]
        return start

    def _expect(self, length: int) -> None:
        self._left = length
        if not length:
            del self._asked[0]

    def _take_head(self, data: bytes | memoryview, start: int) -> int:
        """Take a head, or a part of one; return where to go on."""
        before = len(self._head)
        head = self._head + bytes(data[start : start + _LOOK])
        if not self.decided and self._asked[0] is UPGRADE and _SWITCHED.match(head):
            # However its head goes on, all that reads it agrees on what it is.
            self.switched = self.decided = True
            return len(data)
        end = head.find(b"\r\n\r\n", max(before - 3, 0)) + 4
        if end == 3:
            if len(head) > _MAX_HEAD:
                raise PeerError("a head without an end")
            self._head = head
            return start + len(head) - before
        self._head = b""
        found = _HEAD.fullmatch(head, 0, end)
        if found is None:
            raise PeerError("no answer")
        self._read_head(found[1], head, end)
        return start + end - before

    def _read_head(self, status: bytes, head: bytes, end: int) -> None:
        kind = self._asked[0]
        if status < b"200":
            if status == b"101":
                raise PeerError("switched without being asked to")
            return
        if kind is UPGRADE:
            self.decided = True
        if kind is HEAD or status == b"204" or status == b"304":
            del self._asked[0]
            return
        fields = _FRAMING.findall(head, 0, end)
        if len(fields) != 1:
            raise PeerError("an answer that ends with its connection, or has two lengths")
        name, value = fields[0]
        value = value.rstrip(b" \t")
        if len(name) == _LENGTH_NAME and _LENGTH.match(value):
            if end <= _WORTH_KNOWING and kind is PLAIN:
                self._known, self._known_length = head[:end], int(value)
            self._expect(int(value))
        elif len(name) != _LENGTH_NAME and value.lower() == b"chunked":
            self._chunks = Body(0, chunked=True, most_lines=self._most_lines)
        else:
            raise PeerError("an answer whose end cannot be known")
