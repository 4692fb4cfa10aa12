"""An application's startup and shutdown."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from hardline.apps.lifespan import Lifespan
from hardline.errors import HardlineError
from tests.apps.serving import run, until


def test_it_starts_and_shuts_down_in_order():
    said = []

    async def app(scope, receive, send):
        assert scope["type"] == "lifespan"
        said.append((await receive())["type"])
        scope["state"]["pool"] = 7
        await send({"type": "lifespan.startup.complete"})
        said.append((await receive())["type"])
        await send({"type": "lifespan.shutdown.complete"})
        said.append("over")

    async def story():
        lifespan = Lifespan(app, "app")
        await lifespan.start()
        assert lifespan.state == {"pool": 7}
        assert said == ["lifespan.startup"]
        await lifespan.stop(60)
        await lifespan.stop(60)

    run(story)
    assert said == ["lifespan.startup", "lifespan.shutdown", "over"]


async def _raises(scope, receive, send):
    raise AssertionError("what is a lifespan?")


async def _returns(scope, receive, send): ...


@pytest.mark.parametrize("app", [_raises, _returns])
def test_an_application_without_one_starts_all_the_same(app):
    async def story():
        lifespan = Lifespan(app, "app")
        await lifespan.start()
        await lifespan.stop(60)

    run(story)


def test_a_failed_startup_says_why_and_leaves_nothing():
    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "Traceback\n  File x\nOSError: no database\n"})
        await asyncio.Event().wait()

    async def story():
        before = asyncio.all_tasks()
        with pytest.raises(HardlineError, match="app: the application did not start: OSError: no database"):
            await Lifespan(app, "app").start()
        assert asyncio.all_tasks() == before

    run(story)


def test_a_start_that_is_cancelled_and_a_shutdown_that_hangs_leave_nothing():
    async def app(scope, receive, send):
        await receive()
        if scope["state"].get("quick"):
            await send({"type": "lifespan.startup.complete"})
        await asyncio.Event().wait()

    async def story():
        before = asyncio.all_tasks()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await Lifespan(app, "app").start()
        assert asyncio.all_tasks() == before
        lifespan = Lifespan(app, "app")
        lifespan.state["quick"] = True
        await lifespan.start()
        await lifespan.stop(0.05)
        assert asyncio.all_tasks() == before

    run(story)


@pytest.mark.parametrize("end", [asyncio.CancelledError(), SystemExit(3)])
def test_a_startup_that_ends_more_than_itself_is_one_that_failed(end):
    async def app(scope, receive, send):
        await receive()
        raise end

    async def story():
        with pytest.raises(HardlineError, match=f"app: the application did not start: {type(end).__name__}"):
            await Lifespan(app, "app").start()

    run(story)


def test_an_application_that_does_not_end_is_not_waited_for(caplog):
    freed = asyncio.Event()

    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.complete"})
        while not freed.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await freed.wait()

    async def story():
        before = asyncio.all_tasks()
        lifespan = Lifespan(app, "app")
        await lifespan.start()
        await lifespan.stop(0.05)
        assert len(asyncio.all_tasks() - before) == 1
        freed.set()
        await until(lambda: asyncio.all_tasks() == before)

    run(story)
    assert "it goes on, though it was cancelled" in str([getattr(one, "fields", "") for one in caplog.records])
