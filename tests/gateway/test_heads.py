"""Heads as they pass a gateway: whose they are, what is taken from them, what is added."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.errors import PeerError
from hardline.gateway.answers import AnswerReader, for_client
from hardline.gateway.clients import client_of
from hardline.gateway.names import Elsewhere, Names, Place
from hardline.gateway.requests import Asker, behind_first, fields_of, first_line, upgrade_of
from hardline.http.head import HeadReader
from hardline.routes import Endpoint

pytestmark = pytest.mark.pure

NAMES = Names(["nas", "wiki"], ["example.org"])
STRANGER = Asker(Endpoint("192.0.2.7", 5012), "192.0.2.7", trusted=False)


def passed(text: str, asker: Asker = STRANGER, *, prefix: str = "") -> list[str]:
    raw = text.replace("\n", "\r\n").encode() + b"\r\n"
    head = HeadReader(32_768).feed(raw)
    assert head is not None
    fields = fields_of(raw)
    upgrade = upgrade_of(head, fields)
    behind = behind_first(head.host, fields, asker, prefix=prefix, upgrade=upgrade, dropped=())
    made = first_line(head, head.target) + behind
    assert made.endswith(b"\r\n\r\n")
    assert HeadReader(32_768).feed(made) is not None, "a parser to the letter takes it"
    return made.decode().split("\r\n")[:-2]


def answered(text: bytes, **how: object) -> list[bytes]:
    reader = AnswerReader()
    answer = reader.feed(text)
    assert answer is not None
    return for_client(answer, close=False, **how).split(b"\r\n")[:-2]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("host", "target", "place"),
    [
        ("nas.example.org", "/a?b", Place("/a?b", "nas")),
        ("NAS.Example.org.:8080", "/servers/wiki/", Place("/servers/wiki/", "nas")),
        ("example.org", "/servers/nas/a/b?c", Place("/a/b?c", "nas", "/servers/nas")),
        ("192.0.2.1:7080", "/servers/nas", Place("", "nas", "/servers/nas")),
        ("[::1]", "/", Place("/")),
        ("other.example.org", "/", None),
        ("a.nas.example.org", "/", None),
        ("example.org", "/servers/other/", None),
        ("example.org", "/servers/na%73/", None),
    ],
)
def test_a_request_leads_where_its_own_host_says(host, target, place):
    assert NAMES.place(host, target) == place


@pytest.mark.parametrize("host", ["evil.test", "nasexample.org", "example.org.evil.test", "a b", "", "x@example.org"])
def test_a_name_that_somebody_else_pointed_here_is_not_answered(host):
    with pytest.raises(Elsewhere):
        NAMES.place(host, "/servers/nas/")


def test_fields_of_one_connection_do_not_pass_and_others_keep_their_order():
    lines = passed(
        "GET / HTTP/1.1\nHost: nas.example.org\nA: 1\nConnection: X-Foo, close\nX-Foo: 1\nKeep-Alive: 5\nTE: gzip\n"
        "Proxy-Authorization: Basic x\nB: 2\nA: 3\n"
    )
    assert lines[:5] == ["GET / HTTP/1.1", "Host: nas.example.org", "A: 1", "B: 2", "A: 3"]
    assert lines[-1] == "Connection: keep-alive"
    assert not any(line.lower().startswith(("x-foo", "keep-alive", "te:", "proxy-")) for line in lines)


def test_forwarded_is_appended_and_what_only_a_proxy_may_say_is_taken_away():
    lines = passed(
        "GET / HTTP/1.1\nHost: h\nForwarded: for=1.1.1.1\nX-Forwarded-For: 1.1.1.1\nX-Forwarded-Proto: https\n"
        "X_Forwarded_For: 2.2.2.2\nRemote_User: root\nX-Forwarded-User: root\nX-Real-IP: 3.3.3.3\n"
    )
    assert 'Forwarded: for=1.1.1.1, for="192.0.2.7:5012";by=_hardline;host="h";proto=http' in lines
    assert "X-Forwarded-For: 1.1.1.1, 192.0.2.7" in lines
    assert "X-Forwarded-Proto: http" in lines
    assert not any("root" in line or "2.2.2.2" in line or "3.3.3.3" in line for line in lines)


def test_a_trusted_proxy_is_believed_what_it_says_of_the_way_to_it():
    proxy = Asker(Endpoint("127.0.0.1", 1), "192.0.2.7", trusted=True, user="anna")
    lines = passed("GET / HTTP/1.1\nHost: h\nX-Forwarded-Proto: https\nX-Forwarded-User: anna\n", proxy)
    assert "X-Forwarded-Proto: https" in lines
    assert "X-Forwarded-User: anna" in lines


def test_an_upgrade_passes_but_not_to_what_nobody_here_would_read():
    asked = "GET / HTTP/1.1\nHost: h\nConnection: Upgrade\nUpgrade: {}\n"
    assert passed(asked.format("websocket"))[-2:] == ["Connection: Upgrade", "Upgrade: websocket"]
    assert passed(asked.format("h2c"))[-1] == "Connection: keep-alive"


def test_a_client_is_whom_the_last_trusted_proxy_saw():
    trusted = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("10.0.0.0/8"))
    assert client_of("192.0.2.7", ["6.6.6.6"], trusted) == "192.0.2.7"
    assert client_of("127.0.0.1", ["6.6.6.6, 192.0.2.7", "10.1.1.1"], trusted) == "192.0.2.7"
    assert client_of("127.0.0.1", ["192.0.2.7, nonsense"], trusted) == "127.0.0.1"
    assert client_of("127.0.0.1", [], trusted) == "127.0.0.1"


def test_a_cookie_is_for_its_own_host_and_below_its_own_prefix():
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: a=b; Domain=example.org; Path=/x; Secure\r\n\r\n"
    assert b"Set-Cookie: a=b; Path=/x; Secure" in answered(answer)
    assert b"Set-Cookie: a=b; Path=/servers/nas/x; Secure" in answered(answer, prefix="/servers/nas")


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        (b"/b", b"/servers/nas/b"),
        (b"dir/", b"dir/"),
        (b"http://example.org/b", b"/servers/nas/b"),
        (b"https://elsewhere.test/b", b"https://elsewhere.test/b"),
        (b"//elsewhere.test/b", b"//elsewhere.test/b"),
    ],
)
def test_a_redirect_leads_through_the_prefix(said, seen):
    answer = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + said + b"\r\n\r\n"
    assert b"Location: " + seen in answered(answer, prefix="/servers/nas", hosts=["example.org"])


def test_on_a_shared_origin_nothing_of_a_service_runs_or_stays():
    answer = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: a=b\r\nClear-Site-Data: *\r\n"
        b"Access-Control-Allow-Origin: *\r\n"
        b"Service-Worker-Allowed: /\r\nContent-Security-Policy: default-src *\r\n\r\n"
    )
    lines = answered(answer, prefix="/servers/nas", shared=True)
    assert b"Content-Security-Policy: sandbox allow-downloads" in lines
    assert not any(line.lower().startswith((b"set-", b"clear-", b"access-", b"service-")) for line in lines)


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Content-Length: +5",
        b"A b: 1",
        b"A: \x00",
    ],
)
def test_an_answer_that_two_parsers_could_read_in_two_ways_is_none(fields):
    with pytest.raises(PeerError):
        AnswerReader().feed(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\n")


@given(st.binary(max_size=200), st.integers(0, 200))
def test_whatever_a_service_says_is_read_or_refused_however_it_is_cut(data, cut):
    def read(*pieces: bytes) -> object:
        reader = AnswerReader()
        try:
            for piece in pieces:
                if (answer := reader.feed(piece)) is not None:
                    return answer
        except PeerError:
            return None
        return reader.leftover

    whole = b"HTTP/1.1 200 OK\r\n" + data + b"\r\n\r\n"
    seen = read(whole)
    assert read(whole[:cut], whole[cut:]) == seen or seen is None
