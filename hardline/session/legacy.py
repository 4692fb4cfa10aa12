"""hardline/1: the original's tunnel, one TLS connection for one browser connection.

    visitor ── {"password":"…"}\n ──▶ host          each sends one JSON line, waits for the other's, and
    visitor ◀── {"WANHosts":"…"}\n ── host          then the bytes of the browser's connection follow as they are

Source: docs/PROTOCOL.md, section 3.
"""

from __future__ import annotations

from hardline.errors import ConnectionLost
from hardline.session.hello import HelloReader
from hardline.streams import DEFAULT_RECEIVE
from hardline.transport.tls import TlsStream

# An original reads 4096 bytes after each select() on the socket and does not see what OpenSSL still holds
# of a larger record (docs/PROTOCOL.md 3.2).
RECORD_LIMIT = 4096


class LegacyPipe:
    """A ByteStream behind the two lines of hardline/1, which knows no half-close: an end is the end of both ways."""

    def __init__(self, tls: TlsStream) -> None:
        tls.record_limit = RECORD_LIMIT
        tls.bare_end = True
        tls.keep_alive()  # nobody pings here
        self._tls = tls
        self._early = b""

    @property
    def tls(self) -> TlsStream:
        """The connection underneath."""
        return self._tls

    @property
    def silent(self) -> bool:
        """It stands, and the other end has said nothing that was not received."""
        return not self._early and self._tls.silent

    async def exchange(self, ours: bytes) -> bytes:
        """Send our line, in a record of its own, and return the other end's.

        Raises PeerError for a line that is none, ConnectionLost when the other end closed before it sent one, which
        is how an original host refuses a password.
        """
        await self._tls.send(ours)
        return await self.read_line()

    async def read_line(self) -> bytes:
        """The other end's line."""
        reader = HelloReader()
        while (line := reader.feed(await self._receive_more())) is None:
            pass
        self._early = reader.leftover
        return line

    async def receive(self, max_bytes: int = DEFAULT_RECEIVE) -> bytes:
        """As ByteStream.receive."""
        if self._early:
            data, self._early = self._early[:max_bytes], self._early[max_bytes:]
            return data
        return await self._tls.receive(max_bytes)

    async def send(self, data: bytes) -> None:
        """As ByteStream.send."""
        await self._tls.send(data)

    async def send_eof(self) -> None:
        """Nothing: to an original, the end of one direction is the end of both, and would cut the other."""

    async def aclose(self) -> None:
        """As ByteStream.aclose."""
        await self._tls.aclose()

    async def _receive_more(self) -> bytes:
        data = await self._tls.receive()
        if not data:
            raise ConnectionLost("the other end closed before its first line")
        return data
