"""Handles: the same after every start, and different for everything that must not be told apart by them."""

from __future__ import annotations

import pytest

from hardline.identity import KeyHash
from hardline.relay.handles import PERIOD, handle_of, make_handle, make_port_name, periods
from hardline.relay.proofs import check_registration, prove_registration

pytestmark = pytest.mark.pure

RELAY, OTHER = KeyHash(bytes(20)), KeyHash(bytes([1] * 20))
KEY = b"-----BEGIN PRIVATE KEY-----\nan example\n-----END PRIVATE KEY-----\n"
EXPORTER = bytes(range(32))


def test_it_is_the_same_for_the_same_and_another_one_for_all_else() -> None:
    first = make_handle(KEY, "host", RELAY, 700)
    assert handle_of(make_handle(KEY, "host", RELAY, 700)) == handle_of(first)
    others = [
        make_handle(KEY + b"x", "host", RELAY, 700),
        make_handle(KEY, "hos", RELAY, 700),
        make_handle(KEY, "host", OTHER, 700),
        make_handle(KEY, "host", RELAY, 701),
    ]
    assert len({handle_of(one) for one in (first, *others)}) == 5


def test_who_made_it_can_register_it() -> None:
    prover = make_handle(KEY, "host", RELAY, 700)
    assert str(check_registration(prove_registration(prover, EXPORTER), EXPORTER)) == handle_of(prover)


def test_one_is_honoured_for_as_long_again_as_it_is_the_newest() -> None:
    newest = [periods(day)[0] for day in range(3 * PERIOD)]
    assert newest == [0] * PERIOD + [1] * PERIOD + [2] * PERIOD
    assert {day for day in range(5 * PERIOD) if 1 in periods(day)} == set(range(PERIOD, 3 * PERIOD))
    assert periods(0) == (0,)


def test_the_name_of_a_port_is_another_one_and_lasts() -> None:
    ours = make_port_name(KEY, "host", RELAY)
    assert handle_of(make_port_name(KEY, "host", RELAY)) == handle_of(ours)
    assert handle_of(make_port_name(KEY, "host", OTHER)) != handle_of(ours)
    assert handle_of(make_port_name(KEY, "other", RELAY)) != handle_of(ours)
    assert handle_of(ours) not in {handle_of(make_handle(KEY, "host", RELAY, period)) for period in range(3)}
    assert str(check_registration(prove_registration(ours, EXPORTER), EXPORTER)) == handle_of(ours)
