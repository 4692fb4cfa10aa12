"""Dynamic pages: a template answers for its name.

    /foo/bar?x=1 ─▶ foo/bar@mako        /foo/ ─▶ foo/@mako        / ─▶ @mako
                        └─▶ Workers ─▶ page, status, fields ─▶ visitor

Names are decoded as for files, and lead nowhere but below the directory, through links neither.  A page that fails is a
plain 500; why is told to the owner, in the log.
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
from functools import partial
from pathlib import Path

from aiohttp import web

from hardline import log
from hardline.cache.files.tree import Tree
from hardline.cache.kept import layout
from hardline.cache.recent import Recent
from hardline.cache.templates.rendering import MAX_PARAMETERS
from hardline.cache.templates.uploads import Upload, Uploads
from hardline.cache.templates.workers import Page, RenderingFailed, TooBusy, Workers
from hardline.disks import Disk, DiskHangs
from hardline.http.look import FILES_POLICY, REFERRER_POLICY
from hardline.http.paths import parse_target
from hardline.http.serving.body import send_file
from hardline.http.serving.pages import disk_hangs, problem, too_many_pages

MAX_BODY = 1 << 20
BODY_TIME = 60.0  # seconds from the first byte of a body to its last

_SUFFIX = "@mako"
_MAX_FIELDS = 64
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}\Z")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\U0010ffff]{0,8192}\Z")
# Whoever sends the page knows better.
_NOT_THEIRS = {
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
_EMPTY = {204, 205, 304}

_MADE = Disk("a page that was made")

_uploads = Uploads()  # of all sites


def program(root: Path) -> tuple[str, ...]:
    """What makes pages of the templates below `root`, for Workers."""
    return "hardline.cache.templates.worker", os.path.abspath(root)


class DynamicPages:
    """The templates below `root`; `tree` says what a visitor may know of.

    `workers` are ended with it.  Several may share `uploads`, as all sites of a node do.
    """

    def __init__(self, root: Path, tree: Tree, workers: Workers | None = None, uploads: Uploads = _uploads) -> None:
        self._root = os.path.abspath(root)
        self._tree = tree
        self._workers = workers or Workers(program(root))
        self._uploads = uploads
        self._recent: Recent[tuple[str, ...]] = Recent(lambda found: sum(map(len, found)))

    async def aclose(self) -> None:
        """End all that renders."""
        await self._workers.aclose()

    async def respond(self, request: web.BaseRequest) -> web.StreamResponse | None:
        """The page of the template of that name; None where there is none."""
        target = parse_target(request.raw_path)
        if target is None or any(layout.reserved(name) or self._tree.hides(name) for name in target.names):
            return None
        names = (*target.names, "") if target.directory else target.names
        try:
            template = await self._find("/".join(names) + _SUFFIX)
        except DiskHangs as failure:
            return disk_hangs(request, str(failure.filename))
        if template is None:
            return None
        if target.query.count("&") >= MAX_PARAMETERS:
            return problem(request, 400, "Too much was asked", f"A page takes at most {MAX_PARAMETERS} parameters.")
        give_up = partial(request.content.set_exception, TooBusy("too much was sent by others"))
        with self._uploads.one(give_up) as upload:
            try:
                async with asyncio.timeout(BODY_TIME):
                    data = await _read_body(request, upload)
            except TimeoutError:
                return _unread(request, 408, "Too slow", "What was sent did not come to its end in time.")
            except TooBusy:
                return _unread(request, 503, "Too many visitors", "More is sent to pages than can be kept in memory.")
            if data is None:
                return _unread(request, 413, "Too much was sent", f"A page takes at most {MAX_BODY >> 20} MB.")
            return await self._render(request, template, target.query, data)

    async def _find(self, name: str) -> str | None:
        now = asyncio.get_running_loop().time()
        found = self._recent.get(name, now)
        if found is None:
            with self._recent.looking(name, now) as keep:
                found = (name,) if await self._tree.disk.run(partial(self._is_template, name), bool) else ()
                keep(found)
        return found[0] if found else None

    def _is_template(self, name: str) -> bool:
        root = os.path.realpath(self._root)
        try:
            real = os.path.realpath(os.path.join(root, name), strict=True)
            facts = os.stat(real, follow_symlinks=False)
        except (OSError, ValueError):
            return False
        inside = real.startswith(root.rstrip("/") + "/")
        if not inside or not stat.S_ISREG(facts.st_mode):
            return False
        return self._tree.shows(real, facts) and not self._tree.keeps_back(real)

    async def _render(self, request: web.BaseRequest, template: str, query: str, body: bytes) -> web.StreamResponse:
        told = {
            "template": f"/{template}",
            "file": f"{self._root}/{template}",
            "path": request.raw_path,
            "method": request.method,
            "query": query,
            "headers": [(name, value) for name, value in request.headers.items()],
        }
        try:
            page = await self._workers.render(told, body)
        except TooBusy as failure:
            log.warning("page.refused", path=request.raw_path[:200], reason=failure.message)
            return too_many_pages(request)
        except RenderingFailed as failure:
            return self._failed(request, template, failure)
        try:
            try:
                response = _head(page)
            except (ValueError, TypeError) as wrong:
                return self._failed(request, template, RenderingFailed(str(wrong)))
            return await _send(request, response, page)
        finally:
            page.close()

    def _failed(self, request: web.BaseRequest, template: str, failure: RenderingFailed) -> web.Response:
        file = os.path.relpath(failure.file, self._root) if os.path.isabs(failure.file) else failure.file
        log.warning(
            "page.failed",
            template=template[:200],
            file=file[:200] or None,
            line=failure.line or None,
            reason=failure.message,
        )
        if failure.late:
            return problem(request, 504, "This took too long", "The page was not ready in time.")
        return problem(
            request, 500, "This page failed", "There is a mistake in it; whoever shares it finds more in the log."
        )


def _unread(request: web.BaseRequest, status: int, title: str, explanation: str) -> web.Response:
    """The answer to a request whose body is not read to its end: nobody knows where the next one begins."""
    answer = problem(request, status, title, explanation)
    answer.force_close()
    return answer


async def _read_body(request: web.BaseRequest, upload: Upload) -> bytes | None:
    """All of a request's body; None when that is too much."""
    if (request.content_length or 0) > MAX_BODY:
        return None
    if request.headers.get("Expect", "").lower() == "100-continue" and request.version >= (1, 1):
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    async for piece in request.content.iter_any():
        if upload.add(piece) > MAX_BODY:
            return None
    if upload.dropped:
        raise TooBusy("too much was sent by others")
    return upload.finish()


def _head(page: Page) -> web.StreamResponse:
    """The answer without its body.  Raises ValueError or TypeError for what a template must not say."""
    status, fields = page.answer["status"], page.answer["headers"]
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise ValueError(f"response.status is {str(status)[:20]}, expected 200 to 599")
    if not isinstance(fields, list):
        raise TypeError("response.headers is no list")
    if len(fields) > _MAX_FIELDS:
        raise ValueError(f"response.headers has {len(fields)} values, expected at most {_MAX_FIELDS}")
    response = web.Response(status=status) if status in _EMPTY else web.StreamResponse(status=status)
    for name, value in fields:
        if not _TOKEN.match(name) or name.lower() in _NOT_THEIRS or not _VALUE.match(value):
            raise ValueError(f"response.headers has {name[:40]!r} with a value that cannot be sent")
        response.headers.add(name, value)
    if status not in _EMPTY:
        response.headers.setdefault("Content-Type", "text/html; charset=utf-8")
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.setdefault("Referrer-Policy", REFERRER_POLICY)
    response.headers.setdefault("Content-Security-Policy", FILES_POLICY)
    return response


async def _send(request: web.BaseRequest, response: web.StreamResponse, page: Page) -> web.StreamResponse:
    if isinstance(response, web.Response):
        return response
    response.content_length = page.size
    await response.prepare(request)
    if request.method != "HEAD":
        if page.file is not None:
            await send_file(request, response, page.file.fileno(), 0, page.size, disk=_MADE)
        elif page.data:
            await response.write(page.data)
    await response.write_eof()
    return response
