"""What is remembered of targets, of so many at most, without I/O.

A target may be as long as a visitor likes, so only its hash is kept.  Whatever was said longest ago is forgotten first.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Generic, TypeVar

MOST = 10_000  # targets

V = TypeVar("V")


class PerTarget(Generic[V]):
    """A value for each target of which something was said."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, V] = OrderedDict()

    def get(self, target: str, otherwise: V) -> V:
        """What was said last of `target`; `otherwise` when that is forgotten, or nothing was."""
        return self._known.get(_short(target), otherwise)

    def put(self, target: str, value: V) -> None:
        """Remember `value`."""
        key = _short(target)
        self._known[key] = value
        self._known.move_to_end(key)
        if len(self._known) > MOST:
            self._known.popitem(last=False)


def _short(target: str) -> bytes:
    return hashlib.blake2b(target.encode("utf-8", "surrogatepass"), digest_size=16).digest()
