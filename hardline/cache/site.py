"""A service of this node's own making: templates, a cached site, files.

request ─▶ DynamicPages   a template of that name, if [Cache] dynamicContent
        └▶ CachingProxy   if there is a local service
        └▶ FileService    if there is none; where it has no file, what a cached site has left there, if there was one
"""

from __future__ import annotations

import asyncio
import errno
import os
import time
from functools import partial
from pathlib import Path

from aiohttp import web

from hardline import log
from hardline.cache.caching.origin import Origin
from hardline.cache.caching.proxy import CachingProxy
from hardline.cache.files.files import FileService
from hardline.cache.files.texts import Texts
from hardline.cache.files.tree import Forbidden, Tree
from hardline.cache.files.uploads import Uploads
from hardline.cache.kept.bucket import TokenBucket
from hardline.cache.kept.left import Caches, shown
from hardline.cache.kept.store import Store
from hardline.cache.own import OwnFiles
from hardline.cache.templates.dynamic import DynamicPages
from hardline.disks import Disk
from hardline.files import make_private
from hardline.http.serving.pages import nothing_here
from hardline.http.serving.server import StreamServer
from hardline.settings.local import LocalService
from hardline.settings.service import DROP, CacheSection
from hardline.settings.units import MB


class Site:
    """What answers for one service.  `server` takes its streams."""

    def __init__(
        self,
        name: str,
        tree: Tree,
        dynamic: DynamicPages | None,
        proxy: CachingProxy | None,
        files: FileService | None,
        store: Store | None,
    ) -> None:
        self._tree = tree
        self._dynamic = dynamic
        self._proxy = proxy
        self._files = files
        self._store = store
        self.server = StreamServer(self._respond, name)

    async def aclose(self) -> None:
        """End it: answers under way have a moment."""
        await self.server.aclose()
        for part in (self._dynamic, self._proxy):
            if part is not None:
                await part.aclose()
        if self._store is not None:
            await self._store.aclose()

    async def is_away(self) -> bool:
        """Whether its directory is not there now.  Raises DiskHangs."""
        return await self._tree.disk.run(self._tree.is_away, _nothing)

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        if self._dynamic is not None and (page := await self._dynamic.respond(request)) is not None:
            return page
        if self._files is not None and (answer := await self._files.respond(request)) is not None:
            return answer
        if self._proxy is not None:
            return await self._proxy.respond(request)
        return nothing_here(request)


async def open_site(
    name: str,
    title: str,
    root: Path,
    target: LocalService | None,
    settings: CacheSection,
    own: OwnFiles,
    texts: Texts | None = None,
) -> Site:
    """Open a service's directory; `texts` makes pages of Markdown.  Raises OSError when it cannot be used."""
    disk = Disk(name)
    await disk.run(partial(_check, root, settings, target, own), _nothing)
    forbidden = await disk.run(partial(own.judge, root), _nothing)
    tree = Tree(root, forbidden=forbidden, ours=own.gives_away, hidden=settings.hidden, disk=disk)
    may_not = partial(_may_not, tree, forbidden)
    dynamic = DynamicPages(root, tree) if settings.dynamic_content else None
    caches = Caches(own.datadir)
    proxy, store = None, None
    if target is not None:
        store = Store(root, max_size=settings.max_size, clock=time.time, forbidden=may_not, disk=disk)
        await store.open()
        await asyncio.to_thread(_write_down, caches, root)
        bucket = None
        if settings.download_rate_limit:
            bucket = TokenBucket(settings.download_rate_limit * MB, asyncio.get_running_loop().time())
        proxy = CachingProxy(store, Origin(target), max_age=settings.max_age, bucket=bucket, clock=time.time)
        return Site(name, tree, dynamic, proxy, None, store)
    if not settings.only and await disk.run(partial(caches.__contains__, root), _nothing):
        # It is not opened, and so only read: the directory is its owner's now.
        as_left = partial(shown, tree, may_not, may_list=settings.allow_listing)
        store = Store(root, max_size=settings.max_size, forbidden=may_not, shown=as_left, disk=disk)
        proxy = CachingProxy(store, None, max_age=settings.max_age)
    blind = settings.uploads == DROP
    files = FileService(
        tree,
        allow_listing=settings.allow_listing,
        packed=settings.precompressed,
        texts=texts,
        kept=None if proxy is None else proxy.recall,
        title=title,
        uploads=Uploads(tree, settings.max_upload, name, blind=blind) if settings.uploads != "no" else None,
        only_uploads=blind,
        only=settings.only,
    )
    return Site(name, tree, dynamic, proxy, files, store)


def _may_not(tree: Tree, forbidden: Forbidden, real: str, facts: os.stat_result) -> bool:
    """Whether a file that no cache wrote may not stand for an answer: then it is no file for visitors either."""
    return forbidden(real, facts) or tree.keeps_back(real)


def _write_down(caches: Caches, root: Path) -> None:
    try:
        caches.add(root)
    except OSError as failure:
        log.warning("cache.not_listed", directory=root, reason=(failure.strerror or str(failure)).lower())


def _nothing(_: object) -> None:
    """There is nothing to close."""


def _check(root: Path, settings: CacheSection, target: LocalService | None, own: OwnFiles) -> None:
    assert settings.directory is not None
    if not settings.directory.is_absolute() or target is not None:
        make_private(root)
    if not root.exists():
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), str(root))
    if not root.is_dir():
        raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(root))
    if target is not None and own.overlaps(root):
        raise OSError(errno.EPERM, "a site is not cached where hardline keeps its own files", str(root))
