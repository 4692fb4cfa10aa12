"""What counts as a leak."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.soak.vitals import MEMORY_LIMIT, POOL, LogWatch, Vitals, complaints, slope, too_much_memory

pytestmark = pytest.mark.pure

FIRST = Vitals(
    pid=1,
    descriptors=40,
    threads=5,
    pss=40_000_000,
    memory=30_000_000,
    tasks={"control.request": 1, "node.lan": 1, "visitor.warm": 2, "host.welcome": 1},
    visiting=2,
    hosting=1,
    streams=0,
    files=frozenset({"node.cert", "routes.db"}),
)


def test_a_daemon_that_is_as_before_has_no_leak() -> None:
    assert complaints(FIRST, FIRST) == []


def test_sessions_explain_their_descriptor_and_their_task() -> None:
    more = replace(FIRST, descriptors=43, visiting=4, hosting=2, tasks={"visitor.warm": 4, "host.welcome": 2})
    assert complaints(FIRST, more) == []
    assert complaints(FIRST, replace(more, visiting=3)) == [
        "43 descriptors, expected 37 and 5 of sessions",
        "4 tasks visitor.warm, expected 3",
    ]


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (replace(FIRST, streams=1), "1 streams are open"),
        (replace(FIRST, descriptors=41), "41 descriptors, expected 37 and 3"),
        (replace(FIRST, threads=6 + POOL), f"{6 + POOL} threads"),
        (replace(FIRST, tasks={"door.browser": 1}), "1 tasks door.browser, expected 0"),
        (replace(FIRST, tasks={"node.lan": 2}), "2 tasks node.lan, expected 1"),
        (replace(FIRST, files=FIRST.files | {".probe.77"}), "files that were not there: .probe.77"),
    ],
)
def test_whatever_is_too_much_is_named(now: Vitals, said: str) -> None:
    (complaint,) = complaints(FIRST, now)
    assert complaint.startswith(said)


def test_memory_may_grow_while_it_warms_up_and_not_afterwards() -> None:
    warm = replace(FIRST, memory=FIRST.memory + 3 * MEMORY_LIMIT)
    assert too_much_memory([FIRST, warm]) is None
    assert too_much_memory([FIRST, warm, replace(warm, memory=warm.memory + MEMORY_LIMIT)]) is None
    assert too_much_memory([FIRST, warm, replace(warm, memory=warm.memory + MEMORY_LIMIT + 1)]) is not None


def test_the_slope_is_that_of_a_straight_line() -> None:
    assert slope([(0.0, 100), (10.0, 120), (20.0, 140)]) == pytest.approx(2.0)
    assert slope([(0.0, 100), (10.0, 120)]) == 0.0


def test_a_log_is_read_once_and_trouble_is_shown_with_what_follows(tmp_path) -> None:
    file = tmp_path / "log"
    watch = LogWatch(file)
    assert watch.troubles() == []
    file.write_text("all is well\nTraceback (most recent call last):\n  File here\nValueError\n")
    assert watch.troubles() == ["Traceback (most recent call last):\n  File here\nValueError"]
    assert watch.troubles() == []
    with file.open("a") as log:
        log.write("12:00:00 WARNING task.failed task=visitor.warm\n")
    assert watch.troubles() == ["12:00:00 WARNING task.failed task=visitor.warm"]
