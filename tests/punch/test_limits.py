"""Nobody is knocked at for ever because somebody visits, or is visited, all the time."""

from __future__ import annotations

import pytest

from hardline.punch.limits import AT_ONE, OF_A_HOST, OF_A_SOURCE, OF_ALL, Tries
from hardline.routes import Endpoint

pytestmark = pytest.mark.pure


def test_one_peer_gets_so_many_tries_and_then_one_in_a_while() -> None:
    tries, now = Tries(OF_A_HOST), 0.0
    begun = 0
    for _ in range(100):
        now += 10.0
        begun += tries.may_begin("somebody", now)
    assert begun <= OF_A_HOST[0] + 1000 * OF_A_HOST[1] + 1
    assert tries.may_begin("somebody else", now)


def test_all_together_get_so_many() -> None:
    tries = Tries(OF_A_SOURCE)
    assert sum(tries.may_begin(str(number), 0.0) for number in range(100)) == OF_ALL[0]


def test_an_address_is_connected_to_so_often_whoever_names_it_and_by_whatever_port() -> None:
    tries = Tries(OF_A_HOST)
    count = sum(len(tries.allowed([Endpoint("11.22.33.44", 2000 + number)], 0.0)) for number in range(100))
    assert count == AT_ONE[0]
    assert tries.allowed([Endpoint("11.22.33.45", 2000)], 0.0)
