"""Heads as they pass the port of a warm link: cleaned of what belongs to one connection, and else as they came."""

from __future__ import annotations

import pytest

from hardline.errors import AccessRefused, ConnectionLost, HardlineError, PeerError
from hardline.gateway.answers import AnswerReader, for_client
from hardline.gateway.names import Elsewhere, OneService, Place
from hardline.gateway.pages import why_not
from hardline.gateway.requests import Asker, Tells, behind_first, fields_of, first_line
from hardline.http.head import HeadReader
from hardline.identity import KeyHash
from hardline.routes import Endpoint, NoRoute
from hardline.tunnel.down import LinkDown

pytestmark = pytest.mark.pure

ONE = OneService("office", ["app.example.org"])
AT = Endpoint("127.0.0.1", 5012)
TARGET = KeyHash.parse("ab" * 20)


def passed(text: str, tells: Tells) -> list[str]:
    raw = text.replace("\n", "\r\n").encode() + b"\r\n"
    head = HeadReader(32_768).feed(raw)
    assert head is not None
    asker = Asker(AT, AT.host, trusted=False, tells=tells)
    behind = behind_first(head.host, fields_of(raw), asker, prefix="", upgrade=b"", dropped=())
    made = first_line(head, head.target) + behind
    return made.decode().split("\r\n")[:-2]


@pytest.mark.parametrize(
    "host", ["localhost:8080", "127.0.0.1:8080", "[::1]", "10.1.1.1", "a.localhost", "APP.example.org."]
)
def test_every_path_leads_to_the_one_service(host):
    assert ONE.place(host, "/servers/x?y") == Place("/servers/x?y", "office")


@pytest.mark.parametrize("host", ["evil.test", "example.org", "x.app.example.org", "localhost.evil.test", "", "a b"])
def test_a_name_that_somebody_else_pointed_here_is_not_answered(host):
    with pytest.raises(Elsewhere):
        ONE.place(host, "/")


def test_any_name_is_answered_where_the_owner_wants_that():
    assert OneService("office", ["*"]).place("some.test", "/").name == "office"


ASKED = (
    "GET / HTTP/1.1\nHost: h\nA: 1\nConnection: X-Foo\nX-Foo: 1\nTE: gzip\nB: 2\nForwarded: for=1.1.1.1\n"
    "X-Forwarded-For: 1.1.1.1\nX-Forwarded-User: anna\nContent_Length: 7\nA: 3\n"
)


def test_who_asks_is_left_as_it_came():
    assert passed(ASKED, Tells.NOTHING) == [
        *("GET / HTTP/1.1", "Host: h", "A: 1", "B: 2", "Forwarded: for=1.1.1.1"),
        *("X-Forwarded-For: 1.1.1.1", "X-Forwarded-User: anna", "A: 3", "Connection: keep-alive"),
    ]


def test_or_is_one_element_more():
    assert passed(ASKED, Tells.FORWARDED) == [
        *("GET / HTTP/1.1", "Host: h", "A: 1", "B: 2", "X-Forwarded-For: 1.1.1.1", "X-Forwarded-User: anna", "A: 3"),
        'Forwarded: for=1.1.1.1, for="127.0.0.1:5012";by=_hardline;host="h";proto=http',
        "Connection: keep-alive",
    ]


def test_a_cookie_keeps_its_domain():
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: a=b; Domain=example.org\r\n\r\n"
    answer = AnswerReader().feed(said)
    assert answer is not None
    assert b"Set-Cookie: a=b; Domain=example.org\r\n" in for_client(answer, close=False, domains=True)


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (NoRoute(TARGET, ()), "cannot be reached"),
        (ConnectionLost(f"{TARGET} is secret"), "broke"),
        (AccessRefused("x"), "does not let this node in"),
        (PeerError("x"), "does not answer as it should"),
    ],
)
def test_a_page_says_why_a_link_is_down_and_nothing_that_only_its_owner_may_read(cause: HardlineError, words: str):
    page = why_not("office", LinkDown(TARGET, cause))
    assert page.status == 503
    assert page.text.startswith("office is down: ")
    assert words in page.text
    assert str(TARGET) not in page.text
