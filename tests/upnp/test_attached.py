"""Where this computer is attached, as far as that can be said of any; tests/upnp/test_routers.py knows the answers."""

from __future__ import annotations

from hardline.upnp.attached import Attached, attached


def test_a_node_that_listens_on_loopback_is_attached_to_nothing():
    assert attached(["127.0.0.1", "::1"]) == Attached()


def test_every_way_to_a_router_starts_at_an_address_of_ours():
    now = attached()
    assert all(own in now.addresses for _, own in (*now.gateways_4, *now.gateways_6))
    assert not any(address.startswith(("127.", "169.254.", "fe80")) for address in now.addresses)


def test_a_wildcard_stands_for_its_whole_family():
    now = attached()
    assert attached(["0.0.0.0", "::"]) == now
    assert attached(["0.0.0.0"]).own_6 == attached(["::"]).own_4 == ()
