"""What was found a moment ago: believed for a moment, and never against what is known better."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hardline.cache.recent import TRUST, Recent


def found(recent: Recent[str], key: str, value: str, now: float = 0.0) -> None:
    with recent.looking(key, now) as keep:
        keep(value)


def test_what_was_found_is_known_for_a_moment():
    recent = Recent(len)
    found(recent, "a", "x", now=5.0)
    assert recent.get("a", 5.0) == "x"
    assert recent.get("a", 5.0 + TRUST) is None
    assert recent.get("b", 5.0) is None


def test_what_changed_is_looked_for_again():
    recent = Recent(len)
    found(recent, "a", "x")
    recent.drop("a")
    assert recent.get("a", 0.0) is None


def test_what_changed_while_somebody_looked_is_not_believed():
    recent = Recent(len)
    with recent.looking("a", 0.0) as keep:
        recent.drop("a")
        keep("old")
    assert recent.get("a", 0.0) is None
    found(recent, "a", "new")
    assert recent.get("a", 0.0) == "new"


def test_somebody_who_looks_for_something_else_makes_no_difference():
    recent = Recent(len)
    with recent.looking("b", 0.0), recent.looking("a", 0.0) as keep:
        recent.drop("b")
        keep("x")
    assert recent.get("a", 0.0) == "x"


@given(st.lists(st.tuples(st.text(max_size=3), st.integers(0, 100_000)), max_size=300))
def test_it_never_grows_beyond_its_limit(values):
    recent: Recent[int] = Recent(lambda size: size)
    for key, size in values:
        with recent.looking(key, 0.0) as keep:
            keep(size)
    kept = [recent.get(key, 0.0) or 0 for key in {key for key, _ in values}]
    assert sum(kept) <= 8 << 20


def test_there_are_never_too_many():
    recent = Recent(len)
    for number in range(10_000):
        found(recent, str(number), "")
    assert sum(recent.get(str(number), 0.0) is not None for number in range(10_000)) == 4096
    assert recent.get("9999", 0.0) == ""


def test_something_huge_is_not_kept():
    recent: Recent[int] = Recent(lambda size: size)
    with recent.looking("a", 0.0) as keep:
        keep(5 << 20)
    assert recent.get("a", 0.0) is None
