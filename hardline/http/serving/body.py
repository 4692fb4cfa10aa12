"""A piece of a file as the body of an answer.

    file ── preadv, at once if it is in memory, else in a thread ──▶ buffer ── response.write: back-pressure ──▶ visitor

Nothing here blocks the event loop: a disk may be asleep, or at the other end of a network that is down.  What can be
had at once is on a disk of this computer, whose facts are in memory, too.  Many visitors who do not read get small
pieces, so that what waits for all of them together is about _IN_ALL.

A file that others write to is looked at after each reading.  What is only added to its end does no harm; one that was
written anew would give an answer that is a mixture, which nobody can tell from a good one: it is cut instead.
"""

from __future__ import annotations

import os
from typing import NoReturn, Self

from aiohttp import web

from hardline.disks import Disk, DiskHangs
from hardline.errors import ConnectionLost

_PIECE, _SMALL_PIECE = 262_144, 16_384
_IN_ALL = 32 << 20  # bytes
_SHARE = 16  # part of what is left that a piece may have
_SAMPLE = 4096  # bytes that tell a file that grows from one that was written anew
_SHORTER, _ANEW = "the file became shorter while it was sent", "the file was written anew while it was sent"
_AT_ONCE = getattr(os, "RWF_NOWAIT", 0)  # Linux: only what is in memory

_in_memory = 0  # bytes of pieces that are being sent


async def send_file(
    request: web.BaseRequest,
    response: web.StreamResponse,
    fd: int,
    offset: int,
    count: int,
    facts: os.stat_result | None = None,
    *,
    disk: Disk,
) -> None:
    """Send `count` bytes of `fd` from `offset` as the next part of the body of `response`, which is prepared already.

    `facts` are those of the version that is meant, of a file that others may write to; `disk` has the threads for it.

    Raises ConnectionLost when the file ends before, is another version meanwhile, or its disk does not answer, after
    cutting the connection: who gets a part must not take it for the whole.  The descriptor stays the caller's.
    """
    try:
        with _Pieces() as pieces:
            await _send(request, response, _File(fd, disk), offset, count, facts, pieces)
    except DiskHangs:
        _cut(request, "its disk does not answer")


async def _send(
    request: web.BaseRequest,
    response: web.StreamResponse,
    file: _File,
    offset: int,
    count: int,
    facts: os.stat_result | None,
    pieces: _Pieces,
) -> None:
    transport, buffer = request.transport, pieces.next(count)
    version = None if facts is None else _Version(file, offset, facts)
    while count:
        view = memoryview(buffer)[:count]
        size, now = await file.read(view, offset)
        if not size:
            _cut(request, _SHORTER)
        if facts is not None and version is not None and not await version.still_has(view[:size], offset, now):
            _cut(request, _SHORTER if now.st_size < facts.st_size else _ANEW)
        await response.write(view[:size])
        offset += size
        count -= size
        if count and transport is not None and transport.get_write_buffer_size():
            buffer = pieces.next(count)  # what did not leave yet may lie in this very one


class _Pieces:
    """The memory for one file's pieces: less, the more is in use for all."""

    def __init__(self) -> None:
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._take(0)

    def next(self, count: int) -> bytearray:
        """For a piece of at most `count` bytes; the one before is over."""
        self._take(0)
        self._take(min(count, _PIECE, max(_SMALL_PIECE, (_IN_ALL - _in_memory) // _SHARE)))
        return bytearray(self._size)

    def _take(self, size: int) -> None:
        global _in_memory
        _in_memory += size - self._size
        self._size = size


def _cut(request: web.BaseRequest, reason: str) -> NoReturn:
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionLost(reason)


class _File:
    """A descriptor, and the threads for it."""

    def __init__(self, fd: int, disk: Disk) -> None:
        self._fd, self._disk = fd, disk

    async def read(self, view: memoryview, offset: int) -> tuple[int, os.stat_result]:
        """Read at least a byte into `view`, none at the end of the file; and what is true of it then."""
        if _AT_ONCE:
            try:
                return os.preadv(self._fd, [view], offset, _AT_ONCE), os.fstat(self._fd)
            except OSError:
                pass  # not in memory, or a file system that cannot tell
        # When the visitor leaves, the thread goes on for a moment, and what it reads is nobody's.
        return await self._disk.run(lambda: (os.preadv(self._fd, [view], offset), os.fstat(self._fd)), lambda _: None)


class _Version:
    """What was sent of a file so far is of one version of it."""

    def __init__(self, file: _File, offset: int, facts: os.stat_result) -> None:
        self._file, self._offset, self._promised = file, offset, facts.st_size
        self._size, self._written_at = facts.st_size, facts.st_mtime_ns
        self._sample = b""

    async def still_has(self, piece: memoryview, offset: int, now: os.stat_result) -> bool:
        """Whether `piece`, just read from `offset`, is of the same version as what came before it."""
        if offset == self._offset:
            self._sample = bytes(piece[:_SAMPLE])
        if (now.st_size, now.st_mtime_ns) == (self._size, self._written_at):
            return True
        if now.st_size < self._size or now.st_size == self._promised:
            return False
        self._size, self._written_at = now.st_size, now.st_mtime_ns
        first = bytearray(len(self._sample))
        size, _ = await self._file.read(memoryview(first), self._offset)
        return size == len(first) and first == self._sample
