"""A clock that jumps: hours pass in a story as soon as nobody in it has anything else to do.

    run(story)              the loop's time stands still while work is ready, and jumps to the next timer when none is
    await settled()         all has happened that happens without time passing
    since(began)            seconds of that time, to the microsecond

Sockets and threads are real, and have their chance before each jump: threads of `run_in_executor` are waited for, on
Linux every thread that is at work is (one of `Resolver`, `Disk`), and what is on its way through the loopback comes
within QUIET.  So `asyncio.sleep(600)` costs a few milliseconds, and what is to happen at 600 s happens then exactly.

What the clock does not see: a process, a thread of another kind elsewhere, and a timer of the kernel such as that of
delayed ACKs.  A story that waits for one of those finds that its timers came first; it belongs on a real clock.  Who
keeps something ready all the time (`sleep(0)` again and again) fails after SPINS turns; a thread of an executor that
waits for a timer waits for ever.  `time.time` and `time.monotonic` are those of the machine.
"""

from __future__ import annotations

import asyncio
import selectors
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

# Nothing is under way when so many looks at the sockets, each so many seconds long, see nothing.
QUIET, LOOKS = 0.002, 2
SPINS = 500_000  # turns of the loop in which no time passes
_START = 1024.0  # seconds; many fractions are exact there, and it is not the 0 of "never"

Result = TypeVar("Result")


class ClockLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is nobody's."""

    def __init__(self) -> None:
        self._now = _START
        self._in_threads = 0
        self._settling: list[asyncio.Future[None]] = []
        super().__init__(_Selector(self))

    def time(self) -> float:
        """Seconds since nothing in particular, as of the last jump."""
        return self._now

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """As ever; time stands still until it is done."""
        done = super().run_in_executor(executor, func, *args)
        self._in_threads += 1
        done.add_done_callback(lambda _: self._left_thread())
        return done

    async def shutdown_default_executor(self, *args: Any) -> None:
        """As ever; time stands still until it is done."""
        self._in_threads += 1
        try:
            await super().shutdown_default_executor(*args)
        finally:
            self._left_thread()

    async def settled(self) -> None:
        """See the function."""
        self._settling.append(self.create_future())
        await self._settling[-1]

    def _left_thread(self) -> None:
        self._in_threads -= 1

    def _goes_on(self) -> bool:
        """Nothing is under way: somebody waited for that, or time passes.  False when only a socket can help."""
        if self._in_threads:
            return False
        settling, self._settling = self._settling, []
        waiting = [one for one in settling if not one.done()]
        for one in waiting:
            one.set_result(None)
        if not waiting and self._scheduled:
            self._now = max(self._now, self._scheduled[0].when())
        return bool(waiting or self._scheduled)


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop: ClockLoop) -> None:
        super().__init__()
        self._loop = loop
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._turns += 1
        if self._turns > SPINS:
            self._turns = 0
            raise AssertionError(f"something was ready in each of {SPINS} turns of the loop")
        if timeout is not None and timeout <= 0:
            return super().select(0)
        looks = 0
        while not (events := super().select(QUIET)):
            looks = 0 if _another_thread_works() else looks + 1
            if looks >= LOOKS and self._loop._goes_on():
                self._turns = 0
                break
        return events


def _another_thread_works() -> bool:
    """A thread of this process runs, could run, or waits for a disk.  Not known but on Linux."""
    if sys.platform != "linux":
        return False
    for thread in Path("/proc/self/task").iterdir():
        try:
            state = (thread / "stat").read_bytes().rpartition(b") ")[2][:1]
        except OSError:
            continue  # it has ended
        if state in (b"R", b"D") and int(thread.name) != threading.get_native_id():
            return True
    return False


def run(story: Callable[[], Awaitable[Result]], limit: float | None = 3600.0) -> Result:
    """Run `story` on a clock of its own.  TimeoutError when it takes longer than `limit` seconds of that."""

    async def whole() -> Result:
        async with asyncio.timeout(limit):
            return await story()

    with asyncio.Runner(loop_factory=ClockLoop) as runner:
        return runner.run(whole())


async def settled() -> None:
    """Wait until everything has happened that happens without time passing, on a loop of `run`."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, ClockLoop), "on a real clock something is always under way"
    await loop.settled()


def since(began: float) -> float:
    """How many seconds of the loop's time have passed since `began`, to the microsecond."""
    return round(asyncio.get_running_loop().time() - began, 6)
