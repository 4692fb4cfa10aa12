"""Bad browsers at the door: programs of the visitor's own machine, or pages that it opened."""

from __future__ import annotations

import time

import pytest

from tests.hostile.conftest import Field
from tests.hostile.siege import SECONDS, Attack, each
from tests.support import needs
from tests.support.costs import slowness
from tests.support.size import FULL

pytestmark = [
    pytest.mark.netns,
    pytest.mark.slow,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "sysctl", "curl", "nice"),
]

CONNECTIONS = 5000 if FULL else 2000
PER_SECOND = int(1000 / slowness())
NON_READERS = 200
FEW, LOOKS = 200_000, 5  # bytes: what others fetch meanwhile, and so often in a row it was no more
REFUSED = {"400", "403", "421", "431", "501", "505"}


def attack(field: Field, kind: str, count: int, seconds: float = SECONDS) -> Attack:
    return field.by_local("door_attacks.py", kind, field.visitor.localport, field.label, count, seconds)


@pytest.mark.parametrize("kinds", each("silent", "drip", "endless"), ids="+".join)
def test_thousands_of_browsers_whose_request_never_comes(field: Field, kinds: tuple[str, ...]) -> None:
    # Who connects waits for those that did before, whoever they are: the question is what they cost from then on.
    def all_are_there() -> None:
        pass

    attacks = [attack(field, kind, CONNECTIONS // len(kinds)) for kind in kinds]
    reports = field.survives(*attacks, memory=80 << 20, judged_once=all_are_there)
    assert sum(report["held"] for report in reports) > CONNECTIONS / 2


@pytest.mark.full
def test_hundreds_of_downloads_that_nobody_reads(field: Field) -> None:
    # Each costs its window, here, and no more; until it is full, a download is a download, which takes its time.
    def full() -> None:
        seen, looks = -FEW, 0
        while looks < LOOKS:
            time.sleep(0.1)
            now = field.visitor.sessions("visiting")[0]["received"]
            looks = looks + 1 if now <= seen + FEW else 0
            seen = now

    [report] = field.survives(
        attack(field, "readers", NON_READERS, max(12.0, SECONDS)), memory=120 << 20, judged_once=full
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
