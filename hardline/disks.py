"""Work that waits for a disk, away from the event loop, without losing what it opened.

    answer ── disk.run(work, discard) ──▶ thread ──▶ result ──▶ answer
                                            │          └─ the visitor has left meanwhile ──▶ discard(result)
                                            └─ no result within PATIENCE ──▶ DiskHangs

A disk can be asleep, or at the other end of a network that is down, and a thread that waits for it cannot be called
back.  So each directory that is served has threads of its own, a few: who asks for a disk that hangs waits for those,
and nobody else does.  Nor does the end of the program wait for a thread that hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar, cast

T = TypeVar("T")

THREADS = 8  # at once, of one disk
PATIENCE = 20.0  # seconds: a disk that was asleep is awake by then
_IDLE = 10.0  # seconds after which a thread ends


class DiskHangs(TimeoutError):
    """A disk gave neither a result nor an error in time; `filename` is what lies there, for people."""


class Disk:
    """The threads for one directory.  `name` says for people what lies there, `patience` is in seconds."""

    def __init__(self, name: str, *, threads: int = THREADS, patience: float = PATIENCE) -> None:
        self.name = name
        self._most, self._patience = threads, patience
        self._more = threading.Condition()
        self._waiting: deque[_Job] = deque()
        self._at_work: set[_Job] = set()
        self._threads = 0

    async def run(self, work: Callable[[], T], discard: Callable[[T], object]) -> T:
        """Run `work` in a thread.

        Cancelled, or out of patience, it goes on to its end, and `discard` gets its result in a thread; what has not
        begun yet never does.  Raises DiskHangs: at once where all threads have been hanging for long.
        """
        return cast(T, await self._outcome(self._begin(work), discard))

    async def run_long(self, work: Callable[[], T]) -> T:
        """Run `work` in a thread, however long that takes."""
        return cast(T, await asyncio.shield(self._begin(work).result))

    @property
    def is_wanted(self) -> bool:
        """Work waits for a thread; to be asked in any thread."""
        return bool(self._waiting)

    async def rest(self) -> None:
        """Wait until all that was begun has ended."""
        while under_way := self._under_way():
            await asyncio.wait(under_way)

    def later(self, work: Callable[[], object]) -> None:
        """Run `work` when there is a thread for it; what it raises is nobody's trouble.  For closing files."""
        self._put(_Job(work, asyncio.get_running_loop()))

    def _under_way(self) -> list[asyncio.Future[object]]:
        with self._more:
            return [job.result for job in (*self._waiting, *self._at_work) if not job.result.done()]

    def _begin(self, work: Callable[[], object]) -> _Job:
        latest = time.monotonic() - self._patience
        with self._more:
            if len(self._at_work) >= self._most and all(job.began < latest for job in self._at_work):
                raise self._hangs()
        job = _Job(work, asyncio.get_running_loop())
        self._put(job)
        return job

    async def _outcome(self, job: _Job, discard: Callable[[Any], object]) -> object:
        try:
            async with asyncio.timeout(self._patience):
                return await asyncio.shield(job.result)
        except asyncio.CancelledError:
            self._abandon(job, discard)
            raise
        except TimeoutError:
            if job.result.done():
                return job.result.result()
            self._abandon(job, discard)
            raise self._hangs() from None

    def _hangs(self) -> DiskHangs:
        return DiskHangs(errno.ETIMEDOUT, "the disk does not answer", self.name)

    def _abandon(self, job: _Job, discard: Callable[[Any], object]) -> None:
        with self._more, contextlib.suppress(ValueError):
            self._waiting.remove(job)
            job.result.cancel()

        def over(result: asyncio.Future[object]) -> None:
            if not result.cancelled() and result.exception() is None:
                self.later(lambda: discard(result.result()))

        job.result.add_done_callback(over)

    def _put(self, job: _Job) -> None:
        with self._more:
            self._waiting.append(job)
            if self._threads - len(self._at_work) >= len(self._waiting):
                self._more.notify()
            elif self._threads < self._most:
                self._threads += 1
                # A daemon: at its end the interpreter waits for all other threads.
                threading.Thread(target=self._serve, name="disk", daemon=True).start()

    def _serve(self) -> None:
        while True:
            with self._more:
                if not self._more.wait_for(lambda: self._waiting, _IDLE):
                    self._threads -= 1
                    return
                job = self._waiting.popleft()
                job.began = time.monotonic()
                self._at_work.add(job)
            job.do()
            with self._more:
                self._at_work.discard(job)
            del job


class Shift:
    """Work on one thing in threads, piece after piece; `release` is called at the end, but never while a piece runs."""

    def __init__(self, disk: Disk, release: Callable[[], object]) -> None:
        self._disk, self._release = disk, release
        self._piece: asyncio.Future[object] | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """One piece.  Cancelled, or out of patience, it goes on to its end.  Raises DiskHangs."""
        job = self._disk._begin(work)
        self._piece = job.result
        return cast(T, await self._disk._outcome(job, lambda _: None))

    def end(self) -> None:
        """There are no more pieces: `release`, in a thread."""
        if self._piece is None or self._piece.done():
            self._disk.later(self._release)
        else:
            self._piece.add_done_callback(lambda _: self._disk.later(self._release))


class _Job:
    """Work, and the future of its result, which belongs to `loop`."""

    __slots__ = ("_loop", "_work", "began", "result")

    def __init__(self, work: Callable[[], object], loop: asyncio.AbstractEventLoop) -> None:
        self._work, self._loop = work, loop
        self.began = 0.0
        self.result: asyncio.Future[object] = loop.create_future()

    def do(self) -> None:
        result, failure = None, None
        try:
            result = self._work()
        except BaseException as raised:
            failure = raised
        with contextlib.suppress(RuntimeError):  # the program is at its end
            self._loop.call_soon_threadsafe(self._tell, result, failure)

    def _tell(self, result: object, failure: BaseException | None) -> None:
        if self.result.done():
            return
        if failure is None:
            self.result.set_result(result)
        else:
            if isinstance(failure, StopIteration):  # no future has that as its exception
                wrapped = RuntimeError("StopIteration was raised")
                wrapped.__cause__ = failure
                failure = wrapped
            self.result.set_exception(failure)
            self.result.exception()  # seen, whether or not anybody waits for it
