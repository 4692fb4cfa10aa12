"""The clock that jumps: exact, never ahead of what is under way, and real where sockets and threads are."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from tests.support.clock import run, settled, since


def now() -> float:
    return asyncio.get_running_loop().time()


def test_hours_pass_at_once_and_to_the_exact_second():
    async def story() -> None:
        began = now()
        await asyncio.sleep(3 * 3600)
        assert now() - began == 3 * 3600

    before = time.process_time()
    run(story, limit=4 * 3600)
    assert time.process_time() - before < 1


def test_timers_come_in_their_order_each_at_its_time():
    async def story() -> None:
        began, seen = now(), []
        loop = asyncio.get_running_loop()
        for delay in (30, 0.25, 7, 1000):
            loop.call_later(delay, lambda delay=delay: seen.append((delay, since(began))))
        loop.call_later(5, seen.append, "never").cancel()
        await asyncio.sleep(1001)
        assert seen == [(delay, delay) for delay in (0.25, 7, 30, 1000)]

    run(story)


def test_time_stands_still_while_anybody_works():
    async def story() -> None:
        began = now()
        for _ in range(1000):
            await asyncio.sleep(0)
        time.sleep(0.02)  # even for longer than sockets are looked at
        assert now() == began

    run(story)


def test_what_never_happens_is_noticed_at_once():
    before = time.process_time()
    with pytest.raises(TimeoutError):
        run(asyncio.Event().wait)
    assert time.process_time() - before < 1


def test_what_is_on_its_way_through_a_socket_comes_before_the_next_timer():
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def story() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        began = now()
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for _ in range(100):
            async with asyncio.timeout(0.001):
                writer.write(b"x" * 10_000)
                assert await reader.readexactly(10_000) == b"x" * 10_000
        writer.write(bytes(5_000_000))  # more than the buffers on the way take at once
        async with asyncio.timeout(0.001):
            assert len(await reader.readexactly(5_000_000)) == 5_000_000
        assert now() == began
        writer.close()
        assert await reader.read() == b""
        server.close()

    run(story)


def test_a_thread_that_works_is_waited_for():
    async def story() -> None:
        began = now()
        async with asyncio.timeout(0.001):
            assert await asyncio.to_thread(lambda: time.sleep(0.05) or "done") == "done"
        assert now() == began
        await asyncio.sleep(1)
        assert since(began) == 1

    run(story)


def test_where_nothing_has_a_time_another_thread_is_waited_for():
    async def story() -> None:
        loop, told = asyncio.get_running_loop(), asyncio.Event()
        threading.Timer(0.05, lambda: loop.call_soon_threadsafe(told.set)).start()
        await told.wait()

    run(story, limit=None)


def test_who_waits_until_all_has_settled_sees_all_of_it_and_no_time_pass():
    async def story() -> None:
        began, seen = now(), []
        loop = asyncio.get_running_loop()

        async def slowly() -> None:
            for _ in range(100):
                await asyncio.sleep(0)
            seen.append("turns")
            await asyncio.to_thread(time.sleep, 0.02)
            seen.append("thread")

        loop.call_later(0.001, seen.append, "timer")
        task = loop.create_task(slowly())
        await settled()
        assert seen == ["turns", "thread"]
        assert now() == began
        await asyncio.gather(settled(), settled())
        assert now() == began
        await asyncio.sleep(0.001)
        await settled()
        assert seen == ["turns", "thread", "timer"]
        await task

    run(story)
