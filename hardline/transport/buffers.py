"""The buffers that all connections of one event loop share.

    socket ─▶ received ─▶ OpenSSL ─▶ plain ─▶ streams          staging ─▶ OpenSSL ─▶ cipher ─▶ socket
    local socket ─▶ local, outgoing                            read after it was told to pause ─▶ spilt

Each but `staging` is used only inside one callback of the loop, which leaves nothing of value in it.  Loops of one
process run at the same time, so each has its own.  Sizes: docs/decisions/0001-data-path.md.
"""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

from hardline.transport.engine import Scratch

STAGING = 262_156  # a frame's header and the largest window that a stream begins with
_OUTGOING = 262_144
_IDLE_STAGING = 8  # kept for sessions to come: an idle session should not keep a quarter of a megabyte


class Buffers:
    """Those of one event loop: get them with `of_this_loop`."""

    def __init__(self) -> None:
        self.received = Scratch(262_144)
        self.plain = Scratch(294_912)
        self.cipher = Scratch(327_680)
        self.local = memoryview(bytearray(65_536))
        self.spilt = memoryview(bytearray(65_536))
        self._staging: list[Scratch] = []
        self._outgoing: Scratch | None = None

    @property
    def outgoing(self) -> Scratch:
        """What a local socket sends, on its way into a TLS connection of its own; made at first need."""
        if self._outgoing is None:
            self._outgoing = Scratch(_OUTGOING)
        return self._outgoing

    @classmethod
    def of_this_loop(cls) -> Buffers:
        """The running loop's."""
        loop = asyncio.get_running_loop()
        found = _buffers.get(loop)
        if found is None:
            found = _buffers[loop] = cls()
        return found

    def take_staging(self) -> Scratch:
        """A buffer of STAGING bytes, its taker's until `give_staging_back`."""
        return self._staging.pop() if self._staging else Scratch(STAGING)

    def give_staging_back(self, staging: Scratch) -> None:
        """Nobody reads or writes it any more."""
        if len(self._staging) < _IDLE_STAGING:
            self._staging.append(staging)


_buffers: WeakKeyDictionary[asyncio.AbstractEventLoop, Buffers] = WeakKeyDictionary()
