"""Writing to a socket: what the kernel takes at once costs no copy, the rest is the event loop's to bring out."""

from __future__ import annotations

import asyncio
import os


def push(fd: int, transport: asyncio.Transport, data: memoryview) -> int:
    """Send `data`, now or later; return how many bytes the kernel took at once.

    `fd` is the socket of `transport`, and -1 while there is something else before `data`, or bytes may not go round
    the transport (a library's TLS).  What the kernel does not take is copied.  Raises OSError: then all of it is lost.
    """
    taken = 0
    if fd >= 0:
        try:
            taken = os.write(fd, data)
        except BlockingIOError:
            taken = 0
    if taken < len(data) and not transport.is_closing():
        transport.write(bytes(data[taken:]))
    return taken
