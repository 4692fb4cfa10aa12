"""A tunnel's stream as uvicorn's transport: a head and the short body behind it leave as one frame.

uvicorn writes them one after the other.  A frame costs both ends of the tunnel and the visitor's browser's socket.
"""

from __future__ import annotations

from hardline.session.transport import StreamTransport

_SHORT = 4_096  # bytes that may wait for what is written in the same step, and that are worth a copy


class AppTransport(StreamTransport):
    """Owns the stream.  What is short waits for company until the next turn of the event loop."""

    _waiting = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        waiting = self._waiting
        if waiting:
            self._waiting = b""
            if len(data) <= _SHORT:
                data = waiting + data
            else:
                super().write(waiting)
        elif len(data) <= _SHORT and not self.is_closing():
            self._waiting = bytes(data)
            self._loop.call_soon(self._write_waiting)
            return
        super().write(data)

    def close(self) -> None:
        self._write_waiting()
        super().close()

    def get_write_buffer_size(self) -> int:
        return super().get_write_buffer_size() + len(self._waiting)

    def _write_waiting(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, b""
            super().write(waiting)
