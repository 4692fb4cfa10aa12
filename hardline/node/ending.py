"""What was shared for a time, or for as long as a command runs, ends: nobody is served any more, then it is put aside.

Offering ── over ──▶ Ending ──▶ NAME.ini.removed, as `hardline remove` leaves it
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from hardline import log
from hardline.errors import ConfigError
from hardline.node.offering import Offering
from hardline.settings.directory import Service, read_ini
from hardline.settings.service import parse_service
from hardline.settings.writing import remove_service

_LOOK_AGAIN = 30.0  # seconds: a computer that slept has another time, and a disk that took nothing may take it now


class Ending:
    """Of the services in `servicedir`; `clock` is seconds since 1970."""

    def __init__(self, servicedir: Path, offering: Offering, clock: Callable[[], float]) -> None:
        self._directory, self._offering, self._clock = servicedir, offering, clock
        self._failed = set[str]()

    async def run(self) -> None:
        """Until cancelled."""
        timer: asyncio.TimerHandle | None = None
        try:
            async for _ in self._offering.watch():
                if timer is not None:
                    timer.cancel()
                for service in self._offering.over:
                    await self._put_aside(service)
                if (ends := self._offering.next_end) is not None:
                    wait = min(max(ends - self._clock(), 0.0), _LOOK_AGAIN)
                    timer = asyncio.get_running_loop().call_later(wait, self._offering.refresh)
        finally:
            if timer is not None:
                timer.cancel()

    async def _put_aside(self, service: Service) -> None:
        name = service.name
        try:
            gone = await asyncio.to_thread(self._remove, service)
        except (ConfigError, OSError) as failure:
            if name not in self._failed:
                self._failed.add(name)
                log.warning("service.over", service=name, reason=str(failure), consequence="it is served to nobody")
        else:
            self._failed.discard(name)
            if gone:
                log.event("service.over", service=name)

    def _remove(self, service: Service) -> bool:
        """Whether it was there, and not shared anew meanwhile."""
        if (file := service.file) is None or not file.exists():
            return False
        if parse_service(read_ini(file), str(file)).access != service.settings.access:
            return False
        remove_service(self._directory, service.name)
        return True
