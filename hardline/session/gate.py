"""What of a socket's bytes may pass a Joint: whoever gives one decides."""

from __future__ import annotations

from typing import Protocol


class Asked(Protocol):
    """Looks at what a socket sends, and says what of it may pass."""

    @property
    def stopped(self) -> bool:
        """Nothing more is wanted of the socket now."""
        ...

    @property
    def settled(self) -> bool:
        """Nothing that the socket asked for is under way."""
        ...

    def asked(self, data: memoryview | bytes) -> memoryview | bytes:
        """What may pass now of all that the socket sent: `data` itself, or bytes of their own.

        It sends nothing on this session: `data` lies behind what is staged to be sent, and would be overtaken.
        """
        ...


class Heard(Protocol):
    """Looks at what a socket gets."""

    @property
    def unwatched(self) -> int:
        """How many bytes the socket may get that need not be looked at, only counted."""
        ...


class Gate(Asked, Heard, Protocol):
    """Looks at both, where they belong together (door.conversation)."""

    @property
    def patience(self) -> float:
        """Seconds that what is `partial`, or `hopeless`, may stay so."""
        ...

    @property
    def opaque(self) -> bool:
        """From now on everything passes."""
        ...

    @property
    def partial(self) -> bool:
        """More of the socket's bytes are waited for before those that are there may pass."""
        ...

    @property
    def over(self) -> bool:
        """What comes next is not for this stream, and nothing is under way any more."""
        ...

    @property
    def hopeless(self) -> bool:
        """The same, but what is under way may have no end."""
        ...

    @property
    def astray(self) -> bool:
        """What the socket was to get last is not for it."""
        ...

    def count(self, count: int) -> None:
        """The socket got so many of them."""
        ...

    def heard(self, data: memoryview) -> bool:
        """The socket gets `data`.  True when `released` should be asked."""
        ...

    def released(self) -> bytes:
        """What may pass now of what was kept back."""
        ...

    def late(self) -> None:
        """What was partial stayed so."""
        ...
