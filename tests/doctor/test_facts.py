"""Facts go over a socket and come back; small rules that facts are made by."""

from __future__ import annotations

import json
import re
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.doctor import facts, guessable
from hardline.doctor.clocks import at_least_apart, in_words
from hardline.doctor.examine import is_settled
from hardline.doctor.facts import Dht, Entry, Lan, Other, Resolving, read, written
from hardline.doctor.session import unit_of
from tests.doctor.healthy import ROUTER, TODAY, healthy, status

pytestmark = pytest.mark.pure

KINDS = [one for one in vars(facts).values() if is_dataclass(one) and one.__module__ == facts.__name__]


@pytest.mark.parametrize("name", [one.name for one in fields(facts.Facts) if one.name not in ("installed", "status")])
def test_what_is_written_is_read_back(name: str):
    fact = getattr(healthy(), name)
    kind = tuple[type(fact[0]), ...] if isinstance(fact, tuple) and fact else type(fact)
    if fact == ():
        return
    assert read(kind, json.loads(json.dumps(written(fact)))) == fact


@given(st.data())
def test_anything_is_read_or_refused(data: st.DataObject):
    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
        lambda deeper: st.lists(deeper, max_size=3) | st.dictionaries(st.sampled_from(NAMES), deeper, max_size=4),
    )
    kind = data.draw(st.sampled_from([Lan, Dht, Entry, Other, Resolving]))
    try:
        found = read(kind, data.draw(anything))
    except ValueError:
        return
    assert read(kind, json.loads(json.dumps(written(found)))) == found


NAMES = [one.name for kind in (Lan, Dht, Entry, Other, Resolving) for one in fields(kind)]


def test_a_later_version_may_say_more_and_an_earlier_one_less():
    assert read(Other, {"source": "a", "height": 7}) == Other("a")
    with pytest.raises(ValueError, match="source is missing"):
        read(Other, {})
    with pytest.raises(ValueError, match="str was expected"):
        read(Other, {"source": 1})


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        (
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/hardlined.service",
            ("user", "hardlined.service"),
        ),
        ("0::/system.slice/hardlined.service", ("system", "hardlined.service")),
        ("12:pids:/x\n1:name=systemd:/system.slice/hardline.service\n", ("system", "hardline.service")),
        ("0::/user.slice/user-1000.slice/session-3.scope", ("", "")),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.gnome.Terminal.slice/v.scope", ("", "")),
        ("0::/system.slice/ssh.service", ("", "")),
        ("0::/system.slice/containerd.service/hardlined.service/child", ("", "")),
        ("0::/", ("", "")),
        ("", ("", "")),
        ("nonsense", ("", "")),
    ],
)
def test_whose_systemd_keeps_it_is_told_by_its_cgroup(cgroup: str, unit: tuple[str, str]):
    assert unit_of(cgroup) == unit


@pytest.mark.parametrize(
    ("day", "hour", "least"),
    [(0, 5, 0), (1, 12, 12), (1, 23, 1), (2, 12, 36), (-1, 12, -12), (-1, 1, -1), (-2, 1, -25)],
)
def test_a_day_says_how_far_off_a_clock_is_at_the_least(day: int, hour: int, least: float):
    assert at_least_apart(TODAY + day, TODAY * 86_400 + hour * 3600) == pytest.approx(least)


@given(st.floats(0, 86_399), st.floats(-400, 400))
def test_it_is_never_further_off_than_that(second: float, hours: float):
    now = TODAY * 86_400 + second
    least = at_least_apart(int((now + hours * 3600) // 86_400), now)
    assert abs(least) <= abs(hours) + 1e-6
    assert least * hours >= 0
    assert abs(hours) - abs(least) <= 24.001


def test_hours_and_days_are_said_in_few_letters():
    assert [in_words(one) for one in (1.2, 71.9, 72, 480_000)] == ["1 h", "72 h", "3 d", "20000 d"]


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("abc", "one sign"),
        ("xk7", "3 signs"),
        ("8391527", "7 signs"),
        ("password1", "common"),
        ("Schalke04", "common"),
        ("photos", "name"),
        ("photos2024", "name"),
        ("aaaaaaaaaaaa", "one sign"),
        ("4321", "one sign"),
        ("zvkqp", "5 signs"),
    ],
)
def test_what_everybody_would_guess_is_guessable(password: str, why: str):
    assert why in guessable.why(password, ("photos", "Photos"))


@pytest.mark.parametrize("password", ["tk3v9x", "correcthorse", "zvkqpmrt", "8391527604418"])
def test_what_takes_a_year_is_not(password: str):
    assert guessable.why(password, ("photos",)) == ""


@given(st.text(max_size=30))
def test_of_any_password_no_more_is_told_than_why(password: str):
    told = r"(it is a common one|it is the name|it is one sign after the other|\d+ signs?|)"
    assert re.fullmatch(told, guessable.why(password))


def test_a_node_is_settled_once_routers_and_relays_have_answered():
    def of(**one: Any) -> bool:
        return is_settled(status(relays__used=[{**status()["relays"]["used"][0], **one}]))

    assert is_settled(status())
    assert is_settled(status(outside__upnp=None))
    assert not is_settled(status(outside__upnp={"routers": [ROUTER], "searched_s": None}))
    assert not of(state="connecting")
    assert of(state="connecting", problem="connection refused")
    assert not of(tested=1)
    assert of(state="idle", tested=0)
