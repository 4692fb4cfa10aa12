"""Visitors that say where they reached us: one is not enough, and two must come from different networks."""

from __future__ import annotations

import pytest

from hardline.discovery.reached import LASTS, MAX_ENDPOINTS, MAX_NETWORKS, Reached
from hardline.routes import Endpoint

pytestmark = pytest.mark.pure

HERE = "11.22.33.7:7008"
ANNA, BERT = Endpoint("8.8.8.8", 50_001), Endpoint("9.9.9.9", 50_002)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_two_from_different_networks_agree_and_one_does_not():
    reached = Reached(Clock())
    assert not reached.said(ANNA, HERE)
    assert reached.agreed == ()
    assert reached.heard == (Endpoint.parse(HERE),)
    assert reached.said(BERT, HERE)
    assert reached.agreed == (Endpoint.parse(HERE),)
    assert not reached.said(BERT, HERE), "it is no news any more"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(("8.8.8.8", "8.8.8.8"), ("8.8.1.1", "8.8.2.2"), ("2a01:4f8:1::1", "2a01:4f8:2::1")),
        *(("192.168.1.5", "8.8.8.8"), ("10.0.0.1", "fd00::1"), ("100.64.0.9", "8.8.8.8"), ("unix", "8.8.8.8")),
    ],
)
def test_the_same_network_twice_and_our_own_site_do_not_count(one, other):
    reached = Reached(Clock())
    reached.said(Endpoint(one, 1), HERE)
    assert not reached.said(Endpoint(other, 2), HERE)
    assert reached.agreed == ()


@pytest.mark.parametrize(
    "where",
    ["192.168.1.5:7008", "100.64.1.1:7008", "127.0.0.1:7008", "evil.example.org:80", "224.0.0.1:7008", "", "x" * 9000],
)
def test_what_the_world_cannot_reach_is_not_believed(where):
    reached = Reached(Clock())
    reached.said(ANNA, where)
    reached.said(BERT, where)
    assert reached.agreed == ()


def test_what_two_visitors_lie_about_separately_is_nothing():
    reached = Reached(Clock())
    reached.said(ANNA, "11.22.33.7:1")
    reached.said(BERT, "11.22.33.7:2")
    assert reached.agreed == ()


def test_the_newest_agreement_comes_first_and_old_ones_end():
    clock = Clock()
    reached = Reached(clock)
    for where in (HERE, "11.22.33.8:7008"):
        reached.said(ANNA, where)
        reached.said(BERT, where)
    assert [at.host for at in reached.agreed] == ["11.22.33.8", "11.22.33.7"]
    clock.now = LASTS + 1
    reached.said(ANNA, HERE)
    assert reached.agreed == ()


def test_a_flood_of_claims_takes_bounded_room_and_keeps_the_last():
    reached = Reached(Clock())
    for number in range(1000):
        reached.said(ANNA, f"11.22.33.7:{number + 1}")
        reached.said(Endpoint(f"{8 + number % 90}.1.1.1", 1), HERE)
    assert len(reached.heard) <= MAX_ENDPOINTS
    assert all(len(networks) <= MAX_NETWORKS for networks in reached._said.values())
    assert Endpoint.parse(HERE) in reached.agreed


def test_another_network_forgets_what_was_said_of_the_old_one():
    reached = Reached(Clock())
    reached.said(ANNA, HERE)
    reached.said(BERT, HERE)
    reached.forget()
    assert reached.agreed == ()
    assert reached.heard == ()
