"""`hardline ping`: whether a host answers, by which path, and what was tried where it does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.node import Node
from tests.support.programs import running_origin


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[tuple[Node, Node]]:
    host = Node(tmp_path / "host")
    with running_origin() as origin:
        host.share("site", origin.port, title="The site")
        with host, Node(tmp_path / "visitor") as visitor:
            yield host, visitor


def test_row_22_it_says_by_which_path_and_how_long_it_took(nodes: tuple[Node, Node]) -> None:
    host, visitor = nodes
    visitor.hardline("name", host.url("site"), "nas")
    ran = visitor.hardline("ping", "nas", "-c", "2")
    assert ran.returncode == 0, ran.stderr
    first, second = ran.stdout.splitlines()
    assert first.startswith("nas: ")
    assert " ms by LAN 127.0.0.1:" in second
    (session,) = visitor.sessions("visiting")
    told = json.loads(visitor.hardline("ping", "--json", host.url("site")).stdout)
    assert (told["kind"], told["endpoint"], told["title"]) == ("LAN", session["endpoint"], "The site")
    assert 0 < told["round_trip_s"] < 60
    assert told["steps_s"]["tls"] > 0


def test_row_22_who_is_away_is_4_with_what_was_tried(nodes: tuple[Node, Node]) -> None:
    host, visitor = nodes
    assert visitor.hardline("ping", host.url("site")).returncode == 0
    label = host.label("site")
    host.stop()
    ran = visitor.hardline("ping", label)
    assert ran.returncode == 4
    assert "not reachable: " in ran.stdout
    assert "127.0.0.1:" in ran.stdout
    assert visitor.hardline("ping", "0" * 40).returncode == 4
    assert visitor.hardline("ping", "nobody").returncode == 2


def test_who_lets_nobody_in_says_so(nodes: tuple[Node, Node]) -> None:
    host, visitor = nodes
    host.hardline("change", "site", "--invited")
    ran = visitor.hardline("ping", host.url("site"))
    assert (ran.returncode, "lets in whom he has invited" in ran.stdout) == (4, True)
