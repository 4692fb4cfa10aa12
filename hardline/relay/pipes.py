"""Pipes of the kernel, through which bytes go from one socket to another without coming by here.

Each is held only while bytes are in it, so that ten thousand quiet pairs hold none.  Where there are none (no Linux, or
no descriptors), `take` says so, and bytes are copied instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from dataclasses import dataclass
from weakref import WeakKeyDictionary

# Bytes.  Large ones cost less for each byte, but the kernel lets a user who is not root have 64 MB in all.
CAPACITY, LATER = 1_048_576, 65_536
_FEW = 16  # that are large, and that wait for their next use

_SET_SIZE = getattr(fcntl, "F_SETPIPE_SZ", 1031)


@dataclass(frozen=True, slots=True)
class Pipe:
    """Its two ends."""

    read: int
    write: int

    def close(self) -> None:
        """Give both back; what is in it is lost."""
        os.close(self.read)
        os.close(self.write)


class Pipes:
    """Those of one event loop: get it with `of_this_loop`."""

    def __init__(self) -> None:
        self._spare: list[Pipe] = []
        self._open = 0

    @classmethod
    def of_this_loop(cls) -> Pipes:
        return _pipes.setdefault(asyncio.get_running_loop(), cls())

    def take(self) -> Pipe | None:
        """An empty one; None where there is none."""
        if self._spare:
            return self._spare.pop()
        if not hasattr(os, "splice"):
            return None
        try:
            read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        with contextlib.suppress(OSError):  # it has 64 KB then, or less where many are open
            fcntl.fcntl(write, _SET_SIZE, CAPACITY if self._open < _FEW else LATER)
        self._open += 1
        return Pipe(read, write)

    def give_back(self, pipe: Pipe) -> None:
        """It is empty, and needed no more."""
        if self._open <= _FEW:
            self._spare.append(pipe)
        else:
            self.drop(pipe)

    def drop(self, pipe: Pipe) -> None:
        """It may still hold something, and is needed no more."""
        self._open -= 1
        pipe.close()

    def close(self) -> None:
        """Close those that wait."""
        while self._spare:
            self.drop(self._spare.pop())


_pipes: WeakKeyDictionary[asyncio.AbstractEventLoop, Pipes] = WeakKeyDictionary()
