"""One mapping, held: asked for, renewed, looked at, given back.

    Lease ── hold ──▶ Way ──▶ router      again at half of its lifetime, at `look_every` seconds, or when told to look
          ── changed ──▶ the owner        whenever the world reaches us in another place, or not at all any more

          ── astray ──▶ the owner         it cannot be asked any more: perhaps it is to be found elsewhere now

A router that cannot be asked for a while takes nothing away: what it granted counts until its time is up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from hardline import log
from hardline.routes import Endpoint
from hardline.upnp.external import External, judge
from hardline.upnp.grants import Grant, Refused, RouterFailed, Way

GIVE_UP_AFTER = 3  # failures in a row with nothing held
GIVE_UP_OLD_AFTER = 15  # by a router that has granted something before: 12 minutes, and it may have lost its connection
_ASTRAY_AFTER = 2
_PAUSES = (2.0, 5.0, 15.0, 30.0, 60.0)  # seconds after failures


class Lease:
    """Holds TCP port `port()` open on one router while `run` runs.

    `lease` is how many seconds a mapping is asked for at a time, `clock` seconds on any monotonic clock.
    """

    def __init__(
        self,
        way: Way,
        port: Callable[[], int],
        *,
        lease: float,
        changed: Callable[[], None],
        astray: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self.way = way
        self.settled = asyncio.Event()  # the router was asked once
        self.grant: Grant | None = None
        self.external: External | None = None  # None: it has not said
        self.problem = ""
        self.worked = False  # the router has granted something, once
        self.refused = False  # the router said no the last time
        self._port, self._lease, self._clock = port, lease, clock
        self._changed, self._astray = changed, astray
        self._look = asyncio.Event()
        self._inside = self._outside = 0
        self._told: Endpoint | None = None
        self._renewed = self._expires = 0.0
        self._maybe = False  # something may be mapped

    @property
    def endpoint(self) -> Endpoint | None:
        """Where the world reaches us through this router; None while it does not."""
        if self.grant is None or self.external is None or not self.external.public:
            return None
        return Endpoint(str(self.external.address), self.grant.port)

    def look(self) -> None:
        """Ask the router now."""
        self._look.set()

    async def run(self) -> None:
        """Hold the mapping until cancelled; returns when the router is given up.  `release` is the owner's."""
        failures = 0
        while self.grant is not None or failures < (GIVE_UP_OLD_AFTER if self.worked else GIVE_UP_AFTER):
            self._look.clear()
            try:
                await self._hold()
                failures = 0
            except RouterFailed as failure:
                failures += 1
                self._failed(failure)
                if self.worked and failures == _ASTRAY_AFTER:
                    self._astray()
            self.settled.set()
            await self._rest(failures)

    async def release(self) -> None:
        """Give back what is held, or may be; `run` has ended.  Raises RouterFailed."""
        self.grant = None
        if self._maybe:
            await self.way.release(self._inside, self._outside)
            self._maybe = False
            log.event("upnp.released", router=self.way.router, kind=self.way.kind, port=self._outside)

    def describe(self) -> dict[str, Any]:
        """What is known, for people."""
        now, held = self._clock(), self.grant
        return {
            "kind": self.way.kind,
            "router": self.way.router,
            "own": self.way.own,
            "state": ("mapped" if self.endpoint else "useless") if held else "failed" if self.problem else "asking",
            "external": str(self.external) if self.external and self.external.address else None,
            "external_kind": self.external.kind.value if self.external else None,
            "port": held.port if held else None,
            "lease_s": held.lifetime if held else None,
            "renewed_s": round(now - self._renewed, 1) if held else None,
            "problem": self.problem,
            "note": held.note if held else "",
        }

    async def _hold(self) -> None:
        inside = self._port()
        if self._maybe and inside != self._inside:
            await self.way.release(self._inside, self._outside)
            self._outside = 0
        self._inside, self._maybe = inside, True
        grant = await self.way.hold(inside, self._outside or inside, self._lease)
        now, before = self._clock(), self.grant
        self.grant, self.problem, self._renewed, self._outside = grant, "", now, grant.port
        self._expires = now + (grant.lifetime if grant.lifetime is not None else 2 * self.way.look_every)
        self.worked, self.refused, self.external = True, False, judge(grant.external)
        same = before is not None and (before.external, before.port) == (grant.external, grant.port)
        if not same or grant.restarted:
            log.event(
                "upnp.restored" if same else "upnp.mapped",
                router=self.way.router,
                kind=self.way.kind,
                external=grant.external,
                external_kind=self.external.kind.value,
                port=grant.port,
                lease_s=grant.lifetime,
                note=grant.note or None,
            )
        self._tell()

    def _failed(self, failure: RouterFailed) -> None:
        router, kind = self.way.router, self.way.kind
        if failure.message != self.problem:
            log.event("upnp.failed", router=router, kind=kind, reason=failure.message, external=failure.external)
        self.problem, self.refused = failure.message, isinstance(failure, Refused)
        if failure.external is not None:
            self.external = judge(failure.external)
        if self.grant is not None and (self.refused or self._clock() >= self._expires):
            self.grant = None
            log.event("upnp.lost", router=router, kind=kind, port=self._outside, reason=failure.message)
        self._tell()

    def _tell(self) -> None:
        if self.endpoint != self._told:
            self._told = self.endpoint
            self._changed()

    async def _rest(self, failures: int) -> None:
        await asyncio.sleep(self.way.rest)
        pause = _PAUSES[min(failures, len(_PAUSES)) - 1]
        if self.grant is not None:
            lifetime = self.grant.lifetime
            half = self.way.look_every if lifetime is None else min(lifetime / 2, self.way.look_every)
            left = self._expires - self._clock()
            pause = min(pause, left) if failures else half
        try:
            async with asyncio.timeout(max(0.0, pause - self.way.rest)):
                await self._look.wait()
        except TimeoutError:
            pass
