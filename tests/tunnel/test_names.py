"""Which server names a host answers to."""

from __future__ import annotations

import pytest

from hardline.identity import KeyHash
from hardline.tunnel.names import ServerNames

pytestmark = pytest.mark.pure

OURS = KeyHash.parse("a946e7a560289417a2711f5b9686624852dd469b")
OTHER = KeyHash.parse("00" * 20)
TODAY = 18705


@pytest.mark.parametrize("day", [TODAY - 1, TODAY, TODAY + 1])
def test_the_rolling_codes_of_yesterday_today_and_tomorrow_are_known(day):
    assert ServerNames([(OTHER, False), (OURS, False)]).find(OURS.rolling(day), TODAY) == OURS


@pytest.mark.parametrize("day", [TODAY - 2, TODAY + 2])
def test_older_and_later_codes_are_not(day):
    assert ServerNames([(OURS, False)]).find(OURS.rolling(day), TODAY) is None


def test_the_key_hash_itself_is_known_only_where_originals_are_served():
    assert ServerNames([(OURS, True)]).find(str(OURS), TODAY) == OURS
    assert ServerNames([(OURS, False)]).find(str(OURS), TODAY) is None


def test_the_table_follows_the_day():
    names = ServerNames([(OURS, False)])
    names.find("", TODAY)
    assert names.find(OURS.rolling(TODAY + 3), TODAY + 3) == OURS
    assert names.find(OURS.rolling(TODAY), TODAY + 3) is None


@pytest.mark.parametrize("name", ["", "x", str(OURS).upper(), f"{OURS}.localhost"])
def test_anything_else_is_unknown(name):
    assert ServerNames([(OURS, True)]).find(name, TODAY) is None
