"""Markdown texts as pages, made where they hold up nobody.

    page ─▶ Workers ─▶ a process ─▶ the page      too slow ─▶ killed, and not tried again for a while

A few kilobytes can be a second of work for a parser, with the interpreter in its hand: a table fills up all its rows.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from typing import IO

from hardline.cache.templates.workers import Page, RenderingFailed, Workers

SECONDS = 10.0  # for a page
_PROCESSES = 2
_IDLE = 30.0  # seconds after which a process ends
_MEMORY = 512  # MB of address space
_NOT_AGAIN = 300.0  # seconds
_REMEMBERED = 1000


class Texts:
    """Makes pages, few at a time; several file services may share one."""

    def __init__(self, *, seconds: float = SECONDS) -> None:
        self._workers = Workers(
            ("hardline.cache.files.markdown_worker",), most=_PROCESSES, seconds=seconds, idle=_IDLE, memory=_MEMORY
        )
        self._too_slow: OrderedDict[bytes, float] = OrderedDict()  # until when, by hash of the text

    async def page(self, source: bytes, name: str) -> bytes:
        """The text `source` of the file `name` as a page.  Raises TooBusy, RenderingFailed."""
        now, key = asyncio.get_running_loop().time(), hashlib.sha256(source).digest()
        if self._too_slow.get(key, now) > now:
            raise RenderingFailed("took too long a while ago", late=True)
        try:
            page = await self._workers.render({"name": name}, source)
        except RenderingFailed as failure:
            if failure.late:
                self._too_slow[key] = now + _NOT_AGAIN
                while len(self._too_slow) > _REMEMBERED:
                    self._too_slow.popitem(last=False)
            raise
        try:
            return await _whole(page)
        finally:
            page.close()

    async def aclose(self) -> None:
        """End all processes."""
        await self._workers.aclose()


async def _whole(page: Page) -> bytes:
    return page.data if page.file is None else await asyncio.to_thread(_read, page.file)


def _read(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()
