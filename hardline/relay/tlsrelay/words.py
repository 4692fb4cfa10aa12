"""What is said on a control connection of tx_tlsrelay, without I/O.

    relay ──▶ public_listener HOST:PORT, reverse_listener HOST:PORT, then new_connection for each client ──▶ server
    relay ──▶ no_available_listeners ──▶ server                              the server says nothing, ever

Lines of ASCII, each with CR LF.  Source: docs/PROTOCOL.md, section 9.9.
"""

from __future__ import annotations

NEW_CONNECTION = b"new_connection\r\n"
NO_AVAILABLE_LISTENERS = b"no_available_listeners\r\n"
NO_CONTROLLER_LINKED = b"no controller linked"  # at a port that nobody has: no line, and not on a control connection

MAX_UNENDED = 16_384  # bytes that a server may send as long as no line of them ends

_END = b"\r\n"


def listeners(host: str, public: int, reverse: int) -> bytes:
    """What a server is told first: where its clients connect, and where it does, for each of them.

    It takes what stands before the last colon for the host, so that an IPv6 address has no brackets.
    """
    return b"".join(
        f"{kind}_listener {host}:{port}".encode("ascii") + _END
        for kind, port in (("public", public), ("reverse", reverse))
    )


class Silence:
    """Whether a server keeps it."""

    def __init__(self) -> None:
        self._size = 0
        self._last = b""

    def is_broken(self, data: bytes) -> bool:
        """Take what the server sent, in pieces of any size; whether that ends its connection."""
        self._size += len(data)
        if _END in self._last + data or self._size > MAX_UNENDED:
            return True
        self._last = data[-1:] or self._last
        return False
