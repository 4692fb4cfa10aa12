"""A piece of a file as the body of an answer.

    file ── preadv, at once if it is in memory, else in a thread ──▶ buffer ── response.write: back-pressure ──▶ visitor

Nothing here blocks the event loop: a disk may be asleep, or at the other end of a network that is down.
"""

from __future__ import annotations

import os

from aiohttp import web

from hardline.cache.threads import off_loop
from hardline.errors import ConnectionLost

_PIECE = 262_144
_AT_ONCE = getattr(os, "RWF_NOWAIT", 0)  # Linux: only what is in memory


async def send_file(request: web.BaseRequest, response: web.StreamResponse, fd: int, offset: int, count: int) -> None:
    """Send `count` bytes of `fd` from `offset` as the next part of the body of `response`, which is prepared already.

    Raises ConnectionLost when the file ends before, after cutting the connection: who gets a part must not take it
    for the whole.  The descriptor stays the caller's.
    """
    transport, buffer = request.transport, bytearray(min(count, _PIECE))
    while count:
        view = memoryview(buffer)[: min(count, _PIECE)]
        size = await _read(fd, view, offset)
        if not size:
            if transport is not None:
                transport.abort()
            raise ConnectionLost("the file became shorter while it was sent")
        await response.write(view[:size])
        offset += size
        count -= size
        if count and transport is not None and transport.get_write_buffer_size():
            buffer = bytearray(min(count, _PIECE))  # what did not leave yet may lie in this very one


async def _read(fd: int, view: memoryview, offset: int) -> int:
    """Read at least a byte into `view`; 0 at the end of the file."""
    if _AT_ONCE:
        try:
            return os.preadv(fd, [view], offset, _AT_ONCE)
        except OSError:
            pass  # not in memory, or a file system that cannot tell
    # When the visitor leaves, the thread goes on for a moment, and what it reads is nobody's.
    return await off_loop(lambda: os.preadv(fd, [view], offset), lambda count: None)
