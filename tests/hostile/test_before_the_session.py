"""Strangers at the P2P port who never become visitors."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import MANY, Field
from tests.hostile.siege import SECONDS, Attack, each
from tests.support import needs
from tests.support.size import FULL

pytestmark = [
    pytest.mark.netns,
    pytest.mark.slow,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "sysctl", "curl", "nice"),
]

CONNECTIONS = 5000 if FULL else 800
PER_SECOND = 1000


def attack(field: Field, kind: str, count: int, *sources: str) -> Attack:
    host = field.host_machine.ip4
    return field.by_stranger("tls_attacks.py", kind, host, 7008, field.label, count, SECONDS, *sources)


@pytest.mark.parametrize("kinds", each("silent", "half", "drip", "stop", "endless"), ids="+".join)
def test_thousands_of_connections_that_come_to_nothing_are_held_by_one_stranger(
    field: Field, kinds: tuple[str, ...]
) -> None:
    reports = field.survives(*(attack(field, kind, CONNECTIONS // len(kinds)) for kind in kinds))
    assert sum(report["opened"] + report["refused"] for report in reports) > CONNECTIONS / 2


@pytest.mark.parametrize(
    "kinds", each("churn", "resets", "cuts", "garbage", "names", "old", "hellos", "ends"), ids="+".join
)
def test_connections_that_break_off_one_after_the_other(field: Field, kinds: tuple[str, ...]) -> None:
    reports = field.survives(*(attack(field, kind, PER_SECOND // len(kinds)) for kind in kinds))
    assert all(report["opened"] + report["refused"] > 20 for report in reports), reports


@pytest.mark.parametrize("kind", ["silent", "stop"] if FULL else ["stop"])
def test_thousands_of_connections_from_many_addresses_leave_room_for_a_new_visitor(field: Field, kind: str) -> None:
    field.stranger.run(["ip", "route", "replace", "local", MANY, "dev", "lo"])
    [label] = field.cold_labels([f"cold-{kind}"])

    def visit() -> None:
        answer = field.curl(label)
        assert (answer.status, field.vias(label)) == (200, ["LAN"])

    [report] = field.survives(attack(field, kind, CONNECTIONS, MANY), memory=80 << 20, meanwhile=visit)
    assert report["held"] > CONNECTIONS / 50
