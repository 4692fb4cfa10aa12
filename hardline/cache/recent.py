"""What was found a moment ago, so that what is asked for again and again costs no look at the disk; without I/O.

get ─▶ known, or:  with looking(key): … find ─▶ keep      unless `drop` said meanwhile that it has changed
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

TRUST = 2.0  # seconds
_KEYS, _BYTES = 4096, 8 << 20

V = TypeVar("V")


class Recent(Generic[V]):
    """Values by key for TRUST seconds, at most so many and so much.  `size` tells what a value takes, in bytes.

    `drop` may be called from any thread.  `now` is seconds on any monotonic clock.
    """

    def __init__(self, size: Callable[[V], int]) -> None:
        self._size = size
        self._found: OrderedDict[str, tuple[float, V, int]] = OrderedDict()
        self._bytes = 0
        self._looking = 0
        self._changed: set[str] = set()
        self._lock = threading.Lock()

    def get(self, key: str, now: float) -> V | None:
        """What was found for `key`, if that was a moment ago."""
        found = self._found.get(key)
        return found[1] if found is not None and now - found[0] < TRUST else None

    @contextlib.contextmanager
    def looking(self, key: str, now: float) -> Iterator[Callable[[V], None]]:
        """Somebody looks for `key`; gives the function that keeps what is found."""
        with self._lock:
            self._looking += 1

        def keep(value: V) -> None:
            with self._lock:
                if key not in self._changed:
                    self._keep(key, now, value)

        try:
            yield keep
        finally:
            with self._lock:
                self._looking -= 1
                if not self._looking:
                    self._changed.clear()

    def drop(self, key: str) -> None:
        """What is known of `key` is not so any more."""
        with self._lock:
            if self._looking:
                self._changed.add(key)
            self._drop(key)

    def _keep(self, key: str, now: float, value: V) -> None:
        self._drop(key)
        size = 500 + len(key) + self._size(value)
        if size > _BYTES // 16:
            return
        self._found[key] = now, value, size
        self._bytes += size
        while self._bytes > _BYTES or len(self._found) > _KEYS:
            self._drop(next(iter(self._found)))

    def _drop(self, key: str) -> None:
        if (found := self._found.pop(key, None)) is not None:
            self._bytes -= found[2]
