"""When a relay is asked to dial its host, and at which port."""

from __future__ import annotations

import pytest

from hardline.relay.askings import (
    AGAIN_NEEDED,
    AGAIN_NOT_NEEDED,
    AT_LEAST,
    SETTLES,
    Askings,
    port_to_ask,
)
from hardline.routes import Endpoint

pytestmark = pytest.mark.pure


def asked(needed: bool, at: float = 1000.0) -> Askings:
    askings = Askings()
    askings.ask(at)
    askings.needed = needed
    return askings


def test_at_first_it_is_asked_at_once():
    askings = Askings()
    assert (askings.due, askings.connects, askings.needed) == (0.0, 0.0, None)
    askings.change(50.0)
    assert (askings.due, askings.connects) == (0.0, 0.0)


def test_one_that_is_needed_is_connected_with_and_asked_again():
    askings = asked(True)
    assert (askings.connects, askings.due) == (0.0, 1000 + AGAIN_NEEDED)


def test_one_that_is_not_is_connected_with_to_ask_again():
    askings = asked(False)
    assert askings.connects == askings.due == 1000 + AGAIN_NOT_NEEDED


@pytest.mark.parametrize("needed", [True, False])
def test_after_a_change_it_is_asked_soon_but_never_more_often_than_a_relay_dials(needed):
    askings = asked(needed)
    askings.change(1010.0)
    assert askings.due == 1000 + AT_LEAST
    assert askings.connects == (0.0 if needed else 1010 + SETTLES)
    askings.change(1200.0)
    assert askings.due == 1200 + SETTLES
    askings.ask(1203.0)
    assert askings.due > 1203 + AT_LEAST


def test_a_change_while_it_is_asked_is_not_forgotten():
    askings = Askings()
    askings.ask(1000.0)
    askings.change(1001.0)
    askings.needed = False
    assert askings.due == 1000 + AT_LEAST


@pytest.mark.parametrize(
    ("told", "port"),
    [
        ([], 7008),
        (["[2a0e:b107:77::5]:9000"], 7008),
        (["[2a0e:b107:77::5]:9000", "11.22.33.1:4000"], 4000),
        (["11.22.33.1:4000", "11.22.33.44:5000"], 5000),
        (["ann.example:6000", "[2a0e:b107:77::5]:9000"], 6000),
    ],
)
def test_it_is_dialled_where_the_world_reaches_it_as_far_as_is_known(told, port):
    assert port_to_ask([Endpoint.parse(one) for one in told], "11.22.33.44", 7008) == port
