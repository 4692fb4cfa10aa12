"""Why a socket is not read at the moment: it stands while there is one reason to, and goes on after the last.

hold(FULL) ─ pause_reading ─ hold(TURN) ─ release(FULL) ─ release(TURN) ─ resume_reading
"""

from __future__ import annotations

import asyncio

from hardline.native.books import Reasons


class Brake(Reasons):
    """Of one transport.  Reasons are its owner's own, each a bit."""

    __slots__ = ("_transport",)

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.reasons = 0

    @property
    def held(self) -> bool:
        """There is a reason."""
        return self.reasons != 0

    def hold(self, reason: int) -> None:
        """Read no more for `reason`; what a library's TLS transport has read already may still come."""
        before, self.reasons = self.reasons, self.reasons | reason
        if not before and not self._transport.is_closing():
            self._transport.pause_reading()

    def release(self, reason: int) -> None:
        """`reason` is none any more.  Reads on when it was the last one."""
        before, self.reasons = self.reasons, self.reasons & ~reason
        if before and not self.reasons and not self._transport.is_closing():
            self._transport.resume_reading()
