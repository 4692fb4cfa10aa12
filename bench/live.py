"""The service of what stays open: events that say when they were written, and connections that become something else.

    GET /events                    a head at once; after PAUSE seconds one event, then it waits: "data: TIME\\n\\n"
    GET /socket, Upgrade: …        101, then every byte comes back

TIME is of the clock that all processes of this machine share.  Run as `python live.py PORT`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time

PAUSE = 0.3  # seconds: a proxy that waits for more has the head by then, and shows that it does
_EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


async def serve(port: int) -> None:
    """Serve until killed."""
    server = await asyncio.start_server(_session, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


async def _session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET /events "):
            writer.write(_EVENTS)
            await asyncio.sleep(PAUSE)
            event = b"data: %r\n\n" % time.monotonic()
            writer.write(b"%x\r\n%s\r\n" % (len(event), event))
            await reader.read()
        elif head.startswith(b"GET /socket "):
            writer.write(_SWITCHED)
            while data := await reader.read(65_536):
                writer.write(data)
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    writer.close()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
