"""What two parsers read in two ways is refused before the service hears a byte, or means there what it means here.

The service keeps every byte that it gets, so what was smuggled would be seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.gateway.recorder import OK, Recorder, running_recorder
from tests.gateway.town import Town, settings
from tests.support.node import Node, free_port

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: nas.example.org\r\n\r\n"


@dataclass
class Wired:
    """A gateway whose service `nas` is the recorder, and `wiki` another one."""

    town: Town
    recorder: Recorder

    def status(self, request: bytes) -> bytes:
        return self.town.first_line(request).partition(b" ")[2][:3]


@pytest.fixture(scope="module")
def gate(town: Town, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wired]:
    with running_recorder() as recorder:
        town.host.share("recorded", recorder.port)
        port = free_port()
        sections = {"nas": f"label = {town.host.label('recorded')}", "wiki": town.sections["wiki"]}
        directory: Path = tmp_path_factory.mktemp("wired")
        with Node(directory, settings=settings(port, sections, "head_timeout = 2 s")) as gateway:
            yield Wired(Town(port, town.host, gateway, town.labels, town.origin, sections), recorder)


@pytest.fixture
def wired(gate: Wired) -> Wired:
    gate.recorder.reset()
    return gate


def post(lines: bytes, body: bytes = b"", target: bytes = b"/") -> bytes:
    return b"POST " + target + b" HTTP/1.1\r\nHost: nas.example.org\r\n" + lines + b"\r\n\r\n" + body


REFUSED = {
    # Two lengths.
    "length and chunks": post(b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"0\r\n\r\n" + SMUGGLED),
    "chunks and length": post(b"Transfer-Encoding: chunked\r\nContent-Length: 5", b"0\r\n\r\n" + SMUGGLED),
    "length twice": post(b"Content-Length: 5\r\nContent-Length: 0", b"12345"),
    "lengths in a list": post(b"Content-Length: 0, 5", b"12345"),
    "length with a sign": post(b"Content-Length: +5", b"12345"),
    "negative length": post(b"Content-Length: -5", b"12345"),
    "length in hex": post(b"Content-Length: 0x5", b"12345"),
    "length with an underscore": post(b"Content-Length: 1_0", b"1234567890"),
    "empty length": post(b"Content-Length:", SMUGGLED),
    "length of a vertical tab": post(b"Content-Length: \x0b5", b"12345"),
    "length that is too long": post(b"Content-Length: 18446744073709551617", b"1"),
    # A coding that only some take for chunked.
    "other coding": post(b"Transfer-Encoding: gzip, chunked", b"0\r\n\r\n"),
    "chunked and more": post(b"Transfer-Encoding: chunked, identity", b"0\r\n\r\n" + SMUGGLED),
    "chunked twice": post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", b"0\r\n\r\n"),
    "nearly chunked": post(b"Transfer-Encoding: xchunked", SMUGGLED),
    "chunked in quotes": post(b'Transfer-Encoding: "chunked"', b"0\r\n\r\n"),
    "identity": post(b"Transfer-Encoding: identity", SMUGGLED),
    "coding behind a vertical tab": post(b"Transfer-Encoding: \x0bchunked", b"0\r\n\r\n"),
    "chunked in HTTP/1.0": b"POST / HTTP/1.0\r\nHost: nas.example.org\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    # Lines.
    "space before the colon": post(b"Transfer-Encoding : chunked", b"0\r\n\r\n"),
    "folded coding": post(b"Transfer-Encoding:\r\n chunked", b"0\r\n\r\n"),
    "folded line": post(b"X: a\r\n\tContent-Length: 5"),
    "folded first field": b"GET / HTTP/1.1\r\n Host: nas.example.org\r\n\r\n",
    "bare line feed": b"GET / HTTP/1.1\nHost: nas.example.org\n\n",
    "one bare line feed": post(b"X: a\nTransfer-Encoding: chunked", b"0\r\n\r\n"),
    "bare carriage return": post(b"X: a\rTransfer-Encoding: chunked"),
    "zero byte": post(b"X: a\0b"),
    "field without a colon": post(b"X"),
    "field without a name": post(b": a"),
    "name with a space": post(b"X Y: a"),
    # First lines.
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\nHost: nas.example.org\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "small letters": b"GET / http/1.1\r\nHost: nas.example.org\r\n\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\nHost: nas.example.org\r\n\r\n",
    "a tab": b"GET\t/ HTTP/1.1\r\nHost: nas.example.org\r\n\r\n",
    "space in the target": b"GET /a b HTTP/1.1\r\nHost: nas.example.org\r\n\r\n",
    "no path": b"GET nas.example.org HTTP/1.1\r\nHost: nas.example.org\r\n\r\n",
    # Hosts.
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "the same Host twice": b"GET / HTTP/1.1\r\nHost: nas.example.org\r\nHost: nas.example.org\r\n\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\nHost: nas.example.org\r\nHost: wiki.example.org\r\n\r\n",
    "whole URL without a Host": b"GET http://nas.example.org/ HTTP/1.1\r\n\r\n",
}
ELSEWHERE = {
    "list": b"nas.example.org, wiki.example.org",
    "user": b"nas.example.org@wiki.example.org",
    "path": b"nas.example.org/wiki.example.org",
    "inside": b"evil.test",
    "port of letters": b"nas.example.org:80x",
    "two ports": b"nas.example.org:80:80",
    "empty": b"",
    "suffix": b"nas.example.org.evil.test",
    "beyond ASCII": b"n\xe4s.example.org",
}


@pytest.mark.parametrize("kind", REFUSED)
def test_it_is_refused_and_the_service_hears_nothing(wired: Wired, kind: str) -> None:
    said = wired.town.talk(REFUSED[kind])
    assert said.split(b" ")[1] in (b"400", b"505"), said[:200]
    assert said.count(b"HTTP/1.1 ") == 1, "and nothing behind it is answered"
    assert b"\r\nconnection: close\r\n" in said.lower()
    assert wired.recorder.whole == b""


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_a_host_that_is_none_of_ours_leads_nowhere(wired: Wired, kind: str) -> None:
    assert wired.status(b"GET / HTTP/1.1\r\nHost: " + ELSEWHERE[kind] + b"\r\n\r\n") in (b"400", b"421", b"404")
    assert wired.recorder.whole == b""


@pytest.mark.parametrize(
    "body",
    [
        b"5\n12345\r\n0\r\n\r\n",
        b"5;a=\r\x0b\r\n12345\r\n0\r\n\r\n",
        b"5 x\r\n12345\r\n0\r\n\r\n",
        b"-5\r\n12345\r\n0\r\n\r\n",
        b"0x5\r\n12345\r\n0\r\n\r\n",
        b"5\r\n123456\r\n0\r\n\r\n",
        b"5\r\n12345\n0\r\n\r\n",
        b"ffffffffffffffffff\r\n12345\r\n0\r\n\r\n",
        b"\r\n5\r\n12345\r\n0\r\n\r\n",
        b"0\r\nX: a\n\r\n",
        b"0\r\n X: folded\r\n\r\n",
    ],
)
def test_chunks_that_are_none_never_become_another_request(wired: Wired, body: bytes) -> None:
    """Of what follows a broken chunk nothing is a request, neither here nor there."""
    said = wired.town.talk(post(b"Transfer-Encoding: chunked", body + SMUGGLED))
    assert said.count(b"HTTP/1.1 ") <= 1
    assert b"/smuggled" not in wired.recorder.whole


def test_a_body_that_looks_like_a_request_is_a_body(wired: Wired) -> None:
    length = b"Content-Length: %d\r\nConnection: close" % len(SMUGGLED)
    assert wired.town.talk(post(length, SMUGGLED)).endswith(b"\r\n\r\nok")
    [heard] = wired.recorder.heard
    assert heard.count(b"HTTP/1.1\r\n") == 2
    assert heard.endswith(b"\r\n\r\n" + SMUGGLED)
    wired.recorder.reset()
    get = b"GET / HTTP/1.1\r\nHost: nas.example.org\r\n" + length + b"\r\n\r\n" + SMUGGLED
    assert wired.town.talk(get).count(b"HTTP/1.1 200") == 1


@pytest.mark.parametrize("option", [b"Content-Length", b"Transfer-Encoding", b"Host", b"Cookie", b"X-Forwarded-For"])
def test_a_field_that_connection_names_does_not_take_the_length_or_the_host_away(wired: Wired, option: bytes) -> None:
    wired.town.talk(post(b"Content-Length: 5\r\nConnection: close, " + option, b"12345"))
    heard = wired.recorder.whole
    if heard:
        assert b"\r\nContent-Length: 5\r\n" in heard
        assert heard.count(b"\r\nHost: nas.example.org\r\n") == 1


def test_a_whole_url_beats_the_host(wired: Wired) -> None:
    asked = b"GET http://wiki.example.org/echo HTTP/1.1\r\nHost: nas.example.org\r\nConnection: close\r\n\r\n"
    said = wired.town.talk(asked)
    assert b'"host": "wiki.example.org"' in said
    assert b"GET /echo HTTP/1.1" in said
    assert wired.recorder.whole == b""
    asked = asked.replace(b"wiki.example.org/echo", b"evil.test/echo")
    assert wired.status(asked) == b"421"


def test_several_requests_at_once_each_go_to_their_own_host(wired: Wired) -> None:
    one = b"POST /one HTTP/1.1\r\nHost: nas.example.org\r\nContent-Length: 3\r\n\r\nabc"
    two = b"GET /echo?two HTTP/1.1\r\nHost: wiki.example.org\r\n\r\n"
    three = b"GET /three HTTP/1.1\r\nHost: nas.example.org\r\nConnection: close\r\n\r\n"
    said = wired.town.talk(one + two + three)
    assert said.count(b"HTTP/1.1 200 OK") == 3
    assert said.index(b"\r\n\r\nok") < said.index(b"GET /echo?two HTTP/1.1") < said.rindex(b"\r\n\r\nok")
    assert wired.recorder.whole.count(b"/one HTTP/1.1") == wired.recorder.whole.count(b"/three HTTP/1.1") == 1
    assert b"wiki" not in wired.recorder.whole


def test_fields_with_underscores_do_not_pass_for_those_with_dashes(wired: Wired) -> None:
    lines = (
        b"Content_Length: 5\r\nTransfer_Encoding: chunked\r\nX_Forwarded_For: 6.6.6.6\r\nX_Mine: 1\r\nConnection: close"
    )
    assert wired.town.talk(post(lines)).endswith(b"ok")
    heard = wired.recorder.whole.lower()
    assert b"_encoding" not in heard
    assert b"_length" not in heard
    assert b"6.6.6.6" not in heard
    assert b"\r\nx_mine: 1\r\n" in heard


def test_nothing_of_a_target_becomes_a_field(wired: Wired) -> None:
    target = b"/a%0d%0aX-Injected:%201?q=%0d%0aX-Injected:2"
    assert wired.town.talk(post(b"Connection: close", target=target)).endswith(b"ok")
    assert b"POST " + target + b" HTTP/1.1\r\n" in wired.recorder.whole
    assert b"\r\nX-Injected" not in wired.recorder.whole
    moved = wired.town.talk(b"GET /servers/nas HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n")
    assert b"\r\nLocation: /servers/nas/\r\n" in moved


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b=c\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX: a\0\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nno field\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 099 Odd\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/2 200\r\nContent-Length: 2\r\n\r\nok",
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000,
    ],
)
def test_an_answer_that_can_be_read_in_two_ways_is_none(wired: Wired, said: bytes) -> None:
    wired.recorder.answer = lambda head, before: said
    answer = wired.town.talk(b"GET / HTTP/1.1\r\nHost: nas.example.org\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"Server: hardline (host)\r\n" in answer
    assert b"Set-Cookie" not in answer


def test_what_a_service_says_behind_its_answer_is_nobodys(wired: Wired) -> None:
    """The next request of the same client is not answered by it."""
    surplus = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
    wired.recorder.answer = lambda head, before: OK + surplus if b"/one" in head else OK
    get = b"GET /%b HTTP/1.1\r\nHost: nas.example.org\r\n%b\r\n"
    said = wired.town.talk(get % (b"one", b"") + get % (b"two", b"Connection: close\r\n"))
    assert said.count(b"HTTP/1.1 200 OK") == 2
    assert b"poison" not in said
    assert len(wired.recorder.heard) == 2, "that connection was not used again"


def test_an_answer_to_head_has_no_body_whatever_its_service_says(wired: Wired) -> None:
    wired.recorder.answer = lambda head, before: OK
    ask = b"%b / HTTP/1.1\r\nHost: nas.example.org\r\n%b\r\n"
    said = wired.town.talk(ask % (b"HEAD", b"") + ask % (b"GET", b"Connection: close\r\n"))
    first, _, rest = said.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200 OK")
    assert rest.startswith(b"HTTP/1.1 200 OK")
    assert said.count(b"ok") == 1


def test_a_kept_connection_that_is_dead_is_found_out_before_anybody_notices(wired: Wired) -> None:
    """The service ends its connection when it is asked a second time: what may be repeated is asked once more."""
    wired.recorder.answer = lambda head, before: None if before else OK
    get = b"GET /%d HTTP/1.1\r\nHost: nas.example.org\r\n\r\n"
    last = b"GET /last HTTP/1.1\r\nHost: nas.example.org\r\nConnection: close\r\n\r\n"
    assert wired.town.talk(get % 1 + get % 2 + last).count(b"HTTP/1.1 200 OK") == 3
    assert len(wired.recorder.heard) == 3
    assert wired.recorder.whole.count(b"GET /2 HTTP/1.1") == 2


def test_what_may_not_be_repeated_is_asked_once(wired: Wired) -> None:
    wired.recorder.answer = lambda head, before: None if head.startswith(b"POST") else OK
    get = b"GET / HTTP/1.1\r\nHost: nas.example.org\r\n\r\n"
    said = wired.town.talk(get + post(b"Content-Length: 5\r\nConnection: close", b"12345"))
    assert said.count(b"HTTP/1.1 200 OK") == 1
    assert b"HTTP/1.1 502 " in said
    assert wired.recorder.whole.count(b"POST / HTTP/1.1") == 1
