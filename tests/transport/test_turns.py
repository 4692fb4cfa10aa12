"""Works in turns: one each, and the sources one after the other."""

from __future__ import annotations

import asyncio

from hardline.transport.turns import Turns


def done(*asked: tuple[str, str]) -> list[str]:
    """What was done in each turn of the loop, of what was asked for at once."""

    async def story() -> list[str]:
        turns, seen, by_turn = Turns.of_this_loop(), [], []
        for work, source in asked:
            turns.ask(lambda work=work: seen.append(work), source)
        for _ in range(len(asked) + 2):
            seen.clear()
            await asyncio.sleep(0)
            by_turn.append("".join(seen))
        return by_turn

    return asyncio.run(story())


def test_each_turn_of_the_loop_has_one_work():
    assert done(("a", "A"), ("b", "A"), ("c", "A")) == ["a", "b", "c", "", ""]


def test_who_brings_one_waits_for_one_of_each_other_source():
    asked = [(f"{number}", "A") for number in range(5)] + [("b", "B"), ("c", "C")]
    assert "".join(done(*asked)) == "0bc1234"


def test_who_comes_again_comes_after_the_others():
    async def story():
        turns, seen = Turns.of_this_loop(), []

        def first():
            seen.append("first")
            turns.ask(lambda: seen.append("again"), "A")

        turns.ask(first, "A")
        turns.ask(lambda: seen.append("other"), "B")
        await asyncio.sleep(0.01)
        assert seen == ["first", "other", "again"]

    asyncio.run(story())


def test_tasks_have_turns_too_and_who_is_cancelled_keeps_nobody_waiting():
    async def story():
        turns, seen = Turns.of_this_loop(), []

        async def wait(name: str, source: str) -> None:
            await turns.mine(source)
            seen.append(name)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(wait(f"{number}", "A")) for number in range(3)]
            group.create_task(wait("b", "B"))
            await asyncio.sleep(0)
            tasks[1].cancel()
        assert seen == ["0", "b", "2"]

    asyncio.run(story())


def test_a_work_that_fails_stops_nobody():
    async def story():
        failures, seen = [], []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context["exception"]))
        turns = Turns.of_this_loop()
        turns.ask(lambda: 1 // 0, "A")
        turns.ask(lambda: seen.append("next"), "A")
        await asyncio.sleep(0.01)
        assert seen == ["next"]
        assert [type(one) for one in failures] == [ZeroDivisionError]

    asyncio.run(story())
