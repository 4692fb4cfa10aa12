"""A network of its own for a process that runs tests, so that several may run at once and hear nothing of each other.

    lo                      127.0.0.1 and ::1, as everywhere
    eth0                    a LAN of this process alone: 192.0.2.2/24 and fd00:192:0:2::2/64 (RFC 5737, RFC 4193)

It needs Linux, root and iproute2.  What is started belongs to this network; `fetching` is for the few things that come
once from where this computer gets its packages.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_CLONE_NEWNET = 0x40000000  # sched.h
_LINES = """
link set lo up
link add eth0 type veth peer name wall
link set eth0 up
link set wall up
addr add 192.0.2.2/24 brd + dev eth0
addr add fd00:192:0:2::2/64 dev eth0 nodad
route add default via 192.0.2.1
"""

_home: int | None = None


@functools.cache
def can_move_out() -> bool:
    """Whether a process of this user can have a network of its own."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    return subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode == 0


def move_out() -> None:
    """Give this thread, and what it starts from now on, a network of its own."""
    global _home
    _home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    _call("unshare", _CLONE_NEWNET)
    subprocess.run(["ip", "-batch", "-"], input=_LINES, text=True, check=True, capture_output=True)


@contextlib.contextmanager
def fetching(directory: Path) -> Iterator[None]:
    """Put something into `directory`, which is made: in the computer's own network, one process at a time."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as lock, _outside():
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _outside() -> Iterator[None]:
    """What this thread starts meanwhile is in the computer's own network."""
    if _home is None:
        yield
        return
    alone = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _call("setns", _home, _CLONE_NEWNET)
        try:
            yield
        finally:
            _call("setns", alone, _CLONE_NEWNET)
    finally:
        os.close(alone)


def _call(name: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
