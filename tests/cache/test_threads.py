"""Work in threads whose visitor leaves."""

from __future__ import annotations

import asyncio
import threading

import pytest

from hardline.cache.threads import Shift, off_loop


def test_what_a_thread_opens_for_nobody_is_given_back():
    async def main() -> None:
        go, given_back = threading.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def work() -> str:
            go.wait(10)
            return "descriptor"

        def discard(result: str) -> None:
            assert result == "descriptor"
            loop.call_soon(given_back.set)

        waiting = loop.create_task(off_loop(work, discard))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not given_back.is_set()
        go.set()
        async with asyncio.timeout(10):
            await given_back.wait()

    asyncio.run(main())


def test_a_result_is_the_callers():
    async def main() -> None:
        given_back: list[int] = []
        assert await off_loop(lambda: 7, given_back.append) == 7
        with pytest.raises(ZeroDivisionError):
            await off_loop(lambda: 1 // 0, given_back.append)
        assert given_back == []

    asyncio.run(main())


def test_work_that_fails_for_nobody_is_nobodys_trouble():
    async def main() -> None:
        go = threading.Event()

        def work() -> int:
            go.wait(10)
            return 1 // 0

        waiting = asyncio.get_running_loop().create_task(off_loop(work, lambda _: None))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        go.set()
        assert await off_loop(lambda: 7, lambda _: None) == 7

    asyncio.run(main())


def test_nothing_is_released_while_a_thread_uses_it():
    async def main() -> None:
        go, over, released = threading.Event(), threading.Event(), asyncio.Event()

        def release() -> None:
            assert over.is_set()
            released.set()

        def piece() -> None:
            go.wait(10)
            over.set()

        shift = Shift(release)
        assert await shift.run(lambda: 1) == 1
        waiting = asyncio.get_running_loop().create_task(shift.run(piece))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        shift.end()
        assert not released.is_set()
        go.set()
        async with asyncio.timeout(10):
            await released.wait()

    asyncio.run(main())


def test_what_nobody_uses_is_released_at_once():
    async def main() -> None:
        released: list[bool] = []
        shift = Shift(lambda: released.append(True))
        shift.end()
        assert released == [True]
        shift = Shift(lambda: released.append(True))
        await shift.run(lambda: None)
        shift.end()
        assert released == [True, True]

    asyncio.run(main())
