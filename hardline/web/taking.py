"""How long a browser may take nothing of what it is sent: whoever never reads is cut."""

from __future__ import annotations

import asyncio

from hardline.errors import ConnectionLost
from hardline.transport.tcp import TcpStream

TAKEN_WITHIN = 30.0  # seconds


async def give(browser: TcpStream, data: bytes) -> None:
    """Send `data`.  Raises ConnectionLost where it is not taken in time, and the connection is cut then."""
    try:
        async with asyncio.timeout(TAKEN_WITHIN):
            await browser.send(data)
    except TimeoutError:
        browser.abort()
        raise ConnectionLost("the browser takes nothing") from None
