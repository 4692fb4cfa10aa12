"""What this node offers now, and what changes.

    ServiceDirectory ─┐
    share(service)   ─┴─▶ Offering ─▶ current
                                   └▶ watch(): Change(added, changed, removed), Change …   for everybody who follows it

Source: docs/SETTINGS.md (files), docs/LIBRARY.md (services without one).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from hardline.errors import ConfigError
from hardline.identity import KeyHash
from hardline.settings.directory import Problem, Service, ServiceDirectory
from hardline.tunnel.local import LocalSite

_AGAIN = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class Change:
    """What is another than it was; nothing, where only what is wrong with a file is."""

    added: tuple[Service, ...] = ()
    changed: tuple[Service, ...] = ()
    removed: tuple[Service, ...] = ()


class Offering:
    """The services of `directory`, and those that were shared without a file.  `run` follows the directory."""

    def __init__(self, directory: ServiceDirectory, clock: Callable[[], float] = time.time) -> None:
        self._directory, self._clock = directory, clock
        self._held = set[str]()
        self._over: tuple[Service, ...] = ()
        self._next_end: float | None = None
        self._shared: dict[KeyHash, tuple[Service, LocalSite]] = {}
        self._followers: set[asyncio.Event] = set()
        self._version, self._seen = 0, (-1, -1)
        self._known: dict[str, Service] = {}
        self._current: tuple[Service, ...] = ()

    @property
    def current(self) -> tuple[Service, ...]:
        """Those that are offered: to visitors, on the LAN, in the DHT."""
        self._look()
        return self._current

    @property
    def known(self) -> Mapping[str, Service]:
        """All that can be understood, by name, also those that nobody is served; a file comes before what has none."""
        self._look()
        return MappingProxyType(self._known)

    @property
    def over(self) -> tuple[Service, ...]:
        """Those whose time is over: nobody is served them."""
        self._look()
        return self._over

    @property
    def next_end(self) -> float | None:
        """When the next one that is offered is over, or one that is over is looked at again: seconds since 1970."""
        self._look()
        return self._clock() + _AGAIN if self._over else self._next_end

    @property
    def problems(self) -> Mapping[str, Problem]:
        """What cannot be understood as it is now, by name."""
        return self._directory.problems

    def site(self, key_hash: KeyHash) -> LocalSite | None:
        """What answers for a service that has no file."""
        shared = self._shared.get(key_hash)
        return shared[1] if shared else None

    def hold(self, word: str) -> None:
        """Offer what says `once = word`, until `release`."""
        self._held.add(word)
        self.refresh()

    def release(self, word: str) -> None:
        """Whoever shared it is gone."""
        self._held.discard(word)
        self.refresh()

    def refresh(self) -> None:
        """Look at what is over now."""
        self._version += 1
        self._tell()

    def share(self, service: Service, site: LocalSite) -> None:
        """Offer a service that has no file; `site` answers for it.  Raises ConfigError when name or key is taken."""
        for other in self.known.values():
            if service.name == other.name or service.key_hash == other.key_hash:
                raise ConfigError(
                    f"{service.name}: {other.name} has the same name or certificate", hint="choose another"
                )
        self._shared[service.key_hash] = service, site
        self._version += 1
        self._tell()

    def withdraw(self, key_hash: KeyHash) -> None:
        """Offer it no more."""
        if self._shared.pop(key_hash, None) is not None:
            self._version += 1
            self._tell()

    async def run(self) -> None:
        """Follow the directory until cancelled."""
        await self._directory.watch(self._directory_changed)

    async def watch(self) -> AsyncGenerator[Change, None]:
        """Yield what is there, then every change; what came meanwhile is one.  A slow follower makes nobody wait."""
        news, before = asyncio.Event(), dict[KeyHash, Service]()
        self._followers.add(news)
        news.set()
        try:
            while True:
                await news.wait()
                news.clear()
                now = {service.key_hash: service for service in self.current}
                yield _difference(before, now)
                before = now
        finally:
            self._followers.discard(news)

    def _look(self) -> None:
        """Every packet from the LAN asks what is offered: only what was read anew is looked at."""
        state, now = (self._directory.version, self._version), self._clock()
        if state == self._seen and (self._next_end is None or now < self._next_end):
            return
        files = self._directory.services
        taken = {service.key_hash for service in files.values()}
        others = (service for service, _ in self._shared.values())
        self._known = {**files, **{one.name: one for one in others if not (one.name in files or one.key_hash in taken)}}
        self._over = tuple(service for service in self._known.values() if self._is_over(service, now))
        served = [one for one in self._known.values() if not one.settings.closed and one not in self._over]
        self._current = tuple(served)
        self._next_end = min((end for one in served if (end := one.settings.access.until) is not None), default=None)
        self._seen = state

    def _is_over(self, service: Service, now: float) -> bool:
        access = service.settings.access
        ended = access.until is not None and access.until <= now
        return ended or bool(access.once and access.once not in self._held)

    async def _directory_changed(self) -> None:
        self._tell()

    def _tell(self) -> None:
        for news in self._followers:
            news.set()


def _difference(before: Mapping[KeyHash, Service], now: Mapping[KeyHash, Service]) -> Change:
    return Change(
        added=tuple(service for key_hash, service in now.items() if key_hash not in before),
        changed=tuple(service for key_hash, service in now.items() if before.get(key_hash, service) != service),
        removed=tuple(service for key_hash, service in before.items() if key_hash not in now),
    )
