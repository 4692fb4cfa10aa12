"""Whose end nobody was told: sockets that were reset right behind what they said.

    a flow reads ── heard ──▶ a second later: is it gone? ── yes ──▶ flow.once_more

libuv says that a socket can be read, and has failed, in one event, and watches it no more.  Who reads only what there
is never hears of it again, and would keep both sockets of a pair for ever.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Protocol
from weakref import WeakKeyDictionary

LOOKS_AFTER = 1.0  # seconds

_TCP_INFO, _TCP_CLOSE = getattr(socket, "TCP_INFO", None), 7  # and the state of a connection that is over


class Reader(Protocol):
    """pair.Flow."""

    @property
    def origin(self) -> socket.socket: ...
    def once_more(self) -> None: ...


class Unheard:
    """Those of one event loop: get it with `of_this_loop`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._heard: set[Reader] = set()

    @classmethod
    def of_this_loop(cls) -> Unheard:
        return _of_loops.setdefault(asyncio.get_running_loop(), cls())

    def heard(self, reader: Reader) -> None:
        """It has read something, and not to its end."""
        if not self._heard:
            self._loop.call_later(LOOKS_AFTER, self._look)
        self._heard.add(reader)

    def _look(self) -> None:
        heard, self._heard = self._heard, set()
        for reader in heard:
            if is_gone(reader.origin):
                reader.once_more()


def is_gone(one: socket.socket) -> bool:
    """Whether its connection has ended both ways.  What it said before, and how it ended, is still there to be read."""
    if _TCP_INFO is None:
        return False
    try:
        return one.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 1)[0] == _TCP_CLOSE
    except OSError:
        return False  # it is closed, or no TCP


_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, Unheard] = WeakKeyDictionary()
