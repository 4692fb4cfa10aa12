"""Which failures a fault excuses."""

from __future__ import annotations

import pytest

from tests.soak.ledger import Ledger, Outcome

pytestmark = pytest.mark.pure


def outcome(began: float, ended: float, result: str = "failed", *, alive: float | None = None, **other: str) -> Outcome:
    words = {"visitor": "leaf", "kind": "get", "service": "wiki", **other}
    return Outcome(**words, began=began, alive=began if alive is None else alive, ended=ended, outcome=result)


def ledger_with_fault(*, ends_in_order: bool = False) -> Ledger:
    """A fault from 10 to 20, which must be over at 23."""
    ledger = Ledger()
    window = ledger.begin(
        "host killed", 10.0, visitors=["leaf"], services=["wiki"], recovery=3.0, ends_in_order=ends_in_order
    )
    window.healed = 20.0
    return ledger


@pytest.mark.parametrize(
    ("began", "ended"),
    [(5.0, 10.1), (12.0, 13.0), (19.0, 22.0), (21.0, 22.0), (22.9, 24.0)],
    ids=["cut by it", "within it", "before it was healed", "while it recovers", "begun while it recovers"],
)
def test_a_failure_that_a_fault_can_have_caused_is_excused(began: float, ended: float) -> None:
    assert ledger_with_fault().judge(outcome(began, ended)) is None


@pytest.mark.parametrize(
    "failure",
    [
        outcome(8.0, 9.9),
        outcome(23.1, 23.2),
        outcome(5.0, 30.0, alive=25.0),
        outcome(12.0, 13.0, visitor="root"),
        outcome(12.0, 13.0, service="files"),
        outcome(12.0, 13.0, service=""),
    ],
    ids=["before", "after", "it survived the fault", "another visitor", "another service", "the door"],
)
def test_a_failure_that_no_fault_can_have_caused_is_a_violation(failure: Outcome) -> None:
    ledger = ledger_with_fault()
    assert ledger.judge(failure) == "failed, and no fault excuses it"
    assert ledger.violations == 1


@pytest.mark.parametrize("result", ["wrong", "hung", "short"])
def test_no_fault_excuses_wrong_bytes_a_hang_or_a_part_told_as_the_whole(result: str) -> None:
    assert ledger_with_fault().judge(outcome(12.0, 13.0, result)) is not None


def test_a_service_that_died_excuses_a_part_that_looks_whole_and_no_wrong_byte() -> None:
    ledger = ledger_with_fault(ends_in_order=True)
    assert ledger.judge(outcome(12.0, 13.0, "short")) is None
    assert ledger.judge(outcome(30.0, 31.0, "short")) is not None
    assert ledger.judge(outcome(12.0, 13.0, "wrong")) is not None


def test_a_fault_that_goes_on_excuses_until_it_is_healed() -> None:
    ledger = Ledger()
    window = ledger.begin("cut", 10.0, visitors=["leaf"], services=["wiki"], recovery=1.0)
    assert ledger.judge(outcome(500.0, 501.0)) is None
    window.healed = 600.0
    assert ledger.judge(outcome(601.5, 602.0)) is not None


def test_the_longest_recovery_is_of_what_began_after_the_healing() -> None:
    ledger = ledger_with_fault()
    ledger.judge(outcome(5.0, 22.9))
    ledger.judge(outcome(20.5, 21.5))
    ledger.judge(outcome(20.5, 21.0))
    assert ledger.longest_recovery == {"host killed": 1.5}


def test_a_bad_link_excuses_nothing_by_itself_and_makes_recoveries_longer() -> None:
    alone = Ledger()
    alone.begin("link loses packets", 10.0, visitors=["leaf"], services=["wiki"], delays=5.0)
    assert alone.judge(outcome(12.0, 13.0)) is not None
    both = ledger_with_fault()
    both.begin("link loses packets", 15.0, visitors=["leaf"], services=["wiki"], delays=5.0).healed = 40.0
    assert both.judge(outcome(27.9, 28.1)) is None
    assert both.judge(outcome(28.1, 28.2)) is not None


def test_pairs_that_never_worked_are_named() -> None:
    ledger = Ledger()
    ledger.judge(outcome(1.0, 2.0, "ok"))
    ledger.judge(outcome(1.0, 2.0, "failed", visitor="root"))
    assert ledger.never_succeeded(["leaf", "root"], ["wiki"]) == [("root", "wiki")]
