"""Bad browsers at the door: programs of the visitor's own machine, or pages that it opened."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import Field
from tests.hostile.siege import SECONDS, Attack, each
from tests.support import needs

pytestmark = [
    pytest.mark.netns,
    pytest.mark.slow,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "sysctl", "curl", "nice"),
]

CONNECTIONS = 5000
PER_SECOND = 1000
NON_READERS = 200
FEW = 200_000  # bytes: what others fetch meanwhile
REFUSED = {"400", "403", "421", "431", "501", "505"}


def attack(field: Field, kind: str, count: int, seconds: float = SECONDS) -> Attack:
    return field.by_local("door_attacks.py", kind, field.visitor.localport, field.label, count, seconds)


@pytest.mark.parametrize("kinds", each("silent", "drip", "endless"), ids="+".join)
def test_thousands_of_browsers_whose_request_never_comes(field: Field, kinds: tuple[str, ...]) -> None:
    attacks = [attack(field, kind, CONNECTIONS // len(kinds)) for kind in kinds]
    reports = field.survives(*attacks, memory=80 << 20)
    assert sum(report["held"] for report in reports) > CONNECTIONS / 2


def test_hundreds_of_downloads_that_nobody_reads(field: Field) -> None:
    # Each costs its window, here, and no more; until it is full, a download is a download, which takes its time.
    def full() -> None:
        seen = -FEW
        while (now := field.visitor.sessions("visiting")[0]["received"]) > seen + FEW:
            seen = now

    [report] = field.survives(
        attack(field, "readers", NON_READERS, max(8.0, SECONDS)), memory=120 << 20, judged_once=full
    )
    assert report["held"] == NON_READERS


@pytest.mark.parametrize("kinds", each("churn", "resets", "pipelined"), ids="+".join)
def test_browsers_that_come_and_go_by_the_thousand(field: Field, kinds: tuple[str, ...]) -> None:
    reports = field.survives(*(attack(field, kind, PER_SECOND // len(kinds)) for kind in kinds))
    assert sum(report["opened"] for report in reports) > PER_SECOND / 10


@pytest.mark.parametrize("kinds", each("hosts", "smuggled", "huge"), ids="+".join)
def test_requests_that_must_be_refused_are_and_nothing_behind_them_is_carried_out(
    field: Field, kinds: tuple[str, ...]
) -> None:
    reports = field.survives(*(attack(field, kind, PER_SECOND // len(kinds)) for kind in kinds))
    for report in reports:
        told = {status for status in report if status.isdigit()}
        assert told, reports
        assert told <= REFUSED, reports
