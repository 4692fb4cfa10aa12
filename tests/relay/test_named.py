"""Services that are registered under their own names: by which server names they are found."""

from __future__ import annotations

import pytest

from hardline.identity import KeyHash
from hardline.relay.named import NOBODY, NamedServices

DAY = 20_778
ONE, TWO = KeyHash(bytes(range(20))), KeyHash(bytes(range(1, 21)))


def found_as(named: NamedServices, one: KeyHash, day: int = DAY) -> list[bool]:
    """Whether it is, by the codes of these days."""
    return [named.find(one.rolling(day + off), day) == str(one) for off in (-2, -1, 0, 1, 2)]


NEAR, NEVER = [False, True, True, True, False], [False] * 5


def test_who_comes_and_goes_is_found_as_long_as_he_is_here() -> None:
    named = NamedServices()
    named.add(ONE, plain=False)
    assert found_as(named, ONE) == NEAR
    named.add(TWO, plain=True)
    named.add(ONE, plain=True)
    assert (found_as(named, ONE), found_as(named, TWO)) == (NEAR, NEAR)
    assert found_as(named, TWO, DAY + 1) == NEAR
    named.discard(str(ONE))
    named.discard(str(ONE))
    assert (found_as(named, ONE, DAY + 1), found_as(named, TWO, DAY + 1)) == (NEVER, NEAR)
    named.add(ONE, plain=False)
    assert found_as(named, ONE, DAY + 1) == NEAR
    assert found_as(named, TWO) == NEAR, "a clock may go back"


def test_a_plain_name_is_answered_where_its_host_wants_it() -> None:
    named = NamedServices()
    named.add(ONE, plain=False)
    named.add(TWO, plain=True)
    assert named.find(str(ONE), DAY) == NOBODY
    assert named.find(str(TWO), DAY) == str(TWO)
    assert named.find("0" * 40, DAY) == "0" * 40


def test_one_who_comes_and_goes_does_not_cost_what_all_others_do(monkeypatch: pytest.MonkeyPatch) -> None:
    made, rolling = 0, KeyHash.rolling

    def counted(self: KeyHash, day: int) -> str:
        nonlocal made
        made += 1
        return rolling(self, day)

    monkeypatch.setattr(KeyHash, "rolling", counted)
    named = NamedServices()
    for number in range(500):
        named.add(KeyHash(number.to_bytes(20)), plain=False)
    named.find("0" * 40, DAY)
    made = 0
    for _ in range(100):
        named.add(ONE, plain=False)
        named.find("0" * 40, DAY)
        named.discard(str(ONE))
        named.find("0" * 40, DAY)
    assert made == 600
