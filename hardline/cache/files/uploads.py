"""Takes what visitors bring into a directory: by PUT, and by the form of its page.

    PUT /a/b.txt            201, kept as a/b.txt, or as "a/b (2).txt" where that is taken; Location says which
    POST /a/                a form's files, each the same; 303 back to the page, or JSON for who asks for that

Nothing is replaced or removed, and directories are only those that are there.  A file is there when it is whole.
Pages of other sites are refused: a browser would send them on its user's behalf.
Source: RFC 9110, sections 9.3.4, 13.1 and 14.5; RFC 7578; Fetch Metadata.
"""

from __future__ import annotations

import asyncio
import errno
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial

from aiohttp import BodyPartReader, HttpVersion11, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from hardline import log
from hardline.cache.files import naming
from hardline.cache.files.incoming import Full, Incoming
from hardline.cache.files.listing import readable_size
from hardline.cache.files.tree import Tree
from hardline.disks import DiskHangs, Shift
from hardline.errors import WrongArgument
from hardline.http.paths import Target, quoted
from hardline.http.serving import pages
from hardline.http.serving.protocol import source_of

MOST, MOST_OF_ONE = 32, 8  # under way at once, and of one source
PARTS = 1000  # of one form
_PIECE = 262_144  # bytes that are written at once
_SILENCE = 60.0  # seconds without a byte
_NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}  # which another try does not change
_LONGEST_LIST = 1000  # characters


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that was brought."""

    name: str
    href: str
    size: int


class _TooLarge(Exception):
    """More bytes than the owner takes."""


class _BrokenForm(Exception):
    """It stopped in its middle; `kept` is what had come whole before."""

    def __init__(self, why: Exception, kept: list[Kept]) -> None:
        super().__init__(str(why))
        self.why, self.kept = why, kept


class Uploads:
    """Into `tree`, files of up to `most` bytes.  `service` names it in the log.

    With `blind` nobody learns what is there: a file that got another name is told of by the one that it was brought by.
    """

    def __init__(self, tree: Tree, most: int, service: str, *, blind: bool = False) -> None:
        self._tree, self._most, self._service, self._blind = tree, most, service, blind
        self._sources: Counter[str] = Counter()

    async def respond(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        """The answer to a PUT, or to the POST of a form.  Raises DiskHangs, ConnectionError."""
        if (refused := self._refusal(request)) is not None:
            refused.force_close()  # its body is not read
            return refused
        source = source_of(request)
        self._sources[source] += 1
        try:
            await _say_continue(request)
            if request.method == "PUT":
                return await self._put(request, target)
            return await self._post(request, target)
        except (TimeoutError, asyncio.IncompleteReadError) as failure:
            if isinstance(failure, DiskHangs):
                raise
            raise ConnectionResetError("it did not come to its end") from None
        except _BrokenForm as broken:
            answer = self._trouble(request, broken.why, broken.kept)
            answer.force_close()
            return answer
        except (WrongArgument, OSError, _TooLarge) as failure:
            answer = self._trouble(request, failure)
            answer.force_close()
            return answer
        finally:
            self._sources[source] -= 1
            self._sources += Counter()  # without those that have none any more

    def _refusal(self, request: web.BaseRequest) -> web.Response | None:
        headers = request.headers
        origin, site = headers.get("Origin"), headers.get("Sec-Fetch-Site", "none")
        elsewhere = origin is not None and origin.partition("://")[2].lower() != headers.get("Host", "").lower()
        if elsewhere or site not in ("none", "same-origin"):
            return pages.problem(request, 403, "This page may not bring files", "Only the page of this directory may.")
        if "Content-Range" in headers:
            said = "A part of a file cannot be brought, only the whole."
            return pages.problem(request, 400, "This is no whole file", said)
        if "If-Match" in headers:
            return pages.precondition_failed(request)
        if request.method == "PUT" and (request.content_length or 0) > self._most:
            return self._too_large(request)
        if self._sources.total() >= MOST or self._sources[source_of(request)] >= MOST_OF_ONE:
            said = "More files are on their way here than are taken at once."
            return pages.problem(request, 503, "Too many files at once", said, headers={"Retry-After": "5"})
        return None

    async def _put(self, request: web.BaseRequest, target: Target) -> web.Response:
        if not target.names or target.directory:
            raise WrongArgument("this names no file", hint="put the name of the file behind the last slash")
        name = naming.checked(target.names[-1])
        # Where nobody learns what is there, every name is new.
        only_new = request.headers.get("If-None-Match", "").strip() == "*" and not self._blind
        incoming = _chunks(request)
        kept = await self._take(target.names[:-1], name, incoming, request.content_length, only_new=only_new)
        if kept is None:
            return pages.precondition_failed(request)
        return web.json_response(asdict(kept), status=201, headers={**pages.PLAIN, "Location": kept.href})

    async def _post(self, request: web.BaseRequest, target: Target) -> web.Response:
        if not target.directory or not request.content_type.startswith("multipart/form-data"):
            raise WrongArgument("this is no form with files", hint="use PUT, or the form of the directory's page")
        kept = list[Kept]()
        try:
            await self._take_form(_Form(request), target, kept)
        except (ConnectionError, TimeoutError):
            raise
        # ValueError, RuntimeError and AssertionError: what the library finds wrong with a form.
        except (
            *(WrongArgument, OSError, _TooLarge, HttpProcessingError),
            *(ValueError, RuntimeError, AssertionError),
        ) as failure:
            raise _BrokenForm(failure, kept) from None
        if pages.wants_html(request):
            return web.Response(status=303, headers={**pages.PLAIN, "Location": "./", "Content-Length": "0"})
        return web.json_response({"kept": [asdict(one) for one in kept]}, headers=pages.PLAIN)

    async def _take_form(self, form: _Form, target: Target, kept: list[Kept]) -> None:
        for _ in range(PARTS):
            part = await form.next()
            if part is None:
                return
            if isinstance(part, MultipartReader):
                raise WrongArgument("this is a form in a form", hint="bring one file after the other")
            if part.filename:
                name = naming.checked(naming.basename(part.filename))
                if one := await self._take(target.names, name, form.pieces(part), None):
                    kept.append(one)
        raise WrongArgument(f"there are more than {PARTS} parts in the form", hint="bring the rest by another")

    async def _take(
        self,
        directory: tuple[str, ...],
        name: str,
        incoming: AsyncIterator[bytes],
        size: int | None,
        *,
        only_new: bool = False,
    ) -> Kept | None:
        """Keep what comes as `name`; None where there is such a name already, and `only_new` wants that."""
        file = await self._tree.disk.run(partial(Incoming, self._tree, directory, size), Incoming.close)
        shift = Shift(self._tree.disk, file.close)
        try:
            if only_new and await shift.run(partial(file.is_taken, name)):
                return None
            waiting, count = bytearray(), 0
            async for data in incoming:
                waiting += data
                count += len(data)
                if count > self._most:
                    raise _TooLarge
                if len(waiting) >= _PIECE:
                    await shift.run(partial(file.write, bytes(waiting)))
                    waiting.clear()
            await shift.run(partial(file.write, bytes(waiting)))
            given = await shift.run(partial(file.keep, name))
            log.event("upload.kept", service=self._service, file="/".join((*directory, given))[-200:], size=count)
            told = name if self._blind else given
            return Kept(told.encode("utf-8", "surrogateescape").decode("utf-8", "replace"), quoted(told), count)
        finally:
            shift.end()

    def _trouble(self, request: web.BaseRequest, failure: Exception, kept: Sequence[Kept] = ()) -> web.Response:
        before = f"Kept before: {', '.join(one.name for one in kept)}"[:_LONGEST_LIST] if kept else ""
        problem = partial(pages.problem, request, advice=before)
        match failure:
            case WrongArgument():
                said = failure.message[:1].upper() + failure.message[1:]
                advice = f"{failure.hint[:1].upper()}{failure.hint[1:]}. {before}".strip()
                return problem(400, "This file is not taken", f"{said}.", advice=advice)
            case _TooLarge():
                return self._too_large(request, before)
            case OSError(errno=errno.EFBIG):
                said = "The disk of the computer that shares this takes none that is so long."
                return problem(413, "This file is too large", said)
            case FileExistsError():
                return problem(409, "This name is taken", "So are all that are like it.")
            case FileNotFoundError():
                return problem(409, "There is no such directory", "Files go only where there is one.")
            case Full():
                return problem(507, "There is no room for it", "The disk of the computer that shares this is full.")
            case OSError():
                reason = (failure.strerror or str(failure)).lower()
                log.warning("upload.failed", service=self._service, path=request.raw_path[:200], reason=reason)
                said = f"The computer that shares this could not write it ({reason})."
                if failure.errno in _NOT_ALLOWED:
                    return problem(403, "Nothing can be brought here", said)
                return problem(503, "It cannot be kept now", said, headers={"Retry-After": "5"})
        return problem(400, "This is no form", "It cannot be read to its end.")

    def _too_large(self, request: web.BaseRequest, advice: str = "") -> web.Response:
        said = f"Files of up to {readable_size(self._most)} are taken here."
        return pages.problem(request, 413, "This file is too large", said, advice=advice)


class _Form:
    """The parts of a form, one after the other.  A file is whole only with what ends it: the next boundary."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._reader = MultipartReader(request.headers, request.content)
        self._ahead: list[MultipartReader | BodyPartReader | None] = []

    async def next(self) -> MultipartReader | BodyPartReader | None:
        """The next part, None behind the last.  Raises ValueError and the like for what is no form."""
        if self._ahead:
            return self._ahead.pop()
        async with asyncio.timeout(_SILENCE):
            return await self._reader.next()

    async def pieces(self, part: BodyPartReader) -> AsyncIterator[bytes]:
        """The bytes of a part; raises as `next` where it does not come to its end."""
        while True:
            async with asyncio.timeout(_SILENCE):
                data = await part.read_chunk(65_536)
            if not data:
                break
            yield data
        self._ahead.append(await self.next())


async def _say_continue(request: web.BaseRequest) -> None:
    if request.version >= HttpVersion11 and request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # it is no part of the answer


async def _chunks(request: web.BaseRequest) -> AsyncIterator[bytes]:
    while True:
        async with asyncio.timeout(_SILENCE):
            data = await request.content.readany()
        if not data:
            return
        yield data
