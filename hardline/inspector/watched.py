"""A service's socket with somebody who reads along: every byte passes as it is."""

from __future__ import annotations

from collections.abc import Callable

from hardline.errors import HardlineError
from hardline.inspector.exchanges import Reading
from hardline.streams import DEFAULT_RECEIVE, ByteStream


class Watched:
    """A ByteStream over `service`, which `cut` cuts; `clock` is that of `reading`."""

    def __init__(
        self, service: ByteStream, cut: Callable[[], None], reading: Reading, clock: Callable[[], float]
    ) -> None:
        self._service, self._cut, self._reading, self._clock = service, cut, reading, clock

    async def receive(self, max_bytes: int = DEFAULT_RECEIVE) -> bytes:
        """As ByteStream.receive."""
        try:
            data = await self._service.receive(max_bytes)
        except HardlineError as failure:
            self._reading.ended(self._clock(), failure.message)
            raise
        if data:
            self._reading.heard(data, self._clock())
        else:
            self._reading.ended(self._clock())
        return data

    async def send(self, data: bytes) -> None:
        """As ByteStream.send."""
        self._reading.asked(data, self._clock())
        await self._service.send(data)

    async def send_eof(self) -> None:
        """As ByteStream.send_eof."""
        await self._service.send_eof()

    async def aclose(self) -> None:
        """As ByteStream.aclose."""
        self._reading.ended(self._clock(), "the visitor has left")
        await self._service.aclose()

    def abort(self) -> None:
        """Cut the service's connection."""
        self._reading.ended(self._clock(), "the visitor has left")
        self._cut()
