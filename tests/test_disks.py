"""Work in threads whose visitor leaves."""

from __future__ import annotations

import asyncio
import errno
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from hardline.disks import Disk, DiskHangs, Shift
from tests.tunnel.pair import eventually


def test_what_a_thread_opens_for_nobody_is_given_back():
    async def main() -> None:
        go, began, given_back = threading.Event(), threading.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def work() -> str:
            began.set()
            go.wait(100)
            return "descriptor"

        def discard(result: str) -> None:
            assert result == "descriptor"
            loop.call_soon_threadsafe(given_back.set)

        waiting = loop.create_task(Disk("test").run(work, discard))
        await eventually(began.is_set, "it began")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not given_back.is_set()
        go.set()
        async with asyncio.timeout(100):
            await given_back.wait()

    asyncio.run(main())


def test_a_result_is_the_callers():
    async def main() -> None:
        given_back: list[int] = []
        disk = Disk("test")
        assert await disk.run(lambda: 7, given_back.append) == 7
        with pytest.raises(ZeroDivisionError):
            await disk.run(lambda: 1 // 0, given_back.append)
        assert given_back == []

    asyncio.run(main())


def test_work_that_fails_for_nobody_is_nobodys_trouble():
    async def main() -> None:
        go = threading.Event()

        def work() -> int:
            go.wait(100)
            return 1 // 0

        disk = Disk("test")
        waiting = asyncio.get_running_loop().create_task(disk.run(work, lambda _: None))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        go.set()
        assert await disk.run(lambda: 7, lambda _: None) == 7

    asyncio.run(main())


def test_nothing_is_released_while_a_thread_uses_it():
    async def main() -> None:
        go, began, over, released = threading.Event(), threading.Event(), threading.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def release() -> None:
            assert over.is_set()
            loop.call_soon_threadsafe(released.set)

        def piece() -> None:
            began.set()
            go.wait(100)
            over.set()

        shift = Shift(Disk("test"), release)
        assert await shift.run(lambda: 1) == 1
        waiting = asyncio.get_running_loop().create_task(shift.run(piece))
        await eventually(began.is_set, "it began")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        shift.end()
        assert not released.is_set()
        go.set()
        async with asyncio.timeout(100):
            await released.wait()

    asyncio.run(main())


def test_what_nobody_uses_is_released():
    async def main() -> None:
        released: list[bool] = []
        disk = Disk("test")
        Shift(disk, lambda: released.append(True)).end()
        await eventually(lambda: released == [True], "it is released")
        shift = Shift(disk, lambda: released.append(True))
        await shift.run(lambda: None)
        shift.end()
        await eventually(lambda: released == [True, True], "it is released")

    asyncio.run(main())


@pytest.fixture
def hung():
    """Work that waits until the test is over."""
    go = threading.Event()
    yield go.wait
    go.set()


def test_a_disk_that_hangs_is_told_and_its_threads_are_all_that_it_costs(hung):
    async def main() -> None:
        bad, good = Disk("the photos", threads=3, patience=0.2), Disk("the rest", threads=3)
        asked = [asyncio.get_running_loop().create_task(bad.run(hung, lambda _: None)) for _ in range(20)]
        before = threading.active_count()
        assert await good.run(lambda: 7, lambda _: None) == 7
        for failure in await asyncio.gather(*asked, return_exceptions=True):
            assert isinstance(failure, DiskHangs)
            assert failure.filename == "the photos"
        assert threading.active_count() <= before + 4
        with pytest.raises(DiskHangs):
            await Disk.run(bad, hung, lambda _: None)
        assert await good.run(lambda: 8, lambda _: None) == 8

    asyncio.run(main())


def test_who_asks_a_disk_that_has_been_hanging_for_long_is_told_at_once(hung):
    async def main() -> None:
        disk = Disk("test", threads=2, patience=0.1)
        await asyncio.gather(*(disk.run(hung, lambda _: None) for _ in range(4)), return_exceptions=True)
        await eventually(lambda: _is_refused_at_once(disk, hung), "all of its threads have been hanging for long")

    asyncio.run(main())


def _is_refused_at_once(disk: Disk, work: Callable[[], object]) -> bool:
    try:
        disk.run(work, lambda _: None).send(None)
    except DiskHangs:
        return True
    return False


def test_a_disk_that_answers_again_is_asked_again_and_what_it_opened_meanwhile_is_closed():
    async def main() -> None:
        go, closed = threading.Event(), []
        disk = Disk("test", threads=1, patience=0.1)

        def work() -> str:
            go.wait(100)
            return "descriptor"

        for _ in range(3):
            with pytest.raises(DiskHangs):
                await disk.run(work, closed.append)
        go.set()
        await eventually(lambda: closed == ["descriptor"], "what one thread had opened is closed, and only that")
        assert await disk.run(lambda: 7, lambda _: None) == 7

    asyncio.run(main())


def test_an_error_of_the_disk_is_no_hanging():
    async def main() -> None:
        def fails() -> None:
            raise TimeoutError(errno.ETIMEDOUT, "the server says so")

        with pytest.raises(TimeoutError) as caught:
            await Disk("test").run(fails, lambda _: None)
        assert not isinstance(caught.value, DiskHangs)

    asyncio.run(main())


def test_a_thread_that_hangs_does_not_keep_the_program_from_its_end():
    program = """
import asyncio, threading
from hardline.disks import Disk
async def main():
    try:
        await Disk("x", patience=0.1).run(threading.Event().wait, print)
    except TimeoutError as failure:
        print(failure)
asyncio.run(main())
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=True)
    assert ran.stdout == "[Errno 110] the disk does not answer: 'x'\n"
