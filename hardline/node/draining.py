"""The end of a node: what moves comes to its end, and nothing waits for what stands still."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from hardline.session.session import Session

LIMIT = 30.0  # seconds
QUIET = 1.0
_LOOK_EVERY = 0.05


async def drain(sessions: Callable[[], Sequence[Session]]) -> None:
    """Wait while bytes move on streams of `sessions`: until none is open, none has moved anything for QUIET seconds,
    or LIMIT is over."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + LIMIT
    moved, quiet_since = _moved(sessions()), loop.time()
    while _open_streams(sessions()) and loop.time() < min(deadline, quiet_since + QUIET):
        await asyncio.sleep(_LOOK_EVERY)
        if (now := _moved(sessions())) != moved:
            moved, quiet_since = now, loop.time()


def _open_streams(sessions: Sequence[Session]) -> int:
    return sum(session.open_streams for session in sessions)


def _moved(sessions: Sequence[Session]) -> int:
    return sum(session.sent + session.received for session in sessions)
