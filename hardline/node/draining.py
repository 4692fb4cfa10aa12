"""The end of a node: what moves comes to its end, and nothing waits for what stands still."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

LIMIT = 30.0  # seconds
QUIET = 1.0
_LOOK_EVERY = 0.05


class Moving(Protocol):
    """A session, or whatever else bytes pass; `sent` and `received` in bytes since its beginning."""

    @property
    def open_streams(self) -> int: ...
    @property
    def sent(self) -> int: ...
    @property
    def received(self) -> int: ...


async def drain(sessions: Callable[[], Sequence[Moving]]) -> None:
    """Wait while bytes move on streams of `sessions`: until none is open, none has moved anything for QUIET seconds,
    or LIMIT is over."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + LIMIT
    moved, quiet_since = _moved(sessions()), loop.time()
    while _open_streams(sessions()) and loop.time() < min(deadline, quiet_since + QUIET):
        await asyncio.sleep(_LOOK_EVERY)
        if (now := _moved(sessions())) != moved:
            moved, quiet_since = now, loop.time()


def _open_streams(sessions: Sequence[Moving]) -> int:
    return sum(session.open_streams for session in sessions)


def _moved(sessions: Sequence[Moving]) -> int:
    return sum(session.sent + session.received for session in sessions)
