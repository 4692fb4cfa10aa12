"""A piece of a file as the body of an answer.

    file ── preadv, at once if it is in memory, else in a thread ──▶ buffer ── response.write: back-pressure ──▶ visitor

Nothing here blocks the event loop: a disk may be asleep, or at the other end of a network that is down.

A file that others write to is looked at after each reading.  What is only added to its end does no harm; one that was
written anew would give an answer that is a mixture, which nobody can tell from a good one: it is cut instead.
"""

from __future__ import annotations

import os

from aiohttp import web

from hardline.cache.threads import off_loop
from hardline.errors import ConnectionLost

_PIECE = 262_144
_SAMPLE = 4096  # bytes that tell a file that grows from one that was written anew
_AT_ONCE = getattr(os, "RWF_NOWAIT", 0)  # Linux: only what is in memory


async def send_file(
    request: web.BaseRequest,
    response: web.StreamResponse,
    fd: int,
    offset: int,
    count: int,
    facts: os.stat_result | None = None,
) -> None:
    """Send `count` bytes of `fd` from `offset` as the next part of the body of `response`, which is prepared already.

    `facts` are those of the version that is meant, of a file that others may write to.

    Raises ConnectionLost when the file ends before, or is another version meanwhile, after cutting the connection: who
    gets a part must not take it for the whole.  The descriptor stays the caller's.
    """
    transport, buffer = request.transport, bytearray(min(count, _PIECE))
    version = None if facts is None else _Version(fd, offset, facts)
    while count:
        view = memoryview(buffer)[: min(count, _PIECE)]
        size = await _read(fd, view, offset)
        wrong = "" if size else "the file became shorter while it was sent"
        if version is not None and not wrong and not await version.still_has(view[:size], offset):
            wrong = "the file was written anew while it was sent"
        if wrong:
            if transport is not None:
                transport.abort()
            raise ConnectionLost(wrong)
        await response.write(view[:size])
        offset += size
        count -= size
        if count and transport is not None and transport.get_write_buffer_size():
            buffer = bytearray(min(count, _PIECE))  # what did not leave yet may lie in this very one


class _Version:
    """What was sent of a file so far is of one version of it."""

    def __init__(self, fd: int, offset: int, facts: os.stat_result) -> None:
        self._fd, self._offset, self._promised = fd, offset, facts.st_size
        self._size, self._written_at = facts.st_size, facts.st_mtime_ns
        self._sample = b""

    async def still_has(self, piece: memoryview, offset: int) -> bool:
        """Whether `piece`, just read from `offset`, is of the same version as what came before it."""
        if offset == self._offset:
            self._sample = bytes(piece[:_SAMPLE])
        now = os.fstat(self._fd)
        if (now.st_size, now.st_mtime_ns) == (self._size, self._written_at):
            return True
        if now.st_size < self._size or now.st_size == self._promised:
            return False
        self._size, self._written_at = now.st_size, now.st_mtime_ns
        first = bytearray(len(self._sample))
        return await _read(self._fd, memoryview(first), self._offset) == len(first) and first == self._sample


async def _read(fd: int, view: memoryview, offset: int) -> int:
    """Read at least a byte into `view`; 0 at the end of the file."""
    if _AT_ONCE:
        try:
            return os.preadv(fd, [view], offset, _AT_ONCE)
        except OSError:
            pass  # not in memory, or a file system that cannot tell
    # When the visitor leaves, the thread goes on for a moment, and what it reads is nobody's.
    return await off_loop(lambda: os.preadv(fd, [view], offset), lambda count: None)
