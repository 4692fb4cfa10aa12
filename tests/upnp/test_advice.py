"""What a person is told to do."""

from __future__ import annotations

import pytest

from hardline.upnp.advice import Router, advise
from hardline.upnp.external import judge

pytestmark = pytest.mark.pure

AT = ("192.168.1.1", "192.168.1.10")
FORWARD = "forward TCP port 7008 on the router 192.168.1.1 to 192.168.1.10 port 7008"


def test_nothing_is_to_be_done_where_a_router_leads_the_world_to_us():
    assert advise(7008, [Router(*AT), Router(*AT, judge("8.8.8.8"), mapped=7008)]) == ""


def test_a_router_that_does_nothing_is_to_be_set_up_by_hand():
    assert (
        advise(7008, [Router(*AT)])
        == f"{FORWARD}, then write [Node] public = YOUR-PUBLIC-ADDRESS:7008 into hardline.ini"
    )


def test_an_address_that_is_known_is_written_out():
    assert advise(7008, [Router(*AT, judge("8.8.8.8"))]).endswith("[Node] public = 8.8.8.8:7008 into hardline.ini")


def test_behind_another_router_the_port_is_to_be_forwarded_on_that_one():
    advice = advise(7008, [Router(*AT, judge("10.0.0.2"), mapped=7009)])
    assert "is behind another router, in whose network it is 10.0.0.2: forward TCP port 7008 on that other" in advice
    assert "to 10.0.0.2 port 7009" in advice
    assert FORWARD not in advice


def test_behind_another_router_and_unmapped_it_is_to_be_forwarded_twice():
    advice = advise(7008, [Router(*AT, judge("10.0.0.2"))])
    assert FORWARD in advice
    assert "on that other router to 10.0.0.2 port 7008" in advice


def test_behind_a_carriers_nat_nobody_is_told_to_forward_anything():
    advice = advise(7008, [Router(*AT, judge("100.64.3.2"), mapped=7008)])
    assert "100.64.3.2, which belongs to its provider's NAT" in advice
    assert "forward" not in advice


def test_a_router_without_an_address_is_said_to_have_none():
    assert "says that it has no public address" in advise(7008, [Router(*AT, judge("0.0.0.0"))])


def test_of_several_routers_the_one_that_explains_most_is_named():
    routers = [Router("192.168.2.1", "192.168.2.2"), Router(*AT, judge("100.64.3.2"))]
    assert "100.64.3.2" in advise(7008, routers)


def test_without_any_router_that_is_said():
    assert "no router was found" in advise(7008, [])
