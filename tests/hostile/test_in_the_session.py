"""A stranger who knows the label, says hello as he should, and then breaks every rule of the session."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import MANY, SESSIONS, WINDOWS, Field
from tests.hostile.siege import MEMORY, SECONDS, Attack, each
from tests.support import needs
from tests.support.size import FULL

pytestmark = [
    pytest.mark.netns,
    pytest.mark.slow,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "sysctl", "curl", "nice"),
]

STREAMS = 100_000 if FULL else 4000
LEAK = 8 << 20
FLOODS = ("pings", "pongs", "updates", "empties", "resets", "closes", "gone", "farewells", "crumbs")
HEADS = 64 << 20  # bytes that endless heads may cost


def by_rogue(field: Field, kind: str, count: int = 0, seconds: float = SECONDS, *sources: str) -> Attack:
    host = field.host_machine.ip4
    return field.by_stranger("session_attacks.py", kind, host, 7008, field.bait, count, seconds, *sources)


def test_every_lie_ends_the_session_that_told_it_and_no_other(field: Field) -> None:
    [report] = field.survives(by_rogue(field, "lies"))
    assert report["ended"] > 50
    assert report["ended"] == report["done"]


@pytest.mark.parametrize("kinds", each("cuts", "pings", "unread", "farewells"), ids="+".join)
def test_frames_by_the_thousand(field: Field, kinds: tuple[str, ...]) -> None:
    reports = field.survives(*(by_rogue(field, kind, 100_000) for kind in kinds))
    assert sum(report["sessions"] for report in reports) > 50
    if "pings" in kinds:
        assert reports[kinds.index("pings")]["pings"] > 10_000


@pytest.mark.parametrize("sessions", [1, 50, 300] if FULL else [50])
@pytest.mark.parametrize("kind", [f"flood-{kind}" for kind in FLOODS] if FULL else ["floods"])
def test_others_do_not_wait_for_frames_however_many_sessions_bring_them(field: Field, kind: str, sessions: int) -> None:
    [report] = field.survives(by_rogue(field, kind, sessions))
    assert report["frames"] > 10_000


@pytest.mark.parametrize("sessions", [300] if FULL else [100])
def test_nor_when_each_of_them_comes_from_an_address_of_its_own(field: Field, sessions: int) -> None:
    field.stranger.run(["ip", "route", "replace", "local", MANY, "dev", "lo"])
    [report] = field.survives(by_rogue(field, "floods", sessions, SECONDS, MANY), sources=sessions)
    assert report["frames"] > 10_000


def test_who_asks_and_never_reads_the_answers_is_not_answered_for_ever(field: Field) -> None:
    [report] = field.survives(by_rogue(field, "unread", 1_000_000_000, 3 * SECONDS))
    assert report["pings"] > 10_000


def test_streams_opened_and_reset_by_the_thousand(field: Field) -> None:
    [report] = field.survives(by_rogue(field, "resets", 10_000))
    assert report["streams"] > 1000


@pytest.mark.full
def test_streams_opened_and_closed_leave_nothing_behind(field: Field) -> None:
    field.survives(by_rogue(field, "closed", 2000))
    before = field.host.pss()
    [report] = field.survives(by_rogue(field, "closed", STREAMS))
    assert report["closed"] > STREAMS * 0.9
    assert field.host.pss() - before < LEAK


def test_who_stops_reading_costs_what_was_under_way_and_no_more(field: Field) -> None:
    [report] = field.survives(by_rogue(field, "deaf"))
    assert report["streams"] >= 500


def test_what_no_service_reads_is_bounded_in_all(field: Field) -> None:
    [report] = field.survives(by_rogue(field, "hoards", 150), memory=(WINDOWS << 20) + MEMORY)
    assert report["filled"]


def test_heads_that_never_end_are_ended(field: Field, capsys: pytest.CaptureFixture[str]) -> None:
    """On a directory: fifty of them would be 400 MB."""
    root = field.directory / "shared"
    root.mkdir(exist_ok=True)
    field.host.write("shared", f"[Service]\nservice =\n[Cache]\ndirectory = {root}\n")
    label = field.host.label("shared")
    assert field.curl(label).status == 404
    before = field.host.pss()
    host, seconds = field.host_machine.ip4, 60  # at most: it is over when all are ended
    [report] = field.survives(
        field.by_stranger("session_attacks.py", "heads", host, 7008, label, 50, seconds), memory=HEADS
    )
    with capsys.disabled():
        grown = field.host.pss() - before
        print(f"50 endless heads: {report['sent'] >> 10} KB were sent, the host grew by {grown >> 10} KB")
    assert report.get("ended", 0) >= report["streams"] >= 50


@pytest.mark.parametrize("sources", [(), (MANY,)] if FULL else [(MANY,)])
def test_a_house_full_of_idle_sessions_of_one_stranger_leaves_room_for_a_new_visitor(
    field: Field, sources: tuple[str, ...]
) -> None:
    if sources:
        field.stranger.run(["ip", "route", "replace", "local", MANY, "dev", "lo"])
    [label] = field.cold_labels([f"cold-{len(sources)}"])

    def visit() -> None:
        answer = field.curl(label)
        assert (answer.status, field.vias(label)) == (200, ["LAN"])

    [report] = field.survives(by_rogue(field, "idle", 2 * SESSIONS, 3 * SECONDS, *sources), meanwhile=visit)
    assert report["held"] >= SESSIONS - 10
