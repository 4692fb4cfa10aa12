"""Credit: what a peer may send before its reader has taken it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.errors import PeerError
from hardline.session.windows import INITIAL_WINDOW, Backlog, ReceiveWindow, WindowBudget

pytestmark = pytest.mark.pure

MB = 1 << 20


def budget(limit: int = 64 * MB, per_stream: int = 16 * MB, parent: WindowBudget | None = None) -> WindowBudget:
    return WindowBudget(limit, per_stream, parent)


def test_more_than_the_window_is_the_peers_fault():
    window = ReceiveWindow(budget())
    window.received(INITIAL_WINDOW)
    with pytest.raises(PeerError):
        window.received(1)


def test_credit_comes_once_half_the_window_is_taken():
    window = ReceiveWindow(budget())
    window.received(INITIAL_WINDOW)
    assert window.consumed(INITIAL_WINDOW // 2 - 1, now=0.0, round_trip=0.0) == 0
    assert window.consumed(1, now=0.0, round_trip=0.0) == INITIAL_WINDOW // 2


def test_a_reader_that_keeps_up_gets_a_larger_window_and_no_larger_than_allowed():
    window, now = ReceiveWindow(budget(per_stream=MB)), 0.0
    for _ in range(100):
        window.received(window.size // 2)
        window.consumed(window.size // 2, now, round_trip=0.1)
        now += 0.01
    assert window.size == MB


def test_a_reader_that_takes_its_time_keeps_its_window():
    window, now = ReceiveWindow(budget()), 0.0
    for _ in range(100):
        window.received(INITIAL_WINDOW // 2)
        window.consumed(INITIAL_WINDOW // 2, now, round_trip=0.01)
        now += 1.0
    assert window.size == INITIAL_WINDOW


def grow(window: ReceiveWindow, times: int = 40) -> None:
    for turn in range(times):
        window.received(window.size // 2)
        window.consumed(window.size // 2, turn * 0.001, round_trip=1.0)


def test_all_streams_of_a_session_share_its_budget_and_give_it_back():
    shared = budget(limit=2 * MB + INITIAL_WINDOW, per_stream=16 * MB)
    first, second = ReceiveWindow(shared), ReceiveWindow(shared)
    grow(first)
    grow(second)
    assert first.size + second.size <= 2 * MB + 2 * INITIAL_WINDOW
    first.release()
    before = second.size
    grow(second)
    assert second.size > before


def test_who_comes_later_gets_as_much_as_who_was_first():
    shared = budget(limit=8 * MB + INITIAL_WINDOW, per_stream=8 * MB)
    windows = [ReceiveWindow(shared) for _ in range(4)]
    grow(windows[0])
    assert windows[0].size == 8 * MB
    for turn in range(60):
        for window in windows:
            window.received(window.size // 4)
            window.consumed(window.size // 4, 1.0 + turn * 0.001, round_trip=1.0)
    assert {window.size for window in windows} == {2 * MB + INITIAL_WINDOW}
    for window in windows[1:]:
        window.release()
    grow(windows[0])
    assert windows[0].size == 8 * MB


def test_a_slow_reader_keeps_its_window_when_others_grow():
    shared = budget()
    slow, busy = ReceiveWindow(shared), ReceiveWindow(shared)
    for turn in range(10):
        grow(busy)
        slow.received(INITIAL_WINDOW // 2)
        slow.consumed(INITIAL_WINDOW // 2, 2.0 * turn, round_trip=0.1)
    assert (slow.size, busy.size) == (INITIAL_WINDOW, 16 * MB)


def test_a_brisk_reader_follows_one_that_was_first_although_it_alone_would_not_grow():
    shared = budget()
    first, second = ReceiveWindow(shared), ReceiveWindow(shared)
    grow(first)
    for turn in range(20):
        second.received(second.size // 2)
        second.consumed(second.size // 2, turn * 0.02, round_trip=0.0)
    assert second.size == first.size


def test_an_idle_stream_takes_no_share_from_those_that_grow():
    shared = budget(limit=8 * MB + INITIAL_WINDOW, per_stream=16 * MB)
    idle, busy = [ReceiveWindow(shared) for _ in range(1000)], ReceiveWindow(shared)
    grow(busy)
    assert busy.size == 8 * MB + INITIAL_WINDOW
    assert {window.size for window in idle} == {INITIAL_WINDOW}


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4 * MB), st.floats(0, 0.02)), max_size=80))
def test_what_all_windows_of_a_session_hold_stays_within_its_limit(steps):
    shared, now = budget(limit=4 * MB, per_stream=2 * MB), 0.0
    windows, credit = [ReceiveWindow(shared) for _ in range(4)], [INITIAL_WINDOW] * 4
    for number, count, pause in steps:
        sent = min(count, credit[number])
        if sent:
            windows[number].received(sent)
            credit[number] += windows[number].consumed(sent, now, round_trip=0.01) - sent
        now += pause
        assert sum(window.size - INITIAL_WINDOW for window in windows) <= 4 * MB - INITIAL_WINDOW
        assert all(left <= window.size for left, window in zip(credit, windows, strict=True))


def test_what_the_process_has_no_room_for_the_session_does_not_take_either():
    process = budget(limit=MB + INITIAL_WINDOW)
    sessions = [budget(parent=process) for _ in range(2)]
    windows = [ReceiveWindow(session) for session in sessions]
    for window in windows:
        grow(window)
    assert sum(window.size - INITIAL_WINDOW for window in windows) <= MB
    for window in windows:
        window.release()
    fresh = ReceiveWindow(sessions[0])
    grow(fresh)
    assert fresh.size > INITIAL_WINDOW


def test_releasing_twice_gives_back_once():
    shared = budget(limit=MB + INITIAL_WINDOW)
    window = ReceiveWindow(shared)
    grow(window)
    window.release()
    window.release()
    assert shared.take(MB)
    assert not shared.take(1)


@given(st.lists(st.tuples(st.integers(1, 400_000), st.floats(0, 0.1)), max_size=60))
def test_the_peer_never_gets_more_credit_than_window_and_never_less_than_was_taken(steps):
    window, now, outstanding, held = ReceiveWindow(budget(per_stream=MB)), 0.0, INITIAL_WINDOW, 0
    for count, pause in steps:
        sent = min(count, outstanding)
        if sent:
            window.received(sent)
        outstanding -= sent
        held += sent
        outstanding += window.consumed(held, now, round_trip=0.01) if held else 0
        held = 0
        now += pause
        assert 0 < outstanding <= window.size


def test_an_honest_slow_upload_survives_many_small_hoards_of_one_source():
    backlog, hoard, cut = Backlog(256 * MB), 5 * MB // 2, []
    backlog.note("upload", "honest", 16 * MB)
    for number in range(200):
        if (leaving := backlog.note(f"hoard {number}", "greedy", hoard)) is not None:
            cut.append(leaving)
            backlog.note(leaving, "greedy", 0)
    assert len(cut) == 200 - 240 * MB // hoard
    assert "upload" not in cut


def test_of_the_source_that_holds_most_the_fullest_session_gives_way():
    backlog = Backlog(10)
    backlog.note("a1", "a", 2)
    backlog.note("a2", "a", 4)
    assert backlog.note("b1", "b", 5) == "a2"


def test_what_a_session_held_that_is_over_counts_no_more():
    backlog = Backlog(10)
    for session in ("a1", "a2"):
        backlog.note(session, "a", 5)
    backlog.forget("a1")
    backlog.forget("a1")
    assert backlog.note("b1", "b", 5) is None
    assert backlog.note("b1", "b", 6) == "b1"


def test_a_stream_may_begin_with_more_as_long_as_there_is_plenty():
    shared = WindowBudget(8 * MB, 16 * MB, first=MB)
    windows = [ReceiveWindow(shared) for _ in range(20)]
    given = [window.widen() for window in windows]
    assert set(given) == {MB - INITIAL_WINDOW, 0}
    assert 4 * MB <= sum(window.size - INITIAL_WINDOW for window in windows) < 5 * MB
    windows[0].received(MB)
    with pytest.raises(PeerError):
        windows[0].received(1)
    for window in windows:
        window.release()
    assert ReceiveWindow(shared).widen() == MB - INITIAL_WINDOW


def test_as_a_rule_a_stream_begins_with_what_yamux_says():
    assert ReceiveWindow(budget()).widen() == 0


def test_no_stream_begins_with_more_than_it_may_have():
    assert ReceiveWindow(WindowBudget(8 * MB, MB // 2, first=MB)).widen() == MB // 2 - INITIAL_WINDOW
