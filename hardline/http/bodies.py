"""Where the body of a request or an answer ends, without I/O.

    Content-Length: 5   ──▶  12345                                       five bytes
    chunked             ──▶  4 CRLF Wiki CRLF … 0 CRLF Digest: x CRLF CRLF   to the empty line behind the trailers

Bytes are counted and never changed.  Chunks are read to the letter: what two parsers could understand in two ways
is refused.  Source: RFC 9112, sections 6 and 7.1.
"""

from __future__ import annotations

import enum
import math
import re

from hardline.errors import PeerError

_MAX_LINE = 4096  # of a chunk's size and extensions, or of a trailer
_LOOK = 64  # bytes in which nearly every such line ends

_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?\r\n")
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n")

# What is short is gone through many at a time: tens of thousands of chunks or trailers fit into one read.
_REST = rb"(?:[ \t]{0,9}+;[\t\x20-\x7e\x80-\xff]{0,99}+)?+\r\n"
_FEW = 16  # bytes in a tiny chunk
_NEXT = re.compile(rb"\r\n([0-9A-Fa-f]{1,15}+)" + _REST)
_TINY = re.compile(
    rb"(?:\r\n0{0,14}+(?:"
    + b"|".join(b"[%x%X]%s(?s:.{%d})" % (size, size, _REST, size) for size in range(1, _FEW))
    + rb"))*+"
)
_TRAILERS = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,99}+:[\t\x20-\x7e\x80-\xff]{0,99}+\r\n)*+")


class _Line(enum.Enum):
    """What kind of line comes next in a chunked body."""

    SIZE = enum.auto()
    END = enum.auto()
    TRAILER = enum.auto()


class Body:
    """Finds the end of a body of `length` bytes, or of a chunked one.  `done` says that there is no more.

    Thousands of tiny chunks fit into one read.  With `most_lines` no more of them are gone through at once; without,
    all are, many at a time.
    """

    __slots__ = ("_chunked", "_expected", "_left", "_line", "_most_lines", "done")

    def __init__(self, length: int, *, chunked: bool = False, most_lines: float = math.inf) -> None:
        self._left = length
        self._chunked = chunked
        self._expected = _Line.SIZE
        self._line = b""
        self._most_lines = most_lines
        self.done = not chunked and not length

    def skip(self, data: bytes | memoryview, start: int = 0) -> int:
        """Go through what is in `data` from `start` on; return where the body ends in it, or where `data` does.

        Raises PeerError for chunks that are none, or too many.
        """
        if not self._chunked:
            step = min(self._left, len(data) - start)
            self._left -= step
            self.done = not self._left
            return start + step
        lines = 0
        while not self.done and start < len(data):
            if self._left:
                step = min(self._left, len(data) - start)
                self._left -= step
                start += step
            elif lines >= self._most_lines:
                raise PeerError("more chunks than are followed")
            else:
                start = self._take_line(data, self._take_short(data, start))
                lines += 1
        return start

    @property
    def unwatched(self) -> int:
        """Bytes that come next and that nobody has to look at: of the body, or of a chunk, all but the last one."""
        return max(self._left - 1, 0)

    def count(self, count: int) -> None:
        """So many of them came."""
        assert count <= self.unwatched, "who counts too much has lost the end of the body"
        self._left -= count

    def take(self, data: bytes) -> bytes:
        """The beginning of `data` that belongs to the body.  Raises as `skip` does."""
        return data[: self.skip(data)]

    def _take_short(self, data: bytes | memoryview, start: int) -> int:
        """Take all that is whole, short and as it should be; return where to go on, always in front of a line."""
        if self._line or self._most_lines < math.inf:
            return start
        if self._expected is _Line.END:
            while found := _NEXT.match(data, start):
                size, end = int(found[1], 16), found.end()
                if not 0 < size <= len(data) - end:
                    break
                start = end + size
                if size < _FEW:
                    start = _end(_TINY, data, start)
        elif self._expected is _Line.TRAILER:
            start = _end(_TRAILERS, data, start)
        return start

    def _take_line(self, data: bytes | memoryview, start: int) -> int:
        """Take a part of a line; return where to go on."""
        part = bytes(data[start : start + _LOOK])
        end = part.find(b"\n") + 1
        self._line += part[: end or len(part)]
        if len(self._line) > _MAX_LINE:
            raise PeerError(f"a line of more than {_MAX_LINE} bytes between chunks")
        if end:
            line, self._line = self._line, b""
            self._read_line(line)
        return start + (end or len(part))

    def _read_line(self, line: bytes) -> None:
        match self._expected:
            case _Line.SIZE:
                size = _CHUNK.fullmatch(line)
                if size is None:
                    raise PeerError("a chunk without its size")
                self._left = int(size[1], 16)
                self._expected = _Line.END if self._left else _Line.TRAILER
            case _Line.END:
                if line != b"\r\n":
                    raise PeerError("a chunk that is longer than its size")
                self._expected = _Line.SIZE
            case _Line.TRAILER:
                self.done = line == b"\r\n"
                if not self.done and not _TRAILER.fullmatch(line):
                    raise PeerError("a malformed trailer behind the chunks")


def _end(some: re.Pattern[bytes], data: bytes | memoryview, start: int) -> int:
    found = some.match(data, start)
    return found.end() if found is not None else start
