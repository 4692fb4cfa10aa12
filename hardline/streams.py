"""What every pipe in the program promises, whatever it is made of.

TCP, TLS over TCP and a yamux stream are all a ByteStream; tests/support/check_byte_stream.py
is the one suite that each of them passes.
"""

from __future__ import annotations

from typing import Protocol

DEFAULT_RECEIVE = 262_144


class ByteStream(Protocol):
    """A reliable, ordered pipe of bytes in two directions, each of which ends on its own.

    One task receives and one sends at a time.  Cancelling `receive` loses nothing;
    cancelling `send` leaves the bytes queued or not queued as a whole.
    """

    async def receive(self, max_bytes: int = DEFAULT_RECEIVE) -> bytes:
        """Wait for bytes and return 1 to `max_bytes` of them; b"" only at the orderly end.

        Raises ConnectionLost when the pipe broke: what came before is then not the whole.
        """
        ...

    async def send(self, data: bytes) -> None:
        """Queue `data` and wait until there is room for more: back-pressure.

        Raises ConnectionLost when the pipe broke or was closed, or after `send_eof`.
        """
        ...

    async def send_eof(self) -> None:
        """End the sending direction after all that was sent; receiving goes on.  Idempotent.

        Raises ConnectionLost when the pipe broke.
        """
        ...

    async def aclose(self) -> None:
        """Release everything.  The other end sees a cut if it was still owed anything.  Idempotent, never raises."""
        ...
