"""A stranger floods the LAN; who visits and who is visited go on as if nothing was."""

from __future__ import annotations

import ipaddress

import pytest

from tests.hostile.conftest import MANY, Field
from tests.hostile.siege import SECONDS, Attack, each
from tests.support import needs

pytestmark = [
    pytest.mark.netns,
    pytest.mark.slow,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "sysctl", "curl", "nice"),
]

RATE = 10_000  # packets a second


def flood(field: Field, kinds: str, victim: str, label: str, *addresses: str) -> Attack:
    machine = {"host": field.host_machine, "visitor": field.visitor_machine}[victim]
    sources = addresses or (field.stranger.ip4,)
    return field.by_stranger("lan_attacks.py", kinds, machine.ip4, label, RATE, SECONDS, *sources)


@pytest.mark.parametrize("victim", ["host", "visitor"])
@pytest.mark.parametrize("kinds", each("searches", "answers", "garbage"), ids="+".join)
def test_a_flood_costs_the_well_behaved_nothing(field: Field, kinds: tuple[str, ...], victim: str) -> None:
    [report] = field.survives(flood(field, "+".join(kinds), victim, field.label))
    assert report["per_second"] > RATE / 10


@pytest.mark.parametrize("sources", ["one", "many", "the host's own"])
def test_a_flood_of_wrong_answers_does_not_keep_a_visitor_from_its_host(field: Field, sources: str) -> None:
    """For a service of which nothing is known yet."""
    [label] = field.cold_labels([sources.replace(" ", "").replace("'", "")])
    field.stranger.run(["ip", "route", "replace", "local", MANY, "dev", "lo"])

    def visit() -> None:
        answer = field.curl(label, limit=60)
        assert (answer.status, field.vias(label)) == (200, ["LAN"]), answer

    addresses = [str(address) for address in ipaddress.ip_network(MANY).hosts()] if sources == "many" else []
    kind, victim = ("forged", "host") if sources == "the host's own" else ("spoofed", "visitor")
    [report] = field.survives(flood(field, kind, victim, label, *addresses), meanwhile=visit)
    assert report["per_second"] > RATE / 10
