"""Visitors of a cached site who ask for what costs most: the node, its other services, and its other pages go on."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.hostile.conftest import Field
from tests.hostile.siege import SECONDS, Attack
from tests.support import needs
from tests.support.node import Node
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.netns,
    pytest.mark.slow,
    needs.linux(),
    needs.root(),
    needs.tools("ip", "sysctl", "curl", "nice"),
]

PER_SECOND = 50
DOWNLOADS = 20


@pytest.fixture
def cached(field: Field) -> str:
    """The bait, cached, with what may be downloaded in an hour used up by 20 large files."""
    cache = "[Cache]\ndirectory = bait\nmaxAge = 1h\ndownloadRateLimit = 60\n"
    bait = (field.host.services / "bait.ini").read_text().partition("[Cache]")[0]
    field.host.write("cached", f"{bait.partition('title')[0]}\n{cache}")
    wait_until(lambda: (field.host.services / "cached.ini.cert").exists(), "it is served")
    label = field.host.label("cached")
    wait_until(lambda: field.curl(label, "bytes/1").status == 200, "it answers", 30)
    return label


def attack(field: Field, kind: str, label: str, count: int, seconds: float = SECONDS) -> Attack:
    return field.by_local("site_attacks.py", kind, field.visitor.localport, label, count, seconds)


def processor_time(node: Node) -> float:
    """Seconds that the daemon has used."""
    numbers = Path(f"/proc/{node.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")


def cost(field: Field, kind: str, label: str) -> float:
    """Seconds of the host's processor time for one request of that kind; it serves the well-behaved meanwhile."""
    before, output = processor_time(field.host), field.directory / kind
    process = attack(field, kind, label, 400, 4 * SECONDS).start(output)
    assert process.wait() == 0, output.read_text()
    report = json.loads(output.read_text().splitlines()[-1])
    assert set(report) & {"404", "200"}, report
    return (processor_time(field.host) - before) / report["done"]


@pytest.mark.full
def test_the_longest_paths_cost_hardly_more_than_short_ones(field: Field, cached: str) -> None:
    cost(field, "short", cached)  # the way there is known now
    short, long = cost(field, "short", cached), cost(field, "long", cached)
    print(json.dumps({"ms_per_request": {"short": round(1000 * short, 2), "long": round(1000 * long, 2)}}))
    assert long <= max(0.005, 4 * short)


def test_the_longest_paths_stop_nobody(field: Field, cached: str) -> None:
    [report] = field.survives(attack(field, "long", cached, PER_SECOND))
    assert report["done"] > 10


def test_interim_answers_without_an_end_stop_nobody(field: Field, cached: str) -> None:
    [report] = field.survives(attack(field, "hints", cached, PER_SECOND))
    assert report["done"] > 10


def test_a_page_that_is_not_stored_comes_while_one_asks_for_more_than_may_be_downloaded(
    field: Field, cached: str
) -> None:
    pages = iter(range(2000, 3000))

    def ask() -> None:
        for _ in range(3):
            answer = field.curl(cached, f"bytes/{next(pages)}", limit=60)
            assert answer.status == 200
            print(json.dumps({"cold_page_ms": round(1000 * answer.first_byte)}))

    large = attack(field, "large", cached, DOWNLOADS, 4 * SECONDS)
    [report] = field.survives(large, meanwhile=ask)
    assert report["asked"] >= DOWNLOADS
