"""Tasks have an owner who ends them, and failures that somebody reads."""

from __future__ import annotations

import asyncio
import logging

import pytest

from hardline.tasks import TaskSet, keep_running


def test_closing_a_set_ends_every_task_in_it():
    async def story():
        tasks, ended = TaskSet("test"), []

        async def forever(name):
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(name)

        for name in ("a", "b"):
            tasks.start(forever(name), name)
        await asyncio.sleep(0)
        await tasks.aclose()
        assert sorted(ended) == ["a", "b"]
        assert len(tasks) == 0

    asyncio.run(story())


def test_a_task_may_close_its_own_set():
    async def story():
        tasks = TaskSet("test")
        other = tasks.start(asyncio.Event().wait(), "other")
        await tasks.start(tasks.aclose(), "closer")
        assert other.cancelled()

    asyncio.run(story())


def test_a_failure_is_logged_with_the_tasks_name_and_one_that_is_expected_is_not(caplog):
    async def fails(error):
        raise error

    async def story():
        tasks = TaskSet("test")
        tasks.start(fails(KeyError("x")), "surprise", expects=ValueError)
        tasks.start(fails(ValueError("y")), "known", expects=ValueError)
        while len(tasks):
            await asyncio.sleep(0)

    logging.getLogger("hardline").propagate = True
    with caplog.at_level(logging.WARNING, logger="hardline"):
        asyncio.run(story())
    assert [record.fields["task"] for record in caplog.records] == ["test.surprise"]


def test_work_that_must_go_on_is_begun_again_after_a_failure():
    async def story():
        runs = 0

        async def work():
            nonlocal runs
            runs += 1
            if runs < 3:
                raise OSError("not yet")

        await keep_running(work, "test", first=0.001)
        assert runs == 3

    asyncio.run(story())


def test_work_that_must_go_on_can_be_cancelled():
    async def story():
        async def work():
            raise OSError("never")

        async with asyncio.timeout(100):
            task = asyncio.get_running_loop().create_task(keep_running(work, "test", first=0.001, longest=0.01))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(story())
