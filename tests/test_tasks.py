"""Tasks have an owner who ends them, and failures that somebody reads."""

from __future__ import annotations

import asyncio
import logging

import pytest

from hardline.tasks import OnceAWhile, TaskSet, keep_running
from tests.support.clock import run, since


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


def test_work_that_must_go_on_is_begun_again_after_pauses_that_double_up_to_the_longest():
    async def story():
        began, at = asyncio.get_running_loop().time(), []

        async def work():
            at.append(since(began))
            if len(at) < 7:
                raise OSError("not yet")

        await keep_running(work, "test", first=0.5, longest=6.0)
        assert at == [0, 0.5, 1.5, 3.5, 7.5, 13.5, 19.5]

    run(story)


@pytest.mark.parametrize(("lasts", "pause"), [(60.0, 4.0), (60.5, 0.5)])
def test_only_a_run_that_lasted_longer_than_the_longest_pause_starts_the_pauses_anew(lasts, pause):
    async def story():
        loop, at = asyncio.get_running_loop(), []

        async def work():
            at.append(loop.time())
            if len(at) == 4:
                await asyncio.sleep(lasts)
            if len(at) < 6:
                raise OSError("not yet")

        await keep_running(work, "test", first=0.5, longest=60.0)
        assert since(at[3]) == lasts + pause + 2 * pause
        assert at[4] - at[3] == lasts + pause

    run(story)


def test_work_that_must_go_on_can_be_cancelled():
    async def story():
        runs = 0

        async def work():
            nonlocal runs
            runs += 1
            raise OSError("never")

        task = asyncio.get_running_loop().create_task(keep_running(work, "test", first=0.5))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(1000)
        assert runs == 2

    run(story)


def test_what_is_made_once_a_while_is_made_once_for_all_who_ask_and_again_when_it_is_old():
    async def story():
        made = []

        async def make():
            await asyncio.sleep(0)
            made.append(len(made))
            return made[-1]

        lasting, always = OnceAWhile(make, 1000.0), OnceAWhile(make, 0.0)
        assert await asyncio.gather(*(lasting.get() for _ in range(10))) == [0] * 10
        assert [await always.get() for _ in range(3)] == [1, 2, 3]
        await asyncio.sleep(999.5)
        assert await lasting.get() == 0
        await asyncio.sleep(0.5)
        assert await asyncio.gather(*(lasting.get() for _ in range(10))) == [4] * 10

    run(story)


def test_what_could_not_be_made_is_tried_again_by_the_next_who_asks():
    async def story():
        answers = iter([OSError("not now"), "there"])

        async def make():
            answer = next(answers)
            if isinstance(answer, OSError):
                raise answer
            return answer

        once = OnceAWhile(make, 1000.0)
        with pytest.raises(OSError, match="not now"):
            await once.get()
        assert await once.get() == "there"

    asyncio.run(story())
