"""Sessions by C and by Python alone, to which the same is done: they say and count the same at every step."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.session.yamux import ACK, DATA, FIN, PING, RST, SYN, WINDOW
from hardline.transport import native
from tests.support.twins import Twin, frame

pytestmark = pytest.mark.skipif(
    native.best_engine is not native.NativeEngine, reason=f"this machine cannot have the part in C: {native.why_not}"
)

STREAMS = 3
NUMBERS = st.sampled_from([1, 3, 5])
SIZES = st.one_of(st.integers(1, 40), st.integers(1, 3000), st.integers(10_000, 60_000))
FLAGS = st.sampled_from([0, 0, 0, 0, 0, 0, ACK, FIN, RST])
FRAMES = st.one_of(
    st.tuples(st.just(DATA), FLAGS, NUMBERS, SIZES),
    st.tuples(st.just(WINDOW), st.sampled_from([0, 0, ACK, FIN]), NUMBERS, st.integers(0, 300_000)),
    st.tuples(st.just(PING), st.sampled_from([SYN, ACK]), st.just(0), st.integers(0, 9)),
)
STEPS = st.one_of(
    st.tuples(st.just("hear"), st.lists(FRAMES, min_size=1, max_size=6), st.integers(1, 90_000)),
    st.tuples(st.just("say"), NUMBERS, st.one_of(SIZES, st.just(300_000))),
    st.tuples(st.just("turn"), st.just(0), st.just(0)),
    st.tuples(st.just("block"), st.booleans(), st.just(0)),
    st.tuples(st.sampled_from(["end", "abort", "deaf"]), NUMBERS, st.just(0)),
)


PATTERN = bytes(index % 251 for index in range(301_000))


@pytest.mark.parametrize("gated", [frozenset(), frozenset({1})])
def test_frames_behind_a_socket_that_breaks_are_nobodys_for_both(gated):
    async def story() -> None:
        twins = [Twin(STREAMS, gated, by_c=by_c) for by_c in (False, True)]
        try:
            for twin in twins:
                twin.deaf(1)
                twin.hear(5 * frame(DATA, 0, 1, 10, bytes(10)) + frame(DATA, 0, 3, 5, b"other"))
                assert twin.session._yamux.empty == STREAMS + 4  # those that opened the streams, and what came too late
                assert twin.got[3] == b"other"
            assert twins[0].state() == twins[1].state()
        finally:
            for twin in twins:
                twin.close()

    asyncio.run(story())


@given(st.lists(STEPS, max_size=30), st.frozensets(NUMBERS))
def test_both_say_and_count_the_same_at_every_step(steps, gated):
    async def story() -> None:
        twins = [Twin(STREAMS, gated, by_c=by_c) for by_c in (False, True)]
        python, by_c = twins
        assert not any(joint.linked for joint in python.joints.values())
        assert all(joint.linked for joint in by_c.joints.values())
        try:
            for step, what, size in steps:
                if step == "hear":
                    said = b"".join(
                        frame(*one, PATTERN[one[3] % 250 :][: one[3]] if one[0] == DATA else b"") for one in what
                    )
                    for start in range(0, len(said), size):
                        for twin in twins:
                            twin.hear(said[start : start + size])
                elif step == "say":
                    assert python.say(what, PATTERN[:size]) == by_c.say(what, PATTERN[:size])
                elif step == "turn":
                    await asyncio.sleep(0)
                elif step == "block":
                    for twin in twins:
                        twin.block(what)
                else:
                    for twin in twins:
                        getattr(twin, step)(what)
                assert str(python.session.failure) == str(by_c.session.failure)
                assert python.state() == by_c.state()
                if python.session.failure is not None:
                    return
        finally:
            for twin in twins:
                twin.close()

    asyncio.run(story())
