"""Sends what is in a directory, however much that is, without stopping anybody else.

    directory ── threads, some hundred names at a time ──▶ sorted runs ── merged ──▶ rows, as the visitor takes them

The first bytes go out before the directory is read.  Of an entry only its name is kept until its turn comes.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import stat
from collections.abc import Iterator, Mapping
from sys import getsizeof

from aiohttp import web

from hardline.cache.files.listing import HtmlListing, JsonListing, Listed
from hardline.cache.files.order import NAME, Order, name_of
from hardline.cache.files.tree import Directory
from hardline.disks import Disk, DiskHangs, Shift

MAX_ENTRIES = 250_000  # of one directory
MAX_HELD = 64 << 20  # bytes of names in memory, of all listings that are being sent
_SCANS = 2  # directories being read at once

# A millisecond or two of a thread: everybody else waits as long for the interpreter.
_NAMES_AT_ONCE = 500
_ROWS_AT_ONCE = 200

_MORE = "There is more in it: these are some of the names."
_BUSY = "Too many long lists are on their way to others: try again in a moment."
_BROKEN = "It could not be read to its end."
_HANGS = "The disk that holds it does not answer: these are some of the names."


class Browsing:
    """The listings that are on their way: `most` entries of a directory, and `most_held` bytes of names in all."""

    def __init__(self, *, most: int = MAX_ENTRIES, most_held: int = MAX_HELD) -> None:
        self._most, self._most_held = most, most_held
        self._scans = asyncio.Semaphore(_SCANS)
        self.held = 0  # bytes of names in memory

    async def send(
        self,
        request: web.BaseRequest,
        directory: Directory,
        form: HtmlListing | JsonListing,
        order: Order,
        headers: Mapping[str, str],
        disk: Disk,
    ) -> web.StreamResponse:
        """Answer with what is in `directory`, in that `order`; it lies on `disk` and is closed in the end."""
        reader = _Reader(directory, form, order)
        # Whatever becomes of the visitor, nothing is closed that a thread still uses.
        shift = Shift(disk, reader.close)
        held = 0
        try:
            if request.method == "HEAD":
                return web.Response(headers=headers)
            response = web.StreamResponse(headers=headers)
            await response.prepare(request)
            await response.write(form.opening().encode())
            wrong = ""
            try:
                async with self._scans:
                    while not wrong and (found := await shift.run(reader.read)) is not None:
                        held += found
                        self.held += found
                        if reader.found >= self._most:
                            wrong = _MORE
                        elif self.held > self._most_held:
                            wrong = _BUSY
                while wrong != _BUSY and (rows := await shift.run(reader.rows)) is not None:
                    await response.write(rows.encode())
            except DiskHangs:
                wrong = _HANGS
            await response.write(form.closing(reader.sent, wrong or reader.wrong).encode())
            return response
        finally:
            self.held -= held
            shift.end()


class _Reader:
    """One directory on its way into rows.  All of it runs in threads, one call at a time."""

    def __init__(self, directory: Directory, form: HtmlListing | JsonListing, order: Order) -> None:
        self._directory, self._form, self._order = directory, form, order
        self._entries = directory.entries()
        self._runs: list[list[str]] = []
        self._merged: Iterator[str] | None = None
        self.found = self.sent = 0
        self.wrong = ""

    def read(self) -> int | None:
        """Take some more names; how many bytes of memory, None at the end."""
        try:
            entries = list(itertools.islice(self._entries, _NAMES_AT_ONCE))
        except OSError:
            self.wrong = _BROKEN
            return None
        run = [key for entry in entries if self._order.takes(entry[0]) and (key := self._key(*entry))]
        run.sort(reverse=self._order.falling)
        self._runs.append(run)
        self.found += len(entries)
        return sum(map(getsizeof, run)) if entries else None

    def _key(self, name: str, is_directory: bool) -> str:
        if self._order.by == NAME:
            return self._order.key(name, is_directory, 0, 0)
        facts = self._directory.look(name)
        if facts is None:
            return ""
        return self._order.key(name, is_directory, 0 if is_directory else facts.st_size, int(facts.st_mtime))

    def rows(self) -> str | None:
        """Some more rows, after all was read; None at the end."""
        if self._merged is None:
            self._merged = heapq.merge(*self._runs, reverse=self._order.falling)
        keys = list(itertools.islice(self._merged, _ROWS_AT_ONCE))
        if not keys:
            return None
        rows = []
        for key in keys:
            name = name_of(key)
            facts = self._directory.look(name)
            if facts is None:  # gone meanwhile, or nobody's business
                continue
            is_directory = stat.S_ISDIR(facts.st_mode)
            size = 0 if is_directory else facts.st_size
            rows.append(self._form.row(Listed(name, is_directory, size, int(facts.st_mtime))))
        before = self._form.separator if self.sent and rows else ""
        self.sent += len(rows)
        return before + self._form.separator.join(rows)

    def close(self) -> None:
        self._entries.close()
        self._directory.close()
