"""What a distributed hash table can do, whoever asks it for us, without I/O.

    Finder ──get(key)──┐                 ┌─ OpenDhtNode  OpenDHT in a child process of our own
                       ├─▶ Table ◀───────┼─ Proxies    other people's nodes, over HTTP
    Publisher ──put────┘                 └─ Either       the node where it is connected, else the proxies

A table stores what anybody puts there: every value is suspect until its signature holds (record.py).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Protocol

from hardline.dht.record import Key
from hardline.errors import HardlineError


class NotStored(HardlineError):
    """A put failed; the message says why."""


class NotConnected(HardlineError):
    """There is nobody to ask."""


class Table(Protocol):
    """Values by key; nothing here blocks the event loop."""

    def get(self, key: Key, largest: int, limit: float) -> AsyncGenerator[bytes, None]:
        """Yield each different value of at most `largest` bytes under `key`, as it comes, for `limit` seconds.

        Ends when all were told, or with none when nobody can be asked.  Closing it stops the work.
        """
        ...

    async def put(self, key: Key, value: bytes, limit: float) -> None:
        """Store a value for about ten minutes.  Raises NotStored when nobody took it within `limit` seconds."""
        ...

    @property
    def connected(self) -> bool:
        """Whether there is somebody to ask."""
        ...

    @property
    def asleep(self) -> bool:
        """Whether nothing was started yet, since nobody has asked."""
        ...

    async def wait_connected(self, limit: float) -> bool:
        """Start, and wait at most `limit` seconds for somebody to ask; whether there is."""
        ...

    def describe(self) -> dict[str, Any]:
        """How it is, as a plain dictionary for the node's status."""
        ...

    async def aclose(self) -> None:
        """End everything that it started."""
        ...
