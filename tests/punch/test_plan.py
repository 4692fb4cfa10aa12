"""Whom a try connects to: what the other side and a relay say is only their word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.addresses import Address, Way
from hardline.punch.messages import Punch
from hardline.punch.plan import MOST_KNOCKS, MOST_TARGETS, Ours, Patience, reversals, targets
from hardline.routes import Endpoint

pytestmark = pytest.mark.pure

BOTH = frozenset({4, 6})
WE, THEY = Endpoint("11.22.33.101", 40_022), Endpoint("11.22.33.102", 51_234)
SIX, OTHER_SIX = Endpoint("2a0e:b107::9", 52_000), Endpoint("2a0e:b107:0:1::9", 52_000)
NEAR = Endpoint("192.168.1.5", 40_022)
HERE, BESIDE = Ours(BOTH), Ours(BOTH, beside=True)


def attached(address: Address) -> Way:
    return Way.ATTACHED if address.is_private else Way.DEFAULT


def whom(theirs: Punch, ours: Ours = HERE) -> list[Endpoint]:
    return list(targets(theirs, ours, attached))


def test_by_ipv6_first_then_in_the_own_network_then_where_the_world_sees_them() -> None:
    theirs = Punch(1, at=(Endpoint(WE.host, 51_234), SIX), lan=(NEAR,))
    assert whom(theirs, BESIDE) == [SIX, NEAR, Endpoint(WE.host, 51_234)]


def test_a_private_address_counts_only_where_both_are_beside_each_other_and_it_is_attached() -> None:
    theirs = Punch(1, at=(Endpoint(WE.host, 51_234),), lan=(NEAR, Endpoint("192.168.1.6", 40_022)))
    assert NEAR in whom(theirs, BESIDE)
    assert len(whom(theirs, BESIDE)) == 2, "one of a network"
    assert NEAR not in whom(theirs), "that the other side says so is not enough"
    assert NEAR not in targets(theirs, BESIDE, lambda address: Way.DEFAULT)


@pytest.mark.parametrize(
    "bad",
    [
        *("192.168.1.5:40022", "10.0.0.1:40022", "100.64.0.1:40022", "127.0.0.1:40022", "224.0.0.1:40022"),
        *("0.0.0.0:40022", "[::1]:40022", "[fe80::1]:40022", "[fd00::1]:40022", "[::ffff:7f00:1]:40022"),
        *("[2002:7f00:1::1]:40022", "[64:ff9b::c0a8:101]:40022", "11.22.33.102:22", "11.22.33.102:25"),
    ],
)
def test_nothing_private_and_no_port_that_waits_for_others_is_connected_to(bad: str) -> None:
    assert whom(Punch(1, at=(Endpoint.parse(bad),))) == []
    assert reversals(Punch(1, open=(Endpoint.parse(bad),)), Endpoint.parse(bad), attached) == ()


def test_this_machine_itself_is_nobody_to_meet() -> None:
    def here(address: Address) -> Way:
        return Way.HERE

    assert targets(Punch(1, at=(THEY, SIX)), HERE, here) == ()
    assert reversals(Punch(1, open=(THEY,)), THEY, here) == ()


def test_443_is_a_port_that_others_may_name() -> None:
    assert whom(Punch(1, at=(Endpoint(THEY.host, 443),))) == [Endpoint(THEY.host, 443)]


def test_one_port_of_an_address_and_four_addresses() -> None:
    ports = tuple(Endpoint(THEY.host, port) for port in range(2000, 2008))
    assert whom(Punch(1, at=ports)) == [ports[0]]
    many = tuple(Endpoint(f"11.22.33.{number}", 5000) for number in range(1, 9))
    assert whom(Punch(1, at=many)) == list(many[:MOST_TARGETS])


def test_only_families_that_we_have_a_port_of() -> None:
    assert whom(Punch(1, at=(SIX, THEY)), Ours(frozenset({4}))) == [THEY]


def test_a_visitor_is_called_only_where_he_is_seen() -> None:
    there, elsewhere = Endpoint(THEY.host, 7008), Endpoint("11.22.33.150", 7008)
    assert reversals(Punch(1, open=(elsewhere, there)), THEY, attached) == (there,)
    assert reversals(Punch(1, open=(Endpoint("2a0e:b107::77", 7008), OTHER_SIX)), SIX, attached) == (
        Endpoint("2a0e:b107::77", 7008),
    )
    assert reversals(Punch(1, open=(SIX,)), THEY, attached) == ()


@given(st.lists(st.floats(0, 4), max_size=10), st.floats(0, 1))
def test_nobody_is_knocked_at_more_often_than_said(lasted: list[float], chance: float) -> None:
    patience, knocks = Patience(), 0
    for after in lasted:
        if patience.left < 2:
            break
        knocks += 1 + min(int(after), patience.left - 1)  # the kernel's own repetitions, of which it is told how many
        patience.refused(after)
        assert 0 <= patience.pause(chance) <= 0.64
    assert knocks <= MOST_KNOCKS
