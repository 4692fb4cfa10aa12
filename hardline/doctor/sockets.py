"""Who has a port of this computer.

    /proc/net/tcp, udp ──▶ the socket and its user ──▶ /proc/*/fd ──▶ the program, where the system lets us look

Blocks for as long as the kernel takes to list sockets and processes: call it from a worker thread.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from hardline.discovery.multicast import hearing_socket
from hardline.doctor.session import name_of

_NET, _PROCESSES = Path("/proc/self/net"), Path("/proc")
_LISTENING = "0A"  # TCP_LISTEN of net/tcp_states.h
_ELSE = "another program"


def holder(port: int, protocol: str) -> str:
    """Who has it, for people; "" for nobody that is known."""
    found = list(_holding(port, protocol))
    for inode, _ in found:
        if who := _program(inode):
            return who
    return f"a program of {name_of(found[0][1])}" if found else ""


def taken(port: int, protocol: str, address: str = "") -> str:
    """Who keeps a new program from having it; "" where nobody does."""
    family = socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM) as probe:
            if protocol == "udp":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if hasattr(socket, "SO_REUSEPORT"):
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            else:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except OSError as failure:
        if failure.errno == errno.EADDRINUSE:
            return holder(port, protocol) or _ELSE
    return ""


def taken_from_lan(port: int) -> str:
    """The same for the LAN's port, which programs can share."""
    try:
        hearing_socket(socket.AF_INET).close()
    except OSError as failure:
        if failure.errno == errno.EADDRINUSE:
            return holder(port, "udp") or _ELSE
    return ""


def _holding(port: int, protocol: str) -> Iterator[tuple[str, int]]:
    """The inode and the user of each socket."""
    for table in (protocol, f"{protocol}6"):
        with contextlib.suppress(OSError), (_NET / table).open() as lines:
            for line in lines:
                fields = line.split()
                if len(fields) < 10 or not fields[1].endswith(f":{port:04X}"):
                    continue
                if (protocol == "udp" or fields[3] == _LISTENING) and fields[7].isdigit():
                    yield fields[9], int(fields[7])


def _program(inode: str) -> str:
    wanted = f"socket:[{inode}]"
    for process in _PROCESSES.iterdir():
        if not process.name.isdigit():
            continue
        with contextlib.suppress(OSError):  # somebody else's, or gone
            for descriptor in os.listdir(process / "fd"):
                with contextlib.suppress(FileNotFoundError):
                    if os.readlink(process / "fd" / descriptor) == wanted:
                        return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
    return ""
