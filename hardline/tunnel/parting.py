"""How a client's connection ends without taking away what the client has not read yet.

    client ── still sending ──▶ read and dropped        a socket that is closed with unread bytes resets the other end,
    client ◀── the last bytes, then the end or a cut    and the answer that lies there may be lost with it

Source: RFC 9112, section 9.6.
"""

from __future__ import annotations

import asyncio

from hardline.errors import ConnectionLost
from hardline.transport.tcp import TcpStream

LINGER = 2.0  # seconds that a client may go on sending, or take nothing of what it should get
_QUIET = 0.25  # seconds without a byte after which one that is cut has stopped sending
_MOST = 67_108_864  # bytes that are dropped


async def part(client: TcpStream, *, whole: bool) -> None:
    """End `client`: in order when it has got the `whole` of what it asked for, else with a cut.

    It may take what was sent before as slowly as it likes, but for a pause of LINGER.  Never raises but when it is
    cancelled.
    """
    try:
        if whole:
            await client.send_eof()
        await _drop(client, LINGER if whole else _QUIET)
    except ConnectionLost:
        return
    if not whole:
        client.abort()


async def _drop(client: TcpStream, quiet: float) -> None:
    loop = asyncio.get_running_loop()
    unsent, dropped, until = client.transport.get_write_buffer_size(), 0, loop.time() + LINGER
    while dropped < _MOST and (left := until - loop.time()) > 0:
        data = None
        try:
            async with asyncio.timeout(min(quiet, left)):
                data = await client.receive()
        except TimeoutError:
            pass
        dropped += len(data or b"")
        before, unsent = unsent, client.transport.get_write_buffer_size()
        if unsent < before:
            until = loop.time() + LINGER
        elif not data and not unsent:
            return
        elif data == b"":
            await asyncio.sleep(quiet)  # it only reads: every now and then it is looked at how far it has come
