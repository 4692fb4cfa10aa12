"""Who gets through a door for phones, as far as that needs no network."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.gateway.names import Elsewhere
from hardline.gateway.phone import LETTERS, OnePhone, host_name
from hardline.gateway.requests import Asker, behind_first
from hardline.identity import Label
from hardline.routes import Endpoint

pytestmark = pytest.mark.pure

LABEL = Label.parse("bb89bb334524f65f872eb6c1fc21edd0f0c42ec3")


@given(st.text(max_size=60))
def test_any_title_makes_a_host_name_that_tells_nothing_of_the_key(title):
    name = host_name(title, LABEL)
    assert len(name) <= 63
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert not name.endswith(str(LABEL)[:4])
    assert host_name(title, LABEL) == name


def test_the_letters_of_a_code_are_not_taken_for_each_other():
    assert not set("O0I1") & set(LETTERS)
    assert len(set(LETTERS)) == len(LETTERS) == 32


def test_a_door_has_one_name_and_one_address_at_a_time():
    by_address = True
    door = OnePhone("phone", "nas-4f1c", lambda: by_address)
    assert door.place("nas-4f1c.local:7010", "/a").target == "/a"
    assert door.place("NAS-4f1c.local", "/").name == "phone"
    assert door.place("192.168.1.5:7010", "/").name == "phone"
    for host in ("evil.example", "localhost", "other.local", "x.nas-4f1c.local", "bb89.localhost"):
        with pytest.raises(Elsewhere):
            door.place(host, "/")
    by_address = False
    with pytest.raises(Elsewhere, match="another door"):
        door.place("192.168.1.5:7010", "/")
    assert door.place("nas-4f1c.local", "/").name == "phone"


@pytest.mark.parametrize(
    ("line", "left"),
    [
        (b"Cookie: hardline-phone-1=x", []),
        (b"Cookie: a=1; hardline-phone-1=x; b=2", [b"Cookie: a=1; b=2"]),
        (b"cookie:hardline-phone-1=x;c=3", [b"cookie:c=3"]),
        (b"Cookie: a=hardline-phone-1", [b"Cookie: a=hardline-phone-1"]),
        (b"X-Cookie: hardline-phone-1=x", [b"X-Cookie: hardline-phone-1=x"]),
    ],
)
def test_its_cookie_goes_no_further(line, left):
    asker = Asker(Endpoint("192.168.1.9", 5), "192.168.1.9", False, hides=b"hardline-phone-")
    fields = [(line.partition(b":")[0].lower(), line)]
    head = behind_first("h", fields, asker, prefix="", upgrade=b"", dropped=())
    assert [one for one in head.split(b"\r\n") if b"ookie" in one] == left
