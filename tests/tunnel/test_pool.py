"""Which candidates may lead to another host with the same certificate, and when it is time to look."""

from __future__ import annotations

import pytest

from hardline.routes import Candidate, Code, Endpoint, FoundBy, Handle, PathKind, Plain, ServerName, Trust, Via
from hardline.tunnel.pool import ALONE, FAR, LATELY, NEAR, SOON, Held, Pool, place_of, worth_a_dial

pytestmark = pytest.mark.pure

BY = FoundBy("test", Trust.SIGNED)
LAN, DIRECT, RELAYED = PathKind.LAN, PathKind.DIRECT, PathKind.RELAYED


def at(text: str, kind: PathKind, name: ServerName | None = None, instance: str = "") -> Candidate:
    return Candidate(Endpoint.parse(text), kind, BY, name or Code(), instance)


HERE = Held(
    at("192.168.1.9:7008", LAN),
    "a",
    frozenset({Endpoint("203.0.113.9", 7008), Via(Endpoint("relay.example", 443), "ab" * 20)}),
)
BY_RELAY = Held(at("relay.example:443", RELAYED, Handle("ab" * 20)), "a")
THERE = Held(at("203.0.113.9:7008", DIRECT), "b")


@pytest.mark.parametrize(
    ("candidate", "held", "worth"),
    [
        (at("192.168.1.9:7008", LAN), [HERE], False),
        (at("192.168.1.9:7018", LAN), [HERE], True),
        (at("192.168.1.10:7008", LAN), [HERE], True),
        # One host answers by each of its addresses: another one answers by the same family as the first, too.
        (at("[fd00::9]:7008", LAN), [HERE], False),
        (at("[fe80::9%eth0]:7008", LAN), [Held(at("[fe80::7%eth0]:7008", LAN), "a")], True),
        (at("[fe80::9%eth1]:7008", LAN), [Held(at("[fe80::7%eth0]:7008", LAN), "a")], False),
        # What it says itself that it is.
        (at("203.0.113.9:7008", DIRECT), [HERE], False),
        (at("203.0.113.10:7008", DIRECT), [HERE], True),
        (at("relay.example:443", RELAYED, Handle("ab" * 20)), [HERE], False),
        (at("relay.example:443", RELAYED, Handle("cd" * 20)), [HERE], True),
        # What a record says.
        (at("203.0.113.10:7008", DIRECT, instance="a"), [HERE], False),
        (at("203.0.113.10:7008", DIRECT, instance="b"), [HERE], True),
        (at("203.0.113.10:7008", DIRECT, instance="b"), [HERE, THERE], False),
        # A better way to one that is held; where all are by relays, that is looked for elsewhere.
        (at("203.0.113.10:7008", DIRECT, instance="a"), [BY_RELAY, THERE], True),
        (at("203.0.113.10:7008", DIRECT), [BY_RELAY], False),
        (at("203.0.113.10:7008", DIRECT, instance="b"), [BY_RELAY], True),
        # A relay that knows the service itself shares its visitors out.
        (at("relay.example:443", RELAYED), [HERE], True),
        (at("relay.example:443", RELAYED), [Held(at("relay.example:443", RELAYED), "a")], True),
        # An original says no hello.
        (at("192.168.1.10:7008", LAN, Plain()), [HERE], False),
    ],
)
def test_what_may_be_another_host(candidate: Candidate, held: list[Held], worth: bool) -> None:
    assert worth_a_dial([candidate], held, {}) == [candidate] * worth


def test_who_answered_at_a_place_is_known_as_long_as_it_is_there() -> None:
    one = at("192.168.1.10:7008", LAN)
    known = {place_of(one): "b"}
    assert worth_a_dial([one], [HERE, Held(at("192.168.1.11:7008", LAN), "b")], known) == []
    assert worth_a_dial([one], [HERE], known) == [one]


def test_a_place_is_tried_once_by_the_best_kind_and_better_kinds_come_first() -> None:
    far, near = at("192.168.1.10:7008", DIRECT), at("192.168.1.10:7008", LAN)
    relay = at("relay.example:443", RELAYED)
    assert worth_a_dial([relay, far, near, near], [HERE], {}) == [near, relay]


def test_a_host_that_is_alone_is_looked_beside_once_in_a_long_while() -> None:
    pool = Pool()
    pool.seen("a", 0)
    assert pool.pause(0, 0, near=True) == SOON[0]
    pool.looked(2)
    assert pool.pause(2, 1, near=True) == ALONE
    assert pool.pause(602, 0, near=True) == ALONE - 600
    assert pool.pause(10 * ALONE, 1, near=True) == SOON[0]


def test_where_there_were_several_lately_it_is_looked_soon_and_then_now_and_then() -> None:
    pool = Pool()
    pool.looked(0)
    for instance in "ab":
        pool.seen(instance, 0)
    assert [pool.pause(10, looks, near=True) for looks in range(5)] == [*SOON, NEAR, NEAR]
    assert pool.pause(10, 9, near=False) == FAR
    pool.seen("a", LATELY)
    pool.looked(LATELY)
    assert pool.pause(LATELY, 0, near=True) == ALONE


def test_who_does_not_let_us_in_is_left_alone_for_a_while() -> None:
    pool, one = Pool(), at("192.168.1.10:7008", LAN)
    assert pool.worth_a_dial([one], [HERE], 0) == [one]
    pool.refused(one, 0)
    assert pool.worth_a_dial([one], [HERE], ALONE - 1) == []
    assert pool.worth_a_dial([one], [HERE], ALONE) == [one]


def test_what_is_kept_is_bounded() -> None:
    pool = Pool()
    for number in range(1000):
        pool.seen(str(number), number)
        pool.answered(at(f"192.168.1.9:{2000 + number}", LAN), str(number))
        pool.refused(at(f"192.168.1.9:{2000 + number}", LAN), number)
    assert len(pool.at) <= 16
    assert len(pool._refused) <= 16
    assert len(pool._seen) <= 16
