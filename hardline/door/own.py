"""A request for this node's own pages, as whoever answers for them gets it; without I/O."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from hardline.http.head import Head
from hardline.transport.tcp import TcpStream


@dataclass(frozen=True, slots=True)
class Asked:
    """`raw` is the whole head as it came, `early` what came behind it; `is_ours` finds out whether this node's own user
    asks, as far as the system tells."""

    browser: TcpStream
    head: Head
    raw: bytes
    early: bytes
    is_ours: Callable[[], Awaitable[bool]]

    @property
    def path(self) -> str:
        """Without what is behind the question mark."""
        return self.head.target.partition("?")[0]


# Answers, and says so; False: there is no such page.
Own = Callable[[Asked], Awaitable[bool]]
