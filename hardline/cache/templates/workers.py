"""The processes that make pages, of templates or texts: a few, started when needed, ended when they are idle.

    render ─▶ a free worker, or a new one ─▶ request ─▶ Page      too slow or gone ─▶ killed; the next one is fresh

Who waits for a page holds a worker no longer than rendering takes: a page that is long waits in a file for its visitor.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import hardline
from hardline.cache.templates.rendering import ANSWER, MAX_PAGE, REQUEST
from hardline.errors import HardlineError, LimitReached
from hardline.tasks import TaskSet

MAX_WORKERS = 4
MAX_WAITING = 64
SECONDS = 10.0  # for a page
IDLE = 60.0  # seconds after which a worker ends
MEMORY = 1024  # MB of address space of a worker
ON_DISK = 512 << 20  # bytes of long pages that wait for their visitors

_PATIENCE = 30.0  # seconds that a visitor waits for its turn
_PAGES_OF_WORKER = 1000  # whatever templates leave behind is gone then
_IN_MEMORY = 262_144
_MAX_ANSWER = 65_536
_ENDING = 1.0  # seconds to let a killed process's pipe come to its end
# What a program needs to run as its owner is used to.
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_TIME", "TZ", "TMPDIR")


class TooBusy(LimitReached):
    """All workers are at work, and enough visitors wait for them."""


class RenderingFailed(HardlineError):
    """There is no page: `file` and `line` say where, as far as that is known.  `late`: it was killed."""

    def __init__(self, message: str, file: str = "", line: int = 0, *, late: bool = False) -> None:
        super().__init__(message)
        self.file, self.line, self.late = file, line, late


@dataclass(slots=True)
class Page:
    """What a template made: `answer` is what it says; its text is `data`, or `size` bytes of `file`.

    Whoever got it closes it.
    """

    answer: dict[str, Any]
    size: int
    data: bytes = b""
    file: IO[bytes] | None = None
    closed: Callable[[int], None] | None = None

    def close(self) -> None:
        """Give the file back."""
        if self.file is not None:
            self.file.close()
        if self.closed is not None:
            self.closed(self.size)
            self.closed = None


class Workers:
    """Has pages made by `program`, a module with its arguments (process.py), by at most so many processes at once."""

    def __init__(
        self,
        program: Sequence[str],
        *,
        most: int = MAX_WORKERS,
        seconds: float = SECONDS,
        idle: float = IDLE,
        memory: int = MEMORY,
        on_disk: int = ON_DISK,
    ) -> None:
        self._program = program
        self._seconds, self._idle, self._memory = seconds, idle, memory
        self._places = asyncio.Semaphore(most)
        self._disk_left = on_disk
        self._waiting = 0
        self._free: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._tasks = TaskSet("workers")

    async def render(self, request: Mapping[str, Any], body: bytes) -> Page:
        """Have a page made; `request` is what rendering.py says.

        Raises TooBusy, or RenderingFailed.  Cancelled, the page is made nevertheless and thrown away: a process that
        is killed for each visitor who leaves would cost more.
        """
        await self._wait_for_place()
        task = self._tasks.start(self._render(request, body), "render", expects=HardlineError)
        task.add_done_callback(lambda _: self._places.release())
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_throw_away)
            raise

    async def aclose(self) -> None:
        """Kill all workers."""
        await self._tasks.aclose()
        self._free.clear()
        while self._all:
            await self._end(next(iter(self._all)))

    async def _wait_for_place(self) -> None:
        if self._places.locked() and self._waiting >= MAX_WAITING:
            raise TooBusy(f"{MAX_WAITING} visitors wait for their page already")
        self._waiting += 1
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._places.acquire()
        except TimeoutError:
            raise TooBusy(f"no turn within {_PATIENCE:.0f} s") from None
        finally:
            self._waiting -= 1

    async def _render(self, request: Mapping[str, Any], body: bytes) -> Page:
        worker = await self._worker()
        usable = False
        try:
            page = await worker.render(request, body, self._seconds, self._take_disk)
            usable = worker.pages < _PAGES_OF_WORKER and not page.answer.get("over")
        finally:
            if usable:
                self._free.append(worker)
                worker.idle = asyncio.get_running_loop().call_later(self._idle, self._retire, worker)
            else:
                await self._end(worker)
        if "failed" in page.answer:
            page.close()
            raise RenderingFailed(*_told(page.answer))
        return page

    async def _worker(self) -> _Worker:
        while self._free:
            worker = self._free.pop()
            if worker.idle is not None:
                worker.idle.cancel()
            if worker.is_alive:
                return worker
            await self._end(worker)
        try:
            worker = await _Worker.start(self._program, self._memory, self._seconds)
            self._all.add(worker)
            return worker
        except OSError as failure:
            raise RenderingFailed(f"no process can be started: {failure.strerror}") from None

    def _take_disk(self, count: int) -> None:
        """Take `count` bytes, or give them back.  Raises TooBusy when they are not there."""
        if count > self._disk_left:
            raise TooBusy("too many long pages wait for their visitors")
        self._disk_left -= count

    def _retire(self, worker: _Worker) -> None:
        self._free.remove(worker)
        self._tasks.start(self._end(worker), "retire")

    async def _end(self, worker: _Worker) -> None:
        await worker.aclose()
        self._all.discard(worker)


class _Worker:
    """One process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None, "a pipe was asked for"
        assert process.stdout is not None, "a pipe was asked for"
        self._process, self._stdin, self._stdout = process, process.stdin, process.stdout
        self.pages = 0
        self.idle: asyncio.TimerHandle | None = None

    @classmethod
    async def start(cls, program: Sequence[str], memory: int, seconds: float) -> _Worker:
        """Start a process that has nothing of this one but what it is told."""
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        environment["PYTHONPATH"] = str(Path(hardline.__file__).parent.parent)
        environment["PYTHONUTF8"] = "1"
        # -P: nothing that lies in the directory is a module.
        command = [
            sys.executable,
            "-P",
            "-m",
            *program,
            str(memory),
            str(int(seconds) + 5),
        ]
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment,
            cwd="/",  # the directory may lie on a disk that hangs: the worker goes there itself
            start_new_session=True,  # what it starts can be killed with it
            limit=_IN_MEMORY,
        )
        return cls(process)

    @property
    def is_alive(self) -> bool:
        return self._process.returncode is None

    async def render(
        self, request: Mapping[str, Any], body: bytes, seconds: float, take_disk: Callable[[int], None]
    ) -> Page:
        """Send a request and take the page.  Raises TooBusy, RenderingFailed; the worker is of no use then."""
        self.pages += 1
        try:
            async with asyncio.timeout(seconds):
                text = json.dumps(request).encode()
                self._stdin.write(REQUEST.pack(len(text), len(body)) + text + body)
                await self._stdin.drain()
                size, length = ANSWER.unpack(await self._stdout.readexactly(ANSWER.size))
                if size > _MAX_ANSWER or length > MAX_PAGE:
                    raise RenderingFailed("the page's fields are too long, or its process is out of order")
                answer = json.loads(await self._stdout.readexactly(size))
                if not isinstance(answer, dict) or not ("failed" in answer or {"status", "headers"} <= answer.keys()):
                    raise ValueError
                if length <= _IN_MEMORY:
                    return Page(answer, length, await self._stdout.readexactly(length))
                take_disk(length)
                page = Page(answer, length, closed=lambda size: take_disk(-size))
                try:
                    page.file = await self._spool(length)
                except BaseException:
                    page.close()
                    raise
                return page
        except TimeoutError:
            raise RenderingFailed(f"took longer than {seconds:g} s and was killed", late=True) from None
        except (EOFError, ConnectionError):
            raise RenderingFailed("its process ended before the page") from None
        except (ValueError, RecursionError):
            raise RenderingFailed("its process is out of order") from None
        except OSError as failure:
            raise RenderingFailed(f"the page finds no room: {failure.strerror}") from None

    async def aclose(self) -> None:
        """Kill it, with all that it has started.  Idempotent."""
        if self.idle is not None:
            self.idle.cancel()
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._stdin.close()
        with contextlib.suppress(ConnectionError):
            await self._stdin.wait_closed()
        await self._process.wait()
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(_ENDING):
                while await self._stdout.read(_IN_MEMORY):
                    pass

    async def _spool(self, length: int) -> IO[bytes]:
        file = await asyncio.to_thread(tempfile.TemporaryFile)
        try:
            while length:
                piece = await self._stdout.read(min(length, _IN_MEMORY))
                if not piece:
                    raise EOFError
                await asyncio.to_thread(_write, file, piece)
                length -= len(piece)
        except BaseException:
            file.close()
            raise
        return file


def _write(file: IO[bytes], piece: bytes) -> None:
    if os.write(file.fileno(), piece) != len(piece):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _throw_away(task: asyncio.Task[Page]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


def _told(answer: Mapping[str, Any]) -> tuple[str, str, int]:
    """What a worker says of a failure, as far as it can be believed."""
    line = answer.get("line")
    return str(answer["failed"])[:500], str(answer.get("file", ""))[:500], line if isinstance(line, int) else 0
