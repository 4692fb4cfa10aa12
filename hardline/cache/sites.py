"""The sites of this node: services that have a directory of their own.

    services, as they change ──▶ Sites ──▶ LazySite ── at once, or at a visit ──▶ site.open_site ──▶ Site

A node without any loads none of what HTTP needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from hardline import log
from hardline.cache.own import OwnFiles
from hardline.errors import ServiceFailed
from hardline.identity import KeyHash
from hardline.memory import modules_loaded
from hardline.session.stream import Stream
from hardline.settings.directory import Service
from hardline.settings.local import LocalService
from hardline.settings.service import CacheSection
from hardline.tasks import TaskSet
from hardline.transport.tcp import TcpStream

if TYPE_CHECKING:
    from hardline.cache.files.texts import Texts
    from hardline.cache.site import Site


AWAY = "its directory is away: renamed, removed, or on a disk that is not attached"
_LOOKING = 2.0  # seconds that a look at a directory may take
_OPENING = 2.0  # seconds that one which is being opened is waited for at the end


class Sites:
    """One LazySite for each service with [Cache] directory.  `datadir` is the node's."""

    def __init__(self, datadir: Path, own: OwnFiles) -> None:
        self._cache = datadir / "cache"
        self._own = own
        self._texts: Texts | None = None
        self._sites: dict[KeyHash, LazySite] = {}
        self._tasks = TaskSet("sites")

    def replace(self, services: Iterable[Service]) -> None:
        """Serve `services` from now on.  A site whose settings are others now ends when its answers are out."""
        before, self._sites = self._sites, {}
        for service in services:
            directory = service.settings.cache.directory
            if directory is None:
                continue
            target, settings = service.settings.target, service.settings.cache
            of_it = service.name, service.title, self._cache / directory, target, settings
            site = LazySite(*of_it, self._own, self._shared_texts)
            known = before.get(service.key_hash)
            if known is not None and known.same_as(site):
                site = before.pop(service.key_hash)
            self._sites[service.key_hash] = site
        for gone in before.values():
            self._tasks.start(gone.retire(), "retire")
        for site in self._sites.values():
            self._tasks.start(site.warm(), "warm")

    def find(self, key_hash: KeyHash) -> LazySite | None:
        """The site of a service; None for a service that is none."""
        return self._sites.get(key_hash)

    async def aclose(self) -> None:
        """End all sites."""
        await asyncio.gather(*(site.aclose() for site in self._sites.values()))
        await self._tasks.aclose()
        if self._texts is not None:
            await self._texts.aclose()

    def _shared_texts(self) -> Texts:
        if self._texts is None:
            from hardline.cache.files.texts import Texts

            self._texts = Texts()
        return self._texts


class LazySite:
    """A site that is opened when it is needed, and again when that failed."""

    def __init__(
        self,
        name: str,
        title: str,
        root: Path,
        target: LocalService | None,
        settings: CacheSection,
        own: OwnFiles,
        texts: Callable[[], Texts],
    ) -> None:
        self._described = (name, title, root, target, settings)
        self._own, self._texts = own, texts
        self._opening = asyncio.Lock()
        self._site: Site | None = None
        self._closed, self._failed = False, ""

    def same_as(self, other: LazySite) -> bool:
        """Nothing about it has changed."""
        return self._described == other._described

    async def ready(self) -> None:
        """Have it open.  Raises ServiceFailed when it cannot be."""
        if self._site is None:
            async with self._opening:
                await self._open()

    async def warm(self) -> None:
        """Have it open before somebody waits for it; what is wrong with it is in the log then."""
        with contextlib.suppress(ServiceFailed):
            await self.ready()

    async def trouble(self) -> str:
        """Why it cannot answer now, in words for its owner; empty where nothing is known to be wrong."""
        try:
            async with asyncio.timeout(_LOOKING):
                await self.ready()
                return AWAY if self._site is not None and await self._site.is_away() else ""
        except ServiceFailed:
            return self._failed
        except (OSError, TimeoutError):
            return "the disk of its directory does not answer"

    async def serve(self, stream: Stream) -> None:
        """Answer what comes on `stream`, after `ready`, until it is over; then the stream is closed."""
        assert self._site is not None, "ready first"
        await self._site.server.serve(stream)

    async def connect(self, source: str = "") -> TcpStream:
        """A socket whose other end is the site, after `ready`, for a visitor of that source."""
        assert self._site is not None, "ready first"
        return await self._site.server.connect(source)

    async def retire(self) -> None:
        """End it once the answers under way are out."""
        self._closed = True
        async with self._opening:
            if self._site is not None:
                await self._site.server.retire()
                await self._site.aclose()

    async def aclose(self) -> None:
        """End it; answers under way have a moment.  One that is being opened on a disk that hangs is left to itself."""
        self._closed = True
        try:
            async with asyncio.timeout(_OPENING):
                await self._opening.acquire()
        except TimeoutError:
            return
        try:
            if self._site is not None:
                await self._site.aclose()
        finally:
            self._opening.release()

    async def _open(self) -> None:
        if self._site is not None:
            return
        if self._closed:
            raise ServiceFailed("unavailable", "the service was changed")
        # Only now, and not on the event loop: it takes a while to load.
        open_site = await asyncio.to_thread(_loaded)
        name, title, root, target, settings = self._described
        try:
            self._site = await open_site(name, title, root, target, settings, self._own, self._texts())
        except OSError as failure:
            reason = (failure.strerror or str(failure)).lower()
            if self._failed != (failed := f"its directory cannot be used: {reason}"):
                self._failed = failed
                log.warning("site.unusable", service=name, directory=root, reason=reason)
            raise ServiceFailed("unavailable", "its directory cannot be used") from None
        if self._is_over():
            await self._site.aclose()
            raise ServiceFailed("unavailable", "the service was changed")

    def _is_over(self) -> bool:
        """Whether nobody waits for it any more, since it was asked before it was open."""
        return self._closed


def _loaded() -> Callable[..., Awaitable[Site]]:
    first = "hardline.cache.site" not in sys.modules
    from hardline.cache.site import open_site

    if first:
        modules_loaded()
    return open_site
