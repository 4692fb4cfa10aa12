"""What of a connection's socket an owner may set: buffers, Nagle's delay, congestion control; and what the kernel made
of it.

The kernel takes a size beyond its own limit for that limit and says nothing, and which congestion controls there are is
its to say: who sets something asks first (`why_not`, `less_than_asked`).
Source: socket(7), tcp(7).
"""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

_CONGESTION = getattr(socket, "TCP_CONGESTION", None)
_PROC = Path("/proc/sys/net/ipv4")
_BUFFERS = {"send_buffer": socket.SO_SNDBUF, "receive_buffer": socket.SO_RCVBUF}
_LIMITS = {"send_buffer": "net.core.wmem_max", "receive_buffer": "net.core.rmem_max"}
_DOUBLED = 2 if sys.platform == "linux" else 1  # the half of it is for the kernel's own books


@dataclass(frozen=True, slots=True)
class SocketOptions:
    """Sizes in bytes.  0, "": as the kernel has it, which lets buffers grow as they are needed."""

    nodelay: bool = True
    send_buffer: int = 0
    receive_buffer: int = 0
    congestion: str = ""


AS_THE_KERNEL_HAS_IT = SocketOptions()


def prepare(raw: socket.socket, options: SocketOptions) -> None:
    """Set them before `raw` connects or listens: what it offers the other end depends on its buffer.

    Raises OSError where the kernel has no such congestion control.
    """
    for name, option in _BUFFERS.items():
        if size := getattr(options, name):
            raw.setsockopt(socket.SOL_SOCKET, option, size)
    if options.congestion and _CONGESTION is not None:
        raw.setsockopt(socket.IPPROTO_TCP, _CONGESTION, options.congestion.encode())
    set_nodelay(raw, options)


def set_nodelay(raw: socket.socket, options: SocketOptions) -> None:
    """Once more when the event loop has it, which sets that for every socket."""
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(options.nodelay))


def seen(raw: socket.socket | None) -> SocketOptions | None:
    """What holds for a connection now; None for one that is closed."""
    if raw is None or raw.fileno() < 0:
        return None
    try:
        sizes = {name: raw.getsockopt(socket.SOL_SOCKET, option) // _DOUBLED for name, option in _BUFFERS.items()}
        nodelay = bool(raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        congestion = ""
        if _CONGESTION is not None:
            congestion = (
                raw.getsockopt(socket.IPPROTO_TCP, _CONGESTION, 16).partition(b"\0")[0].decode("ascii", "replace")
            )
    except (OSError, ValueError):
        return None
    return SocketOptions(nodelay, sizes["send_buffer"], sizes["receive_buffer"], congestion)


def why_not(congestion: str) -> str:
    """Why this kernel does not give that congestion control to this process, and which it has; "" where it does."""
    if _CONGESTION is None:
        return "this system lets nobody choose"
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.setsockopt(socket.IPPROTO_TCP, _CONGESTION, congestion.encode())
        except OSError as failure:
            if failure.errno in (errno.EPERM, errno.EACCES):
                allowed = _words("tcp_allowed_congestion_control")
                return f"it is not allowed; here are {allowed} (sysctl net.ipv4.tcp_allowed_congestion_control)"
            return f"this kernel has {_words('tcp_available_congestion_control')}"
    return ""


def less_than_asked(options: SocketOptions) -> list[str]:
    """A sentence for each buffer that the kernel makes smaller than asked for."""
    told = []
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        for name, option in _BUFFERS.items():
            asked = getattr(options, name)
            if not asked:
                continue
            with contextlib.suppress(OSError):
                probe.setsockopt(socket.SOL_SOCKET, option, asked)
            got = probe.getsockopt(socket.SOL_SOCKET, option) // _DOUBLED
            if got < asked:
                told.append(f"{name}: the kernel gives {got} bytes instead of {asked} (sysctl {_LIMITS[name]})")
    return told


def _words(name: str) -> str:
    try:
        return ", ".join((_PROC / name).read_text().split())
    except OSError:
        return "others"
