"""Which parts of a whole a request wants: byte ranges, without I/O.

    Range: bytes=0-99        ──▶  one part     206  Content-Range: bytes 0-99/1000
    Range: bytes=0-9,-10     ──▶  two parts    206  Content-Type: multipart/byteranges; boundary=…
    Range: bytes=2000-       ──▶  no part      416  Content-Range: bytes */1000
    Range: bytes=9-1, x=1-2  ──▶  None         200  the whole: not understood, or not worth it

Parts that overlap or touch become one.  Whoever asks for very many parts, or for what makes a longer answer than the
whole, gets the whole once.
Source: RFC 9110, sections 14.1.2, 14.2, 14.6 and 15.3.7.2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_PARTS = 32  # ranges in a request
_HEAD = 80  # bytes, about, that a part costs beside its own

_SPEC = re.compile(r"([0-9]*)-([0-9]*)\Z")
_MAX_DIGITS = 19  # more is beyond every file
_FAR = 10**_MAX_DIGITS


@dataclass(frozen=True, slots=True)
class Part:
    """`count` bytes, at least one, from `offset`."""

    offset: int
    count: int

    @property
    def end(self) -> int:
        return self.offset + self.count


def select(field: str, size: int) -> tuple[Part, ...] | None:
    """The parts of a whole of `size` bytes that the value of a Range field asks for, in its order.

    None: answer with the whole.  No parts at all: answer 416.
    """
    unit, separator, listed = field.partition("=")
    if not separator or unit.lower() != "bytes":
        return None
    specs = [spec.strip(" \t") for spec in listed.split(",", 2 * MAX_PARTS)]
    specs = [spec for spec in specs if spec]
    if not specs or len(specs) > MAX_PARTS:
        return None
    wanted = []
    for spec in specs:
        match = _SPEC.match(spec)
        if match is None or spec == "-":
            return None
        if not match[1]:  # the last so many bytes
            count = min(_number(match[2]), size)
            if count:
                wanted.append(Part(size - count, count))
            elif not size and _number(match[2]):
                return None  # satisfiable, by nothing: there is no Content-Range of no bytes
            continue
        first, last = _number(match[1]), _number(match[2]) if match[2] else _FAR
        if last < first:
            return None
        if first < size:
            wanted.append(Part(first, min(last, size - 1) - first + 1))
    parts = _joined(wanted)
    if len(parts) > 1 and sum(part.count + _HEAD for part in parts) >= size:
        return None
    return parts


def content_range(part: Part, size: int) -> str:
    """The value of Content-Range for `part`."""
    return f"bytes {part.offset}-{part.end - 1}/{size}"


def unsatisfied(size: int) -> str:
    """The value of Content-Range of a 416."""
    return f"bytes */{size}"


@dataclass(frozen=True, slots=True)
class Multipart:
    """A body of several parts: for each one what goes before it, then its bytes; at the end `close`."""

    content_type: str
    parts: tuple[tuple[bytes, Part], ...]
    close: bytes

    @property
    def size(self) -> int:
        return sum(len(head) + part.count for head, part in self.parts) + len(self.close)


def multipart(parts: tuple[Part, ...], size: int, content_type: str, boundary: str) -> Multipart:
    """The body for more than one part.  `boundary` must not be in them: take a random one."""
    before = f"\r\n--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: "
    heads = (f"{before}{content_range(part, size)}\r\n\r\n".encode() for part in parts)
    return Multipart(
        f"multipart/byteranges; boundary={boundary}",
        tuple(zip(heads, parts, strict=True)),
        f"\r\n--{boundary}--\r\n".encode(),
    )


def _number(digits: str) -> int:
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) <= _MAX_DIGITS else _FAR


def _joined(wanted: list[Part]) -> tuple[Part, ...]:
    """The same bytes without repetition; each part where the first of those that make it up stood."""
    if len(wanted) < 2:
        return tuple(wanted)
    joined: list[tuple[int, Part]] = []
    for place, part in sorted(enumerate(wanted), key=lambda item: item[1].offset):
        if joined and part.offset <= joined[-1][1].end:
            before, last = joined[-1]
            end = max(last.end, part.end)
            joined[-1] = min(before, place), Part(last.offset, end - last.offset)
        else:
            joined.append((place, part))
    return tuple(part for _, part in sorted(joined, key=lambda item: item[0]))
