"""Whose program the other end of a connection from this very machine is.

    TCP has no SO_PEERCRED: the kernel's tables name the user of every socket     /proc/self/net/tcp, tcp6

A socket that was closed already belongs to nobody there, whoever had it: it counts as a stranger's.  So does every
connection on systems without these tables, a user whom this one's namespace has no number for, and this process itself.
Source: Linux, Documentation/networking/proc_net_tcp.rst; net/ipv4/tcp_ipv4.c, get_tcp4_sock.
"""

from __future__ import annotations

import contextlib
import os
import struct
from ipaddress import IPv4Address
from pathlib import Path

from hardline.routes import Endpoint

_DESCRIPTORS = Path("/proc/self/fd")
_TABLES = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))
_UNKNOWN_USER = Path("/proc/sys/kernel/overflowuid")
_ROOT = 0


def is_same_user(local: Endpoint, peer: Endpoint) -> bool:
    """Whether the socket at `peer`, connected to our `local`, is of the user this process runs as, or of root.

    A socket of this process itself is nobody's: somebody else may have had it connect.
    Blocks for as long as the kernel takes to list the sockets of the machine: call it from a worker thread.
    """
    found = _entry(local, peer)
    if found is None:
        return False
    user, inode = found
    return user in (os.geteuid(), _ROOT) and user != _unknown_user() and not _is_our_own(inode)


def is_told() -> bool:
    """Whether this system has such tables."""
    return _TABLES[0].exists()


def owner(local: Endpoint, peer: Endpoint) -> int | None:
    """The user that the socket at `peer`, connected to our `local`, belongs to; None: not known.  Blocks."""
    found = _entry(local, peer)
    return found[0] if found else None


def _entry(local: Endpoint, peer: Endpoint) -> tuple[int, int] | None:
    """The user and the inode."""
    wanted = [(theirs.encode(), ours.encode()) for theirs, ours in zip(_written(peer), _written(local), strict=False)]
    for table in _TABLES:
        try:
            with table.open("rb") as lines:
                for line in lines:
                    for theirs, ours in wanted:
                        if theirs in line and (found := _user(line, theirs, ours)) is not None:
                            return found
        except OSError:
            continue
    return None


def _user(line: bytes, theirs: bytes, ours: bytes) -> tuple[int, int] | None:
    fields = line.split()
    if len(fields) < 10 or fields[1:3] != [theirs, ours]:
        return None
    user, inode = fields[7], fields[9]
    return None if inode == b"0" else (int(user), int(inode))  # closed: the kernel writes user 0


def _is_our_own(inode: int) -> bool:
    """Whether this process has the socket open, or cannot tell."""
    wanted = f"socket:[{inode}]"
    try:
        for number in os.listdir(_DESCRIPTORS):
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                if os.readlink(_DESCRIPTORS / number) == wanted:
                    return True
    except OSError:
        return True
    return False


def _written(endpoint: Endpoint) -> list[str]:
    """How the tables write it; an IPv4 address in either, since a program may have taken an IPv6 socket for it."""
    address = endpoint.address
    if address is None:
        return []
    mapped = bytes(10) + b"\xff\xff" + address.packed
    forms = [address.packed, mapped] if isinstance(address, IPv4Address) else [address.packed]
    return [f"{_words(form)}:{endpoint.port:04X}" for form in forms]


def _words(packed: bytes) -> str:
    return "".join(f"{word:08X}" for (word,) in struct.iter_unpack("=I", packed))


def _unknown_user() -> int | None:
    try:
        return int(_UNKNOWN_USER.read_bytes())
    except (OSError, ValueError):
        return None
