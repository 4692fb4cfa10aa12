"""The rows of a snapshot: what is said of a node, and how it is counted."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from hardline.identity import KeyHash
from hardline.node.rows import announcement, held, outside
from hardline.reach import WayHere
from hardline.relaying import UsedRelay
from hardline.routes import Endpoint


@pytest.mark.pure
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("node.lan", "node.lan"),
        ("visitor.warm.8c164f27", "visitor.warm"),
        ("visitor.dial.abcdefab", "visitor.dial"),
        ("dial.8c164f27.find", "dial.find"),
        ("dial.8c164f27.attempt.10.77.1.10:7008", "dial.attempt"),
        ("dial.deadbeef.attempt.[fe80::1%eth0]:7008", "dial.attempt"),
        ("dial.deadbeef.attempt.nas.example:7008", "dial.attempt"),
        ("find.8c164f27.this node", "find.this node"),
        ("Task-7", "other"),
        ("", "other"),
    ],
)
def test_a_task_is_counted_by_its_kind_of_work_and_not_by_whose_it_is(name: str, kind: str) -> None:
    assert held([name, name]).tasks == {kind: 2}


_NOTHING = WayHere({}, (), only_here=False, advice=None, upnp=None, dht=None)
_ROUTER = Endpoint("11.22.33.7", 7008)


@pytest.mark.pure
@pytest.mark.parametrize(
    ("facts", "state", "sentence"),
    [
        ({}, "local", "reachable on this network only, as far as is known"),
        ({"only_here": True}, "local", "reachable on this machine only ([Node] bind)"),
        (
            {"endpoints": {_ROUTER: "the router"}},
            "expected",
            "should be reachable from outside at 11.22.33.7:7008 (the router)",
        ),
        (
            {"endpoints": {_ROUTER: "the router"}, "reached": [_ROUTER]},
            "confirmed",
            "reachable from outside: a visitor came by 11.22.33.7:7008",
        ),
    ],
)
def test_only_a_visitor_from_outside_confirms_that_the_world_reaches_a_node(facts, state, sentence) -> None:
    said = outside(replace(_NOTHING, **facts))
    assert (said.state, said.sentence) == (state, sentence)


_RELAY = UsedRelay(Endpoint("relay.example", 7008), KeyHash(bytes(20)), "registered", "", 5.0, 2, 1, "", "")


@pytest.mark.pure
def test_a_relay_that_was_tested_is_a_way_here_where_there_is_no_other() -> None:
    said = outside(_NOTHING, [_RELAY])
    assert (said.state, said.sentence) == ("relayed", "reachable from outside by the relay relay.example:7008")
    for other in (replace(_RELAY, tested=0), replace(_RELAY, state="connecting")):
        assert outside(_NOTHING, [other]).state == "local"
    assert outside(replace(_NOTHING, endpoints={_ROUTER: "the router"}), [_RELAY]).state == "expected"


@pytest.mark.pure
def test_where_nothing_leads_here_the_advice_names_relays_until_one_is_used() -> None:
    nothing = replace(_NOTHING, advice="forward a port")
    assert outside(nothing).advice == "forward a port; or be reached by a relay (hardline relay)"
    assert outside(nothing, [_RELAY]).advice == "forward a port"
    assert outside(_NOTHING).advice is None


_ANNOUNCED = {"announced": 1000.0, "read_back": 1001.0, "problem": None}


@pytest.mark.pure
@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (None, "not announced: the DHT is not used ([DHT] enabled = no)"),
        (_ANNOUNCED, "announced in the DHT 60 s ago, read back 59 s ago"),
        (_ANNOUNCED | {"read_back": 700.0}, "announced in the DHT 60 s ago, not read back yet"),
        (_ANNOUNCED | {"announced": None, "read_back": None}, "not announced in the DHT yet"),
        (_ANNOUNCED | {"problem": "no good node"}, "not announced in the DHT: no good node"),
    ],
)
def test_an_announcement_counts_as_made_only_once_it_was_read_back(said, sentence) -> None:
    assert announcement(said, wanted=True, now=1060.0) == sentence
    assert announcement(said, wanted=False, now=1060.0) == "not announced in the DHT (useDHT = no)"


def test_descriptors_are_counted_without_the_one_that_looks() -> None:
    before = held([]).descriptors
    with Path(os.devnull).open() as one, Path(os.devnull).open() as other:
        assert one.fileno() != other.fileno()
        assert held([]).descriptors == before + 2
    assert held([]).descriptors == before
