"""What is kept of a site, for the event loop: every touch of the disk is in a thread.

    begin ─▶ Writing: a draft grows ─▶ commit ─▶ Entry            find ─▶ Entry, Entry, … ─▶ open ─▶ its body

How answers become files, and what a crash leaves of them, is keeper.py's.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from hardline import log
from hardline.cache.kept.heads import StoredHead
from hardline.cache.kept.keeper import Entry, Keeper
from hardline.cache.kept.ledger import Ledger, StoreFull, cost
from hardline.cache.mounts import answer_at_once
from hardline.cache.recent import Recent
from hardline.disks import Disk, DiskHangs
from hardline.tasks import TaskSet

__all__ = ["Entry", "Store", "StoreFull", "StoredHead", "Writing"]

_LAST = 5.0  # seconds that its end waits for the disk
_COUNTING = 1.0  # seconds that a download waits for the store to know what it has

P = ParamSpec("P")
T = TypeVar("T")


def _nothing(_path: str, _facts: os.stat_result) -> bool:
    return False


def _as_it_is(entry: Entry) -> Entry:
    return entry


class Store:
    """The answers kept in `root`, at most `max_size` bytes of disk with all that belongs to them (ledger.py).

    Files that the owner made count nothing and are never removed.  `clock` is seconds since 1970; `forbidden` says of
    a file by its real path whether it must not be shown (own.OwnFiles.judge), and `shown` makes of an entry what is
    found, None for nothing; both may block.  `disk` has the threads for it: one that hangs keeps nothing and has
    nothing.  A store that is not opened only reads.
    """

    def __init__(
        self,
        root: Path,
        *,
        max_size: int,
        clock: Callable[[], float] = time.time,
        forbidden: Callable[[str, os.stat_result], bool] = _nothing,
        shown: Callable[[Entry], Entry | None] = _as_it_is,
        disk: Disk | None = None,
    ) -> None:
        self._shown = shown
        self._root = os.path.abspath(root)
        self._clock = clock
        self._recent: Recent[tuple[Entry, ...]] = Recent(_size_in_memory)
        self.ledger = Ledger(max_size)
        self.keeper = Keeper(self._root, self.ledger, forbidden, self._recent.drop)
        self.disk = disk or Disk(root.name)
        self._tasks = TaskSet("cache")
        self._counting: asyncio.Task[None] | None = None
        self._writings: set[Writing] = set()
        self._closed = False

    async def open(self) -> None:
        """Take the directory over: make it, and count what is there, which goes on after this returns.

        Raises OSError when it is not there and cannot be made.  One that cannot be written is read from all the same.
        """
        await self.in_thread(functools.partial(os.makedirs, exist_ok=True), self._root)
        self._counting = self._tasks.start(self._count(), "count")

    async def aclose(self) -> None:
        """Give up what is being written.  Entries that were found can still be opened."""
        self._closed = True
        if self._counting is not None:
            with contextlib.suppress(TimeoutError):  # a disk that hangs: what is left is removed at the next start
                async with asyncio.timeout(_LAST):
                    await self.disk.rest()
                    await self.in_thread(self._end)
        await self._tasks.aclose()

    async def find(self, key: str) -> tuple[Entry, ...]:
        """What is stored for the request target `key`, as it was sent: newest first; () when there is nothing.

        A file that the owner made is alone: it stands for all answers.  What cannot be read is not there.
        """
        now = asyncio.get_running_loop().time()
        if (known := self._recent.get(key, now)) is not None:
            return known
        with self._recent.looking(key, now) as keep:
            try:
                entries = await self.in_thread(self._look, key)
            except OSError:
                return ()
            keep(entries)
        return entries

    async def begin(self, key: str, head: StoredHead, expected: int | None) -> Writing:
        """Start to store an answer whose body will have `expected` bytes, None when nobody knows.

        The caller commits or aborts it.  Of an answer without a length at most half of the limit is kept: an endless
        one would otherwise throw out all others.

        Raises StoreFull when it cannot be kept, OSError when the disk is full or cannot be written.
        """
        await self._until_counted()
        return await self.disk.run(functools.partial(self._begin, key, head, expected), Writing.end)

    async def refresh(self, entry: Entry, head: StoredHead) -> Entry:
        """`entry` with another head and the same body: a 304 came.

        Raises StoreFull, or OSError when the body is gone or another one by now or the disk is full: the old head
        stays then.
        """
        await self._until_counted()
        return await self.in_thread(self.keeper.refresh, entry, head)

    async def remove(self, key: str) -> None:
        """Forget all answers to `key`.  A file that the owner made stays, without what was known of it.

        Raises OSError when the directory cannot be written, StoreFull when the store only reads.
        """
        if self._counting is None:
            raise StoreFull("the store only reads")
        await self.in_thread(self.keeper.remove, key)

    def used(self, entry: Entry) -> None:
        """`entry` was just used: it is the last to go now.  From any thread, at no cost."""
        self.ledger.used(entry.base)

    async def in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in a thread for the disk; once begun, to its end, even when the caller is cancelled.

        Raises DiskHangs, which is an OSError.
        """
        return await self.disk.run(functools.partial(work, *args, **kwargs), _forget)

    def over(self, writing: Writing) -> None:
        """`writing` has ended."""
        self._writings.discard(writing)

    def _look(self, key: str) -> tuple[Entry, ...]:
        look = self.keeper.look if self._counting is None else self.keeper.look_and_tidy
        return tuple(filter(None, map(self._shown, look(key))))

    def _begin(self, key: str, head: StoredHead, expected: int | None) -> Writing:
        limit = self.ledger.limit
        if expected is not None and expected > limit:
            raise StoreFull(f"{expected} bytes are more than maxSize, which is {limit}")
        self.keeper.check(key, head)
        promised = cost(expected or 0)
        self.keeper.promise(promised)
        try:
            name, descriptor = self.keeper.draft()
        except OSError:
            self.keeper.promise(-promised)
            raise
        writing = Writing(self, key, head, name, descriptor, promised, limit // 2 if expected is None else limit)
        self._writings.add(writing)
        return writing

    def _end(self) -> None:
        for writing in tuple(self._writings):
            writing.end()
        self.keeper.leave()

    async def _count(self) -> None:
        try:
            count = functools.partial(self.keeper.take_over, self._clock(), lambda: self._closed)
            await self.disk.run_long(count)
        except OSError as failure:
            # What is there stays; what comes has its own failure.
            log.warning("cache.not_tidied", directory=self._root, reason=(failure.strerror or str(failure)).lower())

    async def _until_counted(self) -> None:
        if self._counting is None:
            raise StoreFull("the store only reads")
        if not self._counting.done():
            await asyncio.wait([self._counting], timeout=_COUNTING)
            if not self._counting.done():
                raise StoreFull("what is stored is still being counted")


class Writing:
    """An answer on its way into the store; `written` bytes of it are there.

    Followers read it while it grows, each by a descriptor of its own from `open`: `fd` is closed by commit and abort.
    `at_once`: whether its disk answers at once (mounts.py).  Made in a thread.
    """

    def __init__(self, store: Store, key: str, head: StoredHead, name: str, fd: int, promised: int, most: int) -> None:
        self.key, self.head = key, head
        self.fd = fd
        self.written = 0
        self._store = store
        self._keeper = store.keeper
        self._draft = name
        self._promised, self._most = promised, most
        self.at_once = answer_at_once([f"{store.keeper.root}/{name}"])
        self._busy = threading.Lock()
        self._ended = False

    def open(self) -> int:
        """A new descriptor of the body; the caller reads it with os.pread, and closes it.

        It is good for the whole body after `commit`, and for what was written after `abort`.
        """
        return os.dup(self.fd)

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append `data`.  Raises StoreFull or OSError: then abort."""
        await self._store.in_thread(self._write, data)

    async def commit(self) -> Entry:
        """The body is complete: it is what is found from now on.

        Raises StoreFull or OSError, and is aborted then.  Cancelled, it is one or the other.
        """
        return await self._store.in_thread(self._commit)

    async def abort(self) -> None:
        """Leave nothing of it, as soon as its disk allows.  Does nothing after `commit` or another `abort`."""
        try:
            await self._store.in_thread(self.end)
        except DiskHangs:
            pass
        except asyncio.CancelledError:
            self._store.disk.later(self.end)
            raise

    def end(self) -> None:
        """`abort`, from any thread: it blocks."""
        with self._busy:
            if not self._ended:
                self._keeper.remove_draft(self._draft)
                self._close()

    def _write(self, data: bytes | bytearray | memoryview) -> None:
        with self._busy:
            self._check()
            view = memoryview(data)
            if self.written + len(view) > self._most:
                raise StoreFull(f"more than {self._most} bytes")
            if (more := cost(self.written + len(view)) - self._promised) > 0:
                self._keeper.promise(more)
                self._promised += more
            while view:
                write = functools.partial(os.pwrite, self.fd, view, self.written)
                count = self._keeper.despite_full_disk(write)
                self.written += count
                view = view[count:]

    def _commit(self) -> Entry:
        with self._busy:
            self._check()
            try:
                return self._keeper.put(self.key, self.head, self._draft, self.fd)
            except BaseException:
                self._keeper.remove_draft(self._draft)
                raise
            finally:
                self._close()

    def _check(self) -> None:
        if self._ended:
            raise OSError(errno.EBADF, "has ended", self._draft)

    def _close(self) -> None:
        self._ended = True
        os.close(self.fd)
        self._keeper.promise(-self._promised)
        self._store.over(self)


def _forget(_: object) -> None:
    """There is nothing to give back."""


def _size_in_memory(entries: tuple[Entry, ...]) -> int:
    return sum(1000 + sum(120 + len(name) + len(value) for name, value in entry.head.fields) for entry in entries)
