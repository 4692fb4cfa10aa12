"""When a node runs, in which event loop, and in which order it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from hardline.errors import HardlineError
from hardline.node.lifecycle import Lifecycle

pytestmark = pytest.mark.pure


class Ending:
    """What is called at the end of a node with three parts, in the order of the calls."""

    def __init__(self) -> None:
        self.life, self.called = Lifecycle(), list[str]()

    def begin(self, fails: str = "") -> None:
        self.life.begin()
        self.life.closers += [self.closer(name, fails=name == fails) for name in ("control", "host", "door")]
        self.life.ready.set()

    def closer(self, name: str, *, fails: bool) -> Callable[[], Awaitable[None]]:
        async def close() -> None:
            self.called.append(name)
            if fails:
                raise OSError(f"{name} cannot end")

        return close

    async def drain(self) -> None:
        self.called.append("drained")

    def forget(self) -> None:
        self.called.append("forgotten")

    async def end(self) -> None:
        await self.life.end(self.drain, self.forget)


@pytest.mark.parametrize("fails", ["", "host"])
def test_what_was_opened_last_ends_first_whatever_fails_and_it_may_begin_again(fails: str) -> None:
    async def story() -> None:
        ending = Ending()
        for _ in range(2):
            ending.begin(fails)
            await ending.end()
            assert ending.called == ["drained", "forgotten", "door", "host", "control"]
            assert not ending.life.closers
            ending.called.clear()
        await ending.end()
        assert ending.called == ["forgotten"], "nothing is drained where nothing was opened"

    asyncio.run(story())


def test_an_end_that_is_cancelled_waits_for_nothing_and_ends_everything() -> None:
    async def story() -> None:
        ending, moves = Ending(), asyncio.Event()
        ending.begin()
        work = ending.life.tasks.start(asyncio.Event().wait(), "work")

        async def drain() -> None:
            moves.set()
            await asyncio.Event().wait()

        end = asyncio.get_running_loop().create_task(ending.life.end(drain, ending.forget))
        await moves.wait()
        end.cancel()
        with pytest.raises(asyncio.CancelledError):
            await end
        assert ending.called == ["forgotten", "door", "host", "control"]
        assert work.cancelled()

    asyncio.run(story())


def test_it_is_used_while_it_runs_and_in_the_loop_that_started_it() -> None:
    ending = Ending()

    async def another() -> None:
        for asked in (ending.life.check_loop, ending.life.runs_here, ending.life.check_running):
            with pytest.raises(HardlineError, match="another event loop"):
                asked()
        with pytest.raises(HardlineError, match="another event loop"):
            await ending.end()

    async def story() -> None:
        with pytest.raises(HardlineError, match="does not run"):
            ending.life.check_running()
        ending.begin()
        with pytest.raises(HardlineError, match="started already"):
            ending.life.begin()
        ending.life.check_running()
        await asyncio.to_thread(asyncio.run, another())
        assert ending.called == []
        await ending.end()
        assert not ending.life.runs_here()

    asyncio.run(story())
