"""A report can be shown to anybody: what is in it of keys, people and addresses tells nobody anything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.doctor.report import Hidden, report, without_secrets
from hardline.doctor.rows import fail, ok
from tests.doctor.healthy import KEY

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"http://{KEY}.localhost:7009/", "http://bb89…2ec3.localhost:7009/"),
        (f"http://secret-{KEY}.localhost:7009/", "http://bb89…2ec3.localhost:7009/"),
        (f"s~'!$&*()+,;=t-{KEY.upper()} x", "BB89…2EC3 x"),
        (f"1.2.3.4:7008#{KEY}", "1.2.3.x:7008#bb89…2ec3"),
        (f"{KEY}{KEY}", f"{KEY}{KEY}"),  # a digest of another kind
        ("/home/ada/photos/x.ini:3: no", "~/photos/x.ini:3: no"),
        ("/Users/Ada/x and /root/y", "~/x and ~/y"),
        ("/rooted /homes/ada", "/rooted /homes/ada"),
        ("84.112.9.14:7008 192.168.1.20 127.0.0.1", "84.112.9.x:7008 192.168.1.20 127.0.0.1"),
        ("[2a02:8109:9a80::20]:7008", "[2a02:8109:9a80::x]:7008"),
        ("fe80::c882:a0ff:fee9:61c7%eth0", "fe80::c882:a0ff:fee9:61c7%eth0"),
        ("fd77:0:0:1::10", "fd77:0:0:1::10"),
        ("100.64.3.2", "100.64.3.2"),
        ("at 10:12:13 it ended", "at 10:12:13 it ended"),
        ("hardline 1.2.3.4.5", "hardline 1.2.3.4.5"),
        ("300.1.2.3", "300.1.2.3"),
    ],
)
def test_what_only_its_owner_may_know_is_left_out(text: str, told: str):
    assert without_secrets(text) == told


def test_names_are_numbered_and_only_where_a_row_says_that_they_are_names():
    rows = [
        fail("services", "other: nothing answers at localhost:1", private=("other", "a")),
        ok("other hardline", "2 other nodes"),
        fail("exposure", "other, and others: a word", private=("other",)),
    ]
    text = report([("hardline", "1.2")], rows)
    assert text.splitlines() == [
        "hardline: 1.2",
        "",
        "fail         services: <name 1>: nothing answers at localhost:1",
        "ok           other hardline: 2 other nodes",
        "fail         exposure: <name 1>, and others: a word",
    ]


@given(st.text(), st.lists(st.text()))
def test_anything_can_be_hidden(text: str, words: list[str]):
    told = Hidden().hide(text, words)
    assert (told == text) or "<name " in told


@given(st.text(alphabet="0123456789abcdef", min_size=40, max_size=40), st.text(alphabet="ab-~=.:/ ", max_size=30))
def test_no_key_hash_is_ever_left(key: str, before: str):
    assert key not in without_secrets(f"{before}.{key} {key}/")
