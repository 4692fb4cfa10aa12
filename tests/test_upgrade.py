"""A directory that an earlier hardline left: URLs, memory and nodes of the DHT are kept.

tests/upgrade/ was written by the daemon as it was before routes.db had a version: it shared one service, and had
visited another one on the LAN.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hardline.dht.known import KnownNodes
from hardline.reachparts import NODES_FILE
from hardline.routes import Endpoint
from tests.support.node import Node

LEFT = Path(__file__).parent / "upgrade"
EXPECTED = json.loads((LEFT / "expected.json").read_text())


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path / "node")
    for kind, to in (("services", node.services), ("data", node.data)):
        shutil.copytree(LEFT / kind, to, dirs_exist_ok=True)
        to.chmod(0o700)
        for file in to.iterdir():
            file.chmod(0o600)  # which a repository does not keep
    with node:
        yield node


def test_what_is_shared_keeps_its_url_and_the_node_its_name(node):
    assert node.label("mine") == EXPECTED["mine"]
    assert node.status()["node"]["key_hash"] == EXPECTED["node"]
    assert (node.data / "instance").read_text().strip() == EXPECTED["instance"]


def test_who_was_visited_is_known_and_by_which_kind_of_path(node):
    [peer] = node.status()["peers"]
    assert peer == EXPECTED["peer"] | {"kind": "LAN"}
    with closing(sqlite3.connect(f"file:{node.data / 'routes.db'}?mode=ro", uri=True)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (2,)


def test_nodes_of_the_dht_are_known(node):
    assert KnownNodes(node.data / NODES_FILE).load() == [
        Endpoint("203.0.113.9", 4222),
        Endpoint("2001:db8::7", 4222),
    ]
