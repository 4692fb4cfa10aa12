"""A visit from one machine to another, step by step, with each side failing in its turn: the last row says which."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.doctor.conftest import Examined, examined
from tests.netns.lab import Lab, Machine
from tests.support import needs
from tests.support.node import Node
from tests.support.programs import running_origin
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.netns, needs.linux(), needs.root(), needs.tools("ip", "sysctl")]


@dataclass(frozen=True)
class Pair:
    """One hosts, one visits; both have met."""

    machine: Machine
    host: Node
    visitor: Node
    label: str
    port: int

    def visit(self, label: str = "") -> Examined:
        return examined(self.visitor, label or self.label)

    def restart(self) -> None:
        """What the visitor was told a moment ago is forgotten, what it remembers stays."""
        self.visitor.stop()
        self.visitor.start()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    directory = tmp_path_factory.mktemp("pair")
    with Lab() as lab:
        here, there = lab.machine("host"), lab.machine("visitor")
        host, visitor = Node(directory / "host", at=here), Node(directory / "visitor", at=there)
        with running_origin(here) as origin:
            host.share("site", origin.port, title="The site")
            with host, visitor:
                label = host.label("site")
                yield Pair(here, host, visitor, label, origin.port)


def test_one_that_works_has_every_step_with_its_time(pair: Pair) -> None:
    found = pair.visit()
    assert found.code == 0
    checks = [row["check"] for row in found.rows]
    assert checks[0] == "known"
    assert set(checks[1:4]) == {"remembered", "LAN", "DNS-SD"}
    assert checks[4:] == ["dial", "TLS", "hello", "service", "result"]
    assert found.row("result")["sentence"].startswith("it works, by ")
    assert found.row("LAN")["state"] == "ok"
    assert "10.77.1.10:7008" in found.row("LAN")["sentence"]
    assert all(row["took_s"] is not None for row in found.rows[1:-1])
    assert pair.label not in str(found.rows)


def test_a_service_that_does_not_run_is_the_hosts_side(pair: Pair) -> None:
    pair.host.share("dead", 9, title="Dead")
    found = pair.visit(pair.host.label("dead"))
    assert found.code == 1
    assert found.row("service")["state"] == "fail"
    assert "nothing answers at the port of the service" in found.row("result")["sentence"]


def test_who_is_not_invited_and_who_has_another_word_is_told_so(pair: Pair) -> None:
    pair.host.write("ours", f"[Service]\nservice = 127.0.0.1\nport = {pair.port}\n[Access]\nclients = invited\n")
    (pair.host.services / "ours.ini.clients").write_text("")
    found = pair.visit(pair.host.label("ours"))
    assert found.code == 1
    assert "it needs an invitation" in found.row("result")["sentence"]
    pair.host.share("secret", pair.port, password="tk3v9x")
    found = pair.visit(pair.host.label("secret").replace("tk3v9x", "wrong"))
    assert found.code == 1
    assert "wants another word before the key hash" in found.row("result")["sentence"]
    assert "wrong-" not in str(found.rows)


@pytest.mark.full
def test_what_is_shared_no_more_is_told_by_who_remembers_it(pair: Pair) -> None:
    pair.visit()
    (pair.host.services / "site.ini").unlink()
    try:
        wait_until(lambda: pair.host.service("site") is None, "it was removed")
        pair.restart()
        found = pair.visit()
    finally:
        pair.host.share("site", pair.port, title="The site")
    assert found.code == 4
    assert "not for this service" in found.row("result")["sentence"]
    assert found.row("LAN")["state"] == "warn"


@pytest.mark.full
def test_where_hardline_does_not_run_the_computer_is_told_to_be_on(pair: Pair) -> None:
    pair.visit()
    pair.host.stop()
    try:
        pair.restart()
        found = pair.visit()
    finally:
        pair.host.start()
    assert found.code == 4
    assert "is on, but hardline does not run there" in found.row("result")["sentence"]
    assert "the computer at " in found.row("result")["sentence"]


@pytest.mark.full
def test_a_computer_that_is_off_is_told_to_be_off_asleep_or_elsewhere(pair: Pair) -> None:
    pair.visit()
    pair.machine.cut()
    try:
        pair.restart()
        found = pair.visit()
    finally:
        pair.machine.heal()
    assert found.code == 4
    assert "it is off, asleep, or in another network" in found.row("result")["sentence"]


def test_whom_nobody_knows_is_told_with_who_was_asked(pair: Pair) -> None:
    found = pair.visit("0" * 40)
    assert found.code == 4
    sentence = found.row("result")["sentence"]
    assert sentence.startswith("nobody knows where it is: ")
    for who in ("LAN", "DNS-SD", "remembered"):
        assert who in sentence
