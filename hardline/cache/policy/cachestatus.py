"""What an answer says of where it comes from: Age, and Cache-Status (RFC 9211).  Without I/O.

Cache-Status: hardline; hit; ttl=512                            from the store
Cache-Status: hardline; fwd=uri-miss; fwd-status=200; stored    asked for, and kept
Cache-Status: hardline; hit; ttl=-60; detail=origin-down        too old, but all there is
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Forwarded(Enum):
    """Why the local service was asked (RFC 9211, section 2.2)."""

    BYPASS = "bypass"
    METHOD = "method"
    MISS = "uri-miss"
    OTHER_VARIANT = "vary-miss"
    STALE = "stale"
    REQUESTED = "request"
    PARTIAL = "partial"


class Why(Enum):
    """Why a stored answer was used although it is too old."""

    DOWN = "origin-down"
    FAILED = "origin-failed"
    BUDGET = "download-limit"
    WANTED = "max-stale"
    MEANWHILE = "stale-while-revalidate"
    NO_ORIGIN = "no-origin"


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """One answer's.  `left` is for how many seconds it is fresh, `status` what the local service answered."""

    forwarded: Forwarded | None = None
    status: int | None = None
    stored: bool = False
    collapsed: bool = False
    left: int | None = None
    why: Why | None = None

    def __str__(self) -> str:
        said = ["hardline"]
        if self.forwarded is None:
            said.append("hit")
        else:
            said.append(f"fwd={self.forwarded.value}")
            if self.status is not None:
                said.append(f"fwd-status={self.status}")
        if self.stored:
            said.append("stored")
        if self.collapsed:
            said.append("collapsed")
        if self.left is not None:
            said.append(f"ttl={self.left}")
        if self.why is not None:
            said.append(f"detail={self.why.value}")
        return "; ".join(said)
