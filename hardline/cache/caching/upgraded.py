"""Two connections joined as they are, after their HTTP ends have agreed to speak something else.

    visitor ═▶ UpgradedEnd ─ write ─▶ the local service       what one side does not take pauses the other
    visitor ◀─ write ─ UpgradedEnd ◀═ the local service       the end of one direction is passed on as such

Each end takes a transport over from the HTTP protocol that had it, which hears at last that the connection is gone.
"""

from __future__ import annotations

import asyncio
import contextlib


class UpgradedEnd(asyncio.Protocol):
    """What one of the two transports talks to.  `over` is set once its connection is gone."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._before: asyncio.BaseProtocol | None = None
        self._other: UpgradedEnd | None = None
        self._held = b""  # arrived before the other end was there
        self._ended = False
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def take_over(self, transport: asyncio.Transport) -> None:
        """Be the protocol of `transport` from now on."""
        self._transport, self._before = transport, transport.get_protocol()
        transport.set_protocol(self)

    async def join(self, other: UpgradedEnd) -> None:
        """Carry both ways until both directions have ended or one connection is gone; both are closed then."""
        self._other, other._other = other, self
        try:
            for end in (self, other):
                data, end._held = end._held, b""
                if data:
                    end.data_received(data)
                if end._ended:
                    end._pass_end_on()
                end._read_on()
            await asyncio.wait([self.over, other.over], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in (self, other):
                if end._transport is not None:
                    end._transport.close()

    def data_received(self, data: bytes) -> None:
        if self._other is None or self._other._transport is None:
            self._held += data
        else:
            self._other._transport.write(data)

    def eof_received(self) -> bool:
        self._ended = True
        return self._other is None or self._pass_end_on()

    def pause_writing(self) -> None:
        if self._other is not None and self._other._transport is not None:
            with contextlib.suppress(RuntimeError):
                self._other._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._other is not None:
            self._other._read_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self.over.done():
            self.over.set_result(None)
        if self._before is not None:
            self._before.connection_lost(exc)

    def _read_on(self) -> None:
        if self._transport is not None:
            with contextlib.suppress(RuntimeError):
                self._transport.resume_reading()

    def _pass_end_on(self) -> bool:
        """Tell the other side; whether this one stays open for what still comes from there."""
        assert self._other is not None
        there = self._other._transport
        if there is None or self._other._ended or not there.can_write_eof():
            if not self.over.done():
                self.over.set_result(None)
            return False
        with contextlib.suppress(OSError):  # asyncio's, where the other end reset it: that is heard of soon
            there.write_eof()
        return True


class Handover:
    """Looks like a parser to aiohttp's protocols: they give it what arrived behind the head that ended their HTTP."""

    def __init__(self, end: UpgradedEnd) -> None:
        self._end = end

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._end.data_received(data)
        return False, b""

    def feed_eof(self) -> None:
        self._end.eof_received()
