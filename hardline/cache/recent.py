"""A cache with a time to live, so that what is asked for again and again costs no look at the disk; without I/O.

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


class _Look:
    """Somebody looks for a key.  `is_outdated`: it has changed since."""

    is_outdated = False


class Recent(Generic[V]):
    """Values by key for TRUST seconds, at most so many and so much.  `size` tells what a value takes, in bytes.

    `drop` may be called from any thread.  `now` is seconds on any monotonic clock.
    """

    def __init__(self, size: Callable[[V], int]) -> None:
        self._size = size
        self._found: OrderedDict[str, tuple[float, V, int]] = OrderedDict()
        self._bytes = 0
        self._looking: dict[str, list[_Look]] = {}
        self._lock = threading.Lock()

    def get(self, key: str, now: float) -> V | None:
        """What was found for `key`, if that was a moment ago."""
        found = self._found.get(key)
        return found[1] if found is not None and now - found[0] < TRUST else None

    @contextlib.contextmanager
    def looking(self, key: str, now: float) -> Iterator[Callable[[V], None]]:
        """Somebody looks for `key`; gives the function that keeps what is found."""
        look = _Look()
        with self._lock:
            self._looking.setdefault(key, []).append(look)

        def keep(value: V) -> None:
            with self._lock:
                if not look.is_outdated:
                    self._keep(key, now, value)

        try:
            yield keep
        finally:
            with self._lock:
                looks = self._looking[key]
                looks.remove(look)
                if not looks:
                    del self._looking[key]

    def drop(self, key: str) -> None:
        """What is known of `key` is not so any more."""
        with self._lock:
            for look in self._looking.get(key, ()):
                look.is_outdated = True
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
