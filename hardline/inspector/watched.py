"""A service's socket with somebody who reads along: every byte passes as it is.

Watched   where tasks carry the bytes: a pipe before the service
Beside    where a Joint does: its gate, through which all passes
"""

from __future__ import annotations

from collections.abc import Callable, Sized

from hardline.errors import HardlineError
from hardline.inspector.exchanges import Reading
from hardline.streams import DEFAULT_RECEIVE, ByteStream


class Beside:
    """A Gate that holds up nothing; `clock` is that of `reading`.  Nothing is read once there are no `lookers`."""

    opaque = stopped = settled = partial = over = hopeless = astray = False
    patience = 0.0
    unwatched = 0  # every byte may be the beginning of a head

    def __init__(self, reading: Reading, clock: Callable[[], float], lookers: Sized) -> None:
        self._reading, self._clock, self._lookers = reading, clock, lookers

    def asked(self, data: memoryview | bytes) -> memoryview | bytes:
        """As Gate.asked: the service says this."""
        self._reading.heard(data, self._clock())
        if self._reading.lost or not self._lookers:
            self.opaque = True
        return data

    def heard(self, data: memoryview) -> bool:
        """As Gate.heard: it gets this."""
        self._reading.asked(data, self._clock())
        if self._reading.lost or not self._lookers:
            self.opaque = True
        return self.opaque

    def released(self) -> bytes:
        """As Gate.released: nothing is kept back."""
        return b""

    def count(self, count: int) -> None:
        """As Gate.count: no byte is only counted."""

    def late(self) -> None:
        """As Gate.late: nobody waits."""

    def ended(self, failure: Exception | None) -> None:
        """The Joint has."""
        self._reading.ended(self._clock(), "" if failure is None else "the connection was cut")


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
