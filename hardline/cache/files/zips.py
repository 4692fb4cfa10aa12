"""Sends a directory and all below it as one zip file: GET /a/?zip."""

from __future__ import annotations

from collections import Counter
from functools import partial

from aiohttp import web

from hardline.cache.files.tree import Tree
from hardline.cache.files.zipping import Gathering, length, pieces
from hardline.disks import Shift
from hardline.errors import LimitReached
from hardline.http.paths import Target, quoted
from hardline.http.serving import pages
from hardline.http.serving.protocol import source_of

MOST, MOST_OF_ONE = 4, 2  # on their way at once, and of one source


class Zips:
    """Those of `tree`; the whole of it is called `title`."""

    def __init__(self, tree: Tree, title: str) -> None:
        self._tree, self._title = tree, title
        self._sources: Counter[str] = Counter()

    async def send(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        """The answer.  Raises DiskHangs, ConnectionLost after cutting a connection, ConnectionError."""
        source = source_of(request)
        if self._sources.total() >= MOST or self._sources[source] >= MOST_OF_ONE:
            said = "More directories are on their way as zip files than are made at once."
            return pages.problem(request, 503, "Too many at once", said, headers={"Retry-After": "30"})
        self._sources[source] += 1
        try:
            return await self._send(request, target)
        except LimitReached as failure:
            said = f"It is too much for one zip file: {failure.message}."
            return pages.problem(request, 403, "This is too large", said, advice="What is in it can be had each alone.")
        finally:
            self._sources[source] -= 1
            self._sources += Counter()  # without those that have none any more

    async def _send(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        top = (target.names[-1] if target.names else self._title).replace("/", "_").strip(". ") or "files"
        gathering = Gathering(self._tree, target.names)
        shift = Shift(self._tree.disk, gathering.close)
        try:
            while await shift.run(gathering.some):
                pass
        finally:
            shift.end()
        members, below = gathering.members, len(target.names)
        count = await self._tree.disk.run(partial(length, members, below, top), lambda _: None)
        headers = {
            **pages.PLAIN,
            "Content-Type": "application/zip",
            "Content-Length": str(count),
            "Content-Disposition": f"attachment; filename*=UTF-8''{quoted(top)}.zip",
            "Accept-Ranges": "none",
        }
        if request.method == "HEAD":
            return web.Response(headers=headers)
        body = pieces(self._tree, members, below, top)
        shift = Shift(self._tree.disk, body.close)
        try:
            response = web.StreamResponse(headers=headers)
            await response.prepare(request)
            while (piece := await shift.run(partial(next, body, None))) is not None:
                await response.write(piece)
            return response
        finally:
            shift.end()
