"""What systemd wants to hear of a service: READY, STATUS, STOPPING (sd_notify(3)).

One datagram to the socket that NOTIFY_SOCKET names; without it, nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket


def notify(**state: str) -> None:
    """Send `NAME=value` lines, such as notify(READY="1", STATUS="serving 2 services")."""
    where = os.environ.get("NOTIFY_SOCKET")
    if not where or where[0] not in "/@":
        return
    address = "\0" + where[1:] if where[0] == "@" else where
    lines = "\n".join(f"{name}={value}" for name, value in state.items())
    # Whoever started us may have stopped listening: that is no reason to stop serving.
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.setblocking(False)  # and whoever listens may be slow to read, which would stop us, too
        sender.sendto(lines.encode(), address)
