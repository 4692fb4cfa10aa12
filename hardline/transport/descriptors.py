"""Descriptors, and those that are kept back for the daemon itself.

Who connects takes one, and strangers may connect as often as they like.  Without a last few for its own files,
sockets and connections to services a node could do nothing at all until they have gone:

    0 ───────────────── taken ─────────────────▶ limit - KEPT ──── the daemon's own ────▶ limit

The system hands out the lowest number that is free, so one number tells how many are taken.
"""

from __future__ import annotations

import errno
import os

KEPT = 32  # no new connections from outside
KEPT_FROM_SERVICES = 16  # no new ones to local services either

_NONE_LEFT = (errno.EMFILE, errno.ENFILE)

try:
    import resource
except ImportError:  # Windows has no such limit

    def _limit() -> int | None:
        return None

else:

    def _limit() -> int | None:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return None if limit == resource.RLIM_INFINITY else limit


def is_one_of_the_last(fd: int, kept: int = KEPT) -> bool:
    """Are only `kept` descriptors left, now that `fd` is the newest?  (Of very few in all, a quarter.)"""
    return (limit := _limit()) is not None and fd >= limit - min(kept, limit // 4)


def scarce(kept: int = KEPT) -> bool:
    """Are only `kept` descriptors left?"""
    if _limit() is None:
        return False
    try:
        lowest = os.dup(0)
    except OSError as failure:
        return failure.errno in _NONE_LEFT  # if it is that 0 is closed, then it is the lowest
    os.close(lowest)
    return is_one_of_the_last(lowest, kept)
