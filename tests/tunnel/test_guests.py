"""Whom a guest counts for: himself, or the relay that says who he is."""

from __future__ import annotations

from typing import cast

import pytest

from hardline.identity import KeyHash
from hardline.routes import Endpoint
from hardline.transport.crowd import Seat, gives_way
from hardline.transport.sources import around, networks, source_of
from hardline.transport.tls import TlsStream
from hardline.tunnel.arrival import By
from hardline.tunnel.guests import Guest

pytestmark = pytest.mark.pure


def guest(address: str, between: str = "") -> Guest:
    by = By.RELAY if between else By.LISTENER
    return Guest(KeyHash(bytes(20)), Endpoint(address, 1), by, 0.0, cast(TlsStream, None), between=between)


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8:1:2::7"])
def test_what_a_relay_claims_touches_nobody_who_comes_by_himself(address: str) -> None:
    himself, claimed = guest(address), guest(address, "relay evil:443")
    assert himself.guesses_as == around(address)
    assert not set(himself.guesses_as) & set(claimed.guesses_as)
    assert himself.whose == source_of(address) != claimed.whose
    assert not set(himself.crowd) & set(claimed.crowd)


def test_all_that_a_relay_brings_is_one_crowd_and_gives_way_first() -> None:
    seats = [Seat("honest", networks("203.0.113.5"), True, 1e6)]
    seats += [Seat(f"evil {n}", guest(f"10.{n}.0.9", "relay evil:443").crowd, False, 1.0) for n in range(200)]
    assert gives_way(seats, networks("198.51.100.1")) != "honest"
    assert gives_way(seats, guest("11.1.1.1", "relay evil:443").crowd) != "honest"
    others = [guest(f"10.{n}.0.9", "relay evil:443").whose for n in range(3)]
    assert len(set(others)) == 3, "of one relay they are still told apart"
