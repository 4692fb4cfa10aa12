"""Answers requests with the files of a directory.

    GET /a/b.txt                 the file: whole, a part, several parts; or 304, 412, 416
    GET /a                       301 to a/, if there is anything to see there
    GET /a/                      a/index.html, else a page that is kept, else what is in it, if that may be listed
    GET /a/b.md?as_markdown=1    the text as a page
    GET /api/v1/dir/a/           what is in a/ as JSON, if that may be listed and no file has such a name
    GET /a/?zip                  all of it as one file; ?sort=, ?order=, ?filter=: the list so
    PUT /a/b.txt, POST /a/       where visitors may bring files (uploads)
    anything else                405

Nothing waits for a disk on the event loop, and who asks for a disk that does not answer reads so.
Source: RFC 9110.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from aiohttp import web

from hardline import log
from hardline.cache.files import lookup, markdown, uploadform
from hardline.cache.files.browsing import Browsing
from hardline.cache.files.listing import POLICY, HtmlListing, JsonListing
from hardline.cache.files.lookup import Content, Found, NoFile
from hardline.cache.files.order import Order
from hardline.cache.files.packed import Packed
from hardline.cache.files.ready import Ready
from hardline.cache.files.texts import Texts
from hardline.cache.files.tree import Directory, Tree
from hardline.cache.files.uploads import Uploads
from hardline.cache.files.zips import Zips
from hardline.cache.templates.workers import RenderingFailed, TooBusy
from hardline.disks import Disk, DiskHangs
from hardline.http import mediatypes, negotiation, ranges
from hardline.http.conditional import Validators, Verdict, format_date, judge, wanted_range
from hardline.http.look import FILES_POLICY, PILE_POLICY, REFERRER_POLICY
from hardline.http.paths import Target, parse_target, quoted
from hardline.http.ranges import Part
from hardline.http.serving import pages
from hardline.http.serving.body import send_file
from hardline.settings.units import format_size

_ALLOWED = "GET, HEAD, OPTIONS"
_API = ("api", "v1", "dir")  # as PTTH has it

Kept = Callable[[web.BaseRequest], Awaitable[web.StreamResponse | None]]

_NO_FILE = -1  # for content that is whole

# A file may change at any time, and visitors are to see it: caches ask each time, which costs a 304.
_HEADERS = {
    "Server": "hardline",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": REFERRER_POLICY,
    "Cache-Control": "no-cache",
}


class FileService:
    """Serves what `tree` holds; `allow_listing`: also what is in its directories.

    `packed`: a file that holds the same as another, packed, may go in its place.  Several services may share the limits
    of one `browsing`, and `texts`, which makes pages of Markdown: without it, that is always sent as it is.  `kept` may
    have an answer that is better than a directory's entries, or the way there: it is asked first.  `title` is how the
    whole is called.  By `uploads` visitors bring files; with `only_uploads` they see none.
    With `only` there is one file of this name, and it is the whole.
    """

    def __init__(
        self,
        tree: Tree,
        *,
        allow_listing: bool,
        packed: bool = False,
        browsing: Browsing | None = None,
        texts: Texts | None = None,
        kept: Kept | None = None,
        title: str = "Files",
        uploads: Uploads | None = None,
        only_uploads: bool = False,
        only: str = "",
    ) -> None:
        self._tree = tree
        self._disk = tree.disk
        self._packed = Packed() if packed else None
        self._kept = kept
        self._may_list = allow_listing
        self._browsing = browsing or Browsing()
        self._texts = texts
        self._ready = Ready(tree)
        self._title, self._uploads, self._only_uploads = title, uploads, only_uploads
        self._zips = Zips(tree, title)
        self._only, self._besides = (
            only,
            {"Content-Disposition": f"inline; filename*=UTF-8''{quoted(only)}"} if only else {},
        )

    async def respond(self, request: web.BaseRequest) -> web.StreamResponse | None:
        """The answer, sent or to be sent; None: nothing is there.

        Raises ConnectionLost after cutting a connection whose file became shorter, and ConnectionError when the
        visitor has left.  Cancelled, it leaves nothing open.
        """
        allowed = _ALLOWED if self._uploads is None else f"{_ALLOWED}, PUT, POST"
        if request.method == "OPTIONS":
            return web.Response(status=204, headers={**_HEADERS, "Allow": allowed})
        if request.method not in allowed.split(", "):
            return pages.method_not_allowed(request, allowed)
        try:
            answer = await self._respond(request) if not self._only_uploads else await self._take(request)
            if answer is None and await self._disk.run(self._tree.is_away, _nothing):
                return pages.directory_away(request)
            return answer
        except DiskHangs as failure:
            log.warning("disk.hangs", path=request.raw_path[:200], directory=self._disk.name)
            return pages.disk_hangs(request, str(failure.filename))

    async def _take(self, request: web.BaseRequest) -> web.StreamResponse | None:
        """Where files are only brought, into the directory itself."""
        assert self._uploads is not None, "there is nothing else"
        target = parse_target(request.raw_path)
        if target is None or len(target.names) > (request.method == "PUT"):
            return None
        if request.method in ("PUT", "POST"):
            return await self._uploads.respond(request, target)
        headers = {**_HEADERS, "Content-Security-Policy": uploadform.DROP_POLICY}
        return web.Response(text=uploadform.drop_page(self._title), content_type="text/html", headers=headers)

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse | None:
        if request.method in ("PUT", "POST"):
            target = parse_target(request.raw_path)
            return await self._uploads.respond(request, target) if self._uploads and target else None
        accepted = negotiation.listed(request.headers, "Accept-Encoding") if self._packed else ""
        key, now = (request.raw_path, accepted), time.time()
        if (content := self._ready.find(key, now)) is not None:
            look = partial(self._ready.holds, content)
            if look() if content.at_once else await self._disk.run(look, _nothing):
                return await _send(request, content, _NO_FILE, self._disk, self._besides)
            self._ready.forget(key)
        target = self._meant(parse_target(request.raw_path))
        if target is None:
            return None
        if self._may_list and target.directory and "zip" in target.query.split("&"):
            return await self._zips.send(request, target)
        texts = self._texts if _is_page(target) else None
        try:
            # A page is made of the text itself, never of a sibling in some coding.
            found = await self._find(target, "" if texts else accepted)
        except PermissionError:
            return pages.not_readable(request)
        except DiskHangs:
            raise
        except OSError as failure:
            reason = (failure.strerror or str(failure)).lower()
            log.warning("file.unreadable", path=request.raw_path[:200], reason=reason)
            return pages.disk_failed(request, reason)
        match found:
            case Found():
                try:
                    if texts is not None:
                        return await self._send_page(request, found.content, found.fd, texts)
                    self._ready.keep(key, found.content, now)
                    return await _send(request, found.content, found.fd, self._disk, self._besides)
                finally:
                    if found.fd != _NO_FILE:
                        self._disk.later(found.close)
            case Directory() | NoFile() if (kept := await self._recall(request, found)) is not None:
                return kept
            case Directory():
                return await self._list(request, target, found)
            case NoFile.ELSEWHERE:
                # 301 and not 308: every client knows it, and its trouble is with methods that do not get here.
                return web.Response(status=301, headers={**_HEADERS, "Location": target.beside, "Content-Length": "0"})
        return None

    # What is there.

    def _meant(self, target: Target | None) -> Target | None:
        """The one file that there is, where there is but one."""
        if not self._only or target is None:
            return target
        is_it = not target.names or (target.names == (self._only,) and not target.directory)
        return Target((self._only,), False, target.query) if is_it else None

    async def _find(self, target: Target, accepted: str) -> Found | Directory | NoFile | None:
        how = {"may_list": self._may_list, "is_pile": self._uploads is not None}
        look = partial(lookup.look, self._tree, target, accepted, packed=self._packed, **how)
        found = await self._disk.run(look, _discard)
        if found is NoFile.LISTED:
            return await self._read_directory(target)
        if found is None and self._may_list and target.names[:3] == _API:
            return await self._read_directory(Target(target.names[3:], target.directory, ""))
        return found

    async def _read_directory(self, target: Target) -> Directory | NoFile | None:
        directory = await self._disk.run(partial(self._tree.read_directory, target.names), _discard)
        if directory is None or target.directory:
            return directory
        self._disk.later(directory.close)
        return NoFile.ELSEWHERE

    async def _recall(self, request: web.BaseRequest, found: Directory | NoFile) -> web.StreamResponse | None:
        """What is kept; `found` is closed then."""
        if self._kept is None:
            return None
        with contextlib.ExitStack() as unused:
            if isinstance(found, Directory):
                unused.callback(self._disk.later, found.close)
            kept = await self._kept(request)
            if kept is None:
                unused.pop_all()
            return kept

    # How it is sent.

    async def _send_page(self, request: web.BaseRequest, content: Content, fd: int, texts: Texts) -> web.StreamResponse:
        size, tag = content.facts.st_size, f'"{content.tag}-page"'
        if size > markdown.MAX_SIZE:
            return pages.too_long(request, format_size(markdown.MAX_SIZE))
        headers = {**_HEADERS, "ETag": tag}
        match judge(request.method, request.headers, Validators(tag), time.time()):
            case Verdict.NOT_MODIFIED:
                return web.Response(status=304, headers=headers)
            case Verdict.FAILED:
                return pages.precondition_failed(request)
        headers["Content-Type"] = "text/html; charset=utf-8"
        headers["Content-Security-Policy"] = markdown.POLICY
        if request.method == "HEAD":
            return web.Response(headers=headers)
        source = content.start if content.whole else await self._disk.run(partial(_read, content, fd), _nothing)
        try:
            body = await texts.page(source, content.name)
        except TooBusy:
            return pages.too_many_pages(request)
        except RenderingFailed as failure:
            log.warning("page.failed", path=request.raw_path[:200], reason=failure.message)
            return pages.too_hard(request)
        return web.Response(headers=headers, body=body)

    async def _list(self, request: web.BaseRequest, target: Target, directory: Directory) -> web.StreamResponse:
        asked = negotiation.prefers(negotiation.listed(request.headers, "Accept"), negotiation.JSON, negotiation.HTML)
        as_json = asked or directory.names != target.names
        order = Order.parse(target.query)
        takes = self._uploads is not None
        html = HtmlListing(directory.names, self._title, order, takes=takes)
        form = JsonListing(directory.names) if as_json else html
        headers = {**_HEADERS, "Content-Type": form.content_type, "Vary": "Accept"}
        if not as_json:
            headers["Content-Security-Policy"] = POLICY
        return await self._browsing.send(request, directory, form, order, headers, self._disk)


async def _send(
    request: web.BaseRequest, content: Content, fd: int, disk: Disk, besides: Mapping[str, str]
) -> web.StreamResponse:
    """Answer with a file, or with what the conditions and ranges of the request make of it; `besides` are headers."""
    now, size = time.time(), content.facts.st_size
    modified = content.facts.st_mtime_ns // 1_000_000_000
    there = Validators(f'"{content.tag}"', modified)
    headers = {**_HEADERS, **besides, "ETag": f'"{content.tag}"'}
    headers["Content-Security-Policy"] = PILE_POLICY if content.apart else FILES_POLICY
    # A file from the future was last modified now (RFC 9110, section 8.8.2.1).
    if date := format_date(min(modified, int(now))):
        headers["Last-Modified"] = date
    if content.varies:
        headers["Vary"] = "Accept-Encoding"
    match judge(request.method, request.headers, there, now):
        case Verdict.NOT_MODIFIED:
            return web.Response(status=304, headers=headers)
        case Verdict.FAILED:
            return pages.precondition_failed(request)
    headers["Accept-Ranges"] = "bytes"
    wanted = wanted_range(request.method, request.headers, there, now)
    parts = None if wanted is None else ranges.select(wanted, size)
    if parts == ():
        return pages.range_not_satisfiable(request, size)
    if content.coding != "identity":
        headers["Content-Encoding"] = content.coding
    body: list[bytes | Part]
    if parts is None:
        status, body = 200, [Part(0, size)] if size else []
        headers["Content-Type"] = content.content_type
    elif len(parts) == 1:
        status, body = 206, [*parts]
        headers["Content-Type"] = content.content_type
        headers["Content-Range"] = ranges.content_range(parts[0], size)
    else:
        several = ranges.multipart(parts, size, content.content_type, secrets.token_hex(16))
        status, body = 206, [piece for pair in several.parts for piece in pair]
        body.append(several.close)
        headers["Content-Type"] = several.content_type
    return await _transmit(request, status, headers, body, content, fd, disk)


async def _transmit(
    request: web.BaseRequest,
    status: int,
    headers: dict[str, str],
    body: list[bytes | Part],
    content: Content,
    fd: int,
    disk: Disk,
) -> web.StreamResponse:
    """Answer with a body of bytes and of parts of the content."""
    headers["Content-Length"] = str(sum(piece.count if isinstance(piece, Part) else len(piece) for piece in body))
    if request.method == "HEAD":
        return web.Response(status=status, headers=headers)
    in_memory = len(content.start)
    if all(not isinstance(piece, Part) or piece.end <= in_memory for piece in body):
        pieces = [content.start[piece.offset : piece.end] if isinstance(piece, Part) else piece for piece in body]
        return web.Response(status=status, headers=headers, body=b"".join(pieces))
    response = web.StreamResponse(status=status, headers=headers)
    await response.prepare(request)
    for piece in body:
        if isinstance(piece, Part):
            await send_file(request, response, fd, piece.offset, piece.count, content.facts, disk=disk)
        else:
            await response.write(piece)
    return response


def _is_page(target: Target) -> bool:
    """Whether it is a Markdown text, asked for as a page."""
    asked = target.names and "as_markdown=1" in target.query.split("&")
    return bool(asked) and mediatypes.is_markdown(target.names[-1])


def _read(content: Content, fd: int) -> bytes:
    return os.pread(fd, content.facts.st_size, 0)


def _discard(found: Found | Directory | NoFile | None) -> None:
    """Nobody waits for it any more."""
    if isinstance(found, Found | Directory):
        found.close()


def _nothing(_: object) -> None:
    """There is nothing to close."""
