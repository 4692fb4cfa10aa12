"""Who gets through a door for phones, as far as that needs no network."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.discovery.interfaces import InterfaceAddress
from hardline.gateway.judging import Asked, Refused
from hardline.gateway.names import Elsewhere
from hardline.gateway.phone import LETTERS, Code, OnePhone, host_name
from hardline.gateway.requests import Asker, behind_first, fields_of
from hardline.http.head import read_head
from hardline.identity import Label
from hardline.node import phones as doors
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


def asked(target: str, cookie: bytes = b"") -> Asked:
    raw = f"GET {target} HTTP/1.1\r\nHost: 192.168.1.5\r\n".encode() + cookie + b"\r\n"
    head = read_head(raw, 0, len(raw))
    return Asked(head, SimpleNamespace(fields=fields_of(raw)), None, None, None, 0.0)  # type: ignore[arg-type]


def test_the_same_guess_again_is_no_other_one():
    closed = list[bool]()
    code = Code("K7QX2M", "of the cookie", 60.0, lambda: closed.append(True))
    for _ in range(20):  # a page of an earlier door asks for what it needs every few seconds
        for path in ("/assets", "/ASSETS/", "/assets?1", "/health"):
            with pytest.raises(Refused):
                code.judge(asked(path))
    assert closed == []
    with pytest.raises(Refused) as way_on:
        code.judge(asked("/k7qx2m"))
    assert way_on.value.page.status == 303
    code.judge(asked("/", f"Cookie: {code.cookie}=of the cookie\r\n".encode()))
    for cookie in (b"\xff\xfe", b"", b"of the cookiE"):
        with pytest.raises(Refused):
            code.judge(asked("/", f"Cookie: {code.cookie}=".encode() + cookie + b"\r\n"))
    for path in ("/AAAAAA", "/AAAAAB", "/AAAAAC"):
        with pytest.raises(Refused):
            code.judge(asked(path))
    assert closed == [True]
    with pytest.raises(Refused):
        code.judge(asked("/K7QX2M"))


def test_nobody_without_a_code_is_told_a_name():
    with pytest.raises(Elsewhere) as refused:
        OnePhone("phone", "my-diary-4f1c", lambda: False).place("192.168.1.5", "/")
    assert "diary" not in refused.value.message


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


class Listening:
    """In place of a listener, whose network no test has."""

    port = 7010

    async def aclose(self) -> None:
        await asyncio.sleep(0)


def test_two_who_open_a_door_at_once_have_one(tmp_path, monkeypatch):
    async def listen(*_: object) -> list[Listening]:
        await asyncio.sleep(0)
        return [Listening()]

    monkeypatch.setattr(doors, "_listen", listen)

    async def story() -> None:
        here = [InterfaceAddress("eth0", 1, "192.168.7.1", 24)]
        phones = doors.Phones(None, None, tmp_path, lambda: here, lambda *_: None, lambda: None)  # type: ignore[arg-type]
        one, other = await asyncio.gather(*(phones.open(LABEL, "nas", 60.0) for _ in range(2)))
        assert (phones.doors, one.why) == ([other], "it was closed")
        assert await phones.close(LABEL)
        assert phones.doors == []
        await phones.aclose()

    asyncio.run(story())
