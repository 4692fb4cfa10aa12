"""A limiter: so many streams of one source on their way to the local service at once; without I/O.

    came ──▶ waiting ──▶ start: the local service is dialled ──▶ dialled
               └──▶ left

A stranger opens streams faster than any service accepts connections: what is over before its turn came costs nothing.
The sessions of a source take turns: behind one address there may be others than he.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

AT_ONCE = 32


class Opened(Protocol):
    """A stream, and the session that it belongs to."""

    @property
    def session(self) -> object: ...


S = TypeVar("S", bound=Opened)


class Entrance(Generic[S]):
    """Calls `start` with each stream when it is its turn; say `dialled` once its local service was reached or not."""

    def __init__(self, start: Callable[[S], object]) -> None:
        self._start = start
        self._waiting: OrderedDict[object, dict[S, None]] = OrderedDict()
        self._dialling = 0

    def came(self, stream: S) -> None:
        """The visitor opened `stream`."""
        if self._dialling < AT_ONCE:
            self._dialling += 1
            self._start(stream)
        else:
            self._waiting.setdefault(stream.session, {})[stream] = None

    def left(self, stream: S) -> None:
        """The visitor took `stream` back: if it waits, it does so no more."""
        if (streams := self._waiting.get(stream.session)) is not None:
            streams.pop(stream, None)
            if not streams:
                del self._waiting[stream.session]

    def dialled(self) -> None:
        """One of those that were started needs no place any more."""
        self._dialling -= 1
        while self._waiting and self._dialling < AT_ONCE:
            session, streams = self._waiting.popitem(last=False)
            stream = next(iter(streams))
            del streams[stream]
            if streams:
                self._waiting[session] = streams
            self._dialling += 1
            self._start(stream)
