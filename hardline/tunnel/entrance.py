"""Streams of one session on their way to the local service, not too many at once; without I/O.

    came ──▶ waiting ──▶ start: the local service is dialled ──▶ dialled

A stranger opens streams faster than any service accepts connections: what is over before its turn came costs nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

AT_ONCE = 32
_TIDY_AT = 2048


class Guest(Protocol):
    """A stream; `gone` when the visitor has taken it back."""

    gone: bool


G = TypeVar("G", bound=Guest)


class Entrance(Generic[G]):
    """Calls `start` with each stream when it is its turn; say `dialled` once its local service was reached or not."""

    def __init__(self, start: Callable[[G], object]) -> None:
        self._start = start
        self._waiting: deque[G] = deque()
        self._dialling = 0

    def came(self, stream: G) -> None:
        """The visitor opened `stream`."""
        if self._dialling < AT_ONCE:
            self._dialling += 1
            self._start(stream)
            return
        if len(self._waiting) >= _TIDY_AT:
            self._waiting = deque(one for one in self._waiting if not one.gone)
        self._waiting.append(stream)

    def dialled(self) -> None:
        """One of those that were started needs no place any more."""
        self._dialling -= 1
        while self._waiting and self._dialling < AT_ONCE:
            stream = self._waiting.popleft()
            if not stream.gone:
                self._dialling += 1
                self._start(stream)
