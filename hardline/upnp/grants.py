"""What a router gives, and how it fails: the words that all ways to ask one have in common, without I/O.

leases.Lease ── hold(inside, wished, lease) ──▶ Way: router.Igd · portcontrol.Pcp and NatPmp · firewall.Firewall
             ◀── Grant(external, port, lifetime) or RouterFailed ──
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from hardline.errors import HardlineError

PORTS_TRIED = 8  # where others have the wished one


@dataclass(frozen=True, slots=True)
class Grant:
    """A port of the router that leads to us.

    `external` is the address as the router told it, unjudged; `inside` our address as the router sees it;
    `lifetime` is in seconds, None where the mapping stays until it is deleted.
    """

    external: str
    port: int
    lifetime: float | None
    inside: str
    restarted: bool = False  # the router had lost what it knew
    note: str = ""  # what people should know of it


class RouterFailed(HardlineError):
    """A router did not do what it was asked.  `external` is the address it claims, None where it said none."""

    def __init__(self, message: str, *, external: str | None = None) -> None:
        super().__init__(message)
        self.external = external


class Silent(RouterFailed):
    """No answer in time: nobody is there, the router hangs, or the packets were lost."""


class Refused(RouterFailed):
    """The router answered, and said no."""


class Broken(RouterFailed):
    """The router answered something that is no answer."""


class Way(Protocol):
    """One way to ask one router for one of our addresses.  Every call ends within seconds and may be cancelled."""

    kind: str
    router: str
    own: str
    look_every: float  # seconds between looks at a mapping that lasts longer
    rest: float  # seconds between two questions at the least

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes this way the same one as another."""
        ...

    async def hold(self, inside: int, wished: int, lease: float) -> Grant:
        """Map TCP port `inside`, or renew that: to `wished` outside where that is free.  Raises RouterFailed."""
        ...

    async def release(self, inside: int, outside: int) -> None:
        """Remove what `hold` made, whatever became of its answer.  Raises RouterFailed."""
        ...
