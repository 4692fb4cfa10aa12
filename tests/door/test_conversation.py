"""What passes on a kept connection: requests to its own service, whole, as they came, and nothing else."""

from __future__ import annotations

import contextlib

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardline.door.conversation import Conversation
from hardline.http.head import head_end, plain_host, read_head
from hardline.identity import KeyHash, Label

pytestmark = pytest.mark.pure

OURS = Label(KeyHash(bytes(range(20))), "")
HOST = f"{OURS}.localhost"
OTHER = f"{'7' * 40}.localhost"
MAX_HEAD = 4096
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def conversation() -> Conversation:
    return Conversation(OURS, MAX_HEAD, 10.0)


def request(*headers: str, host: str = HOST, line: str = "GET /a HTTP/1.1", body: bytes = b"") -> bytes:
    return "".join(f"{text}\r\n" for text in (line, f"Host: {host}", *headers, "")).encode("latin-1") + body


GET = request()
POST = request("Content-Length: 5", line="POST /p HTTP/1.1", body=b"12345")
CHUNKS = request(
    "Transfer-Encoding: chunked",
    line="PUT /c HTTP/1.1",
    body=b"4;x=1\r\nWiki\r\n00a\r\n0123456789\r\n0\r\nT: x\r\n\r\n",
)
FOREIGN = request("Cookie: secret", host=OTHER)
UPGRADE = request("Connection: Upgrade", "Upgrade: websocket")
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


def say(talk: Conversation, data: bytes) -> bytes:
    """In one piece, as the event loop's buffer."""
    return bytes(talk.asked(memoryview(data)))


def test_what_is_for_the_service_passes_as_it_came_and_is_not_copied():
    talk = conversation()
    for data in (GET, GET, POST, CHUNKS, GET + POST, POST[:-2]):
        piece = memoryview(data)
        assert talk.asked(piece) is piece
        assert not talk.stopped
    piece = memoryview(b"45")
    assert talk.asked(piece) is piece


@pytest.mark.parametrize("cut", range(len(GET + POST + CHUNKS + GET + FOREIGN + GET) + 1))
def test_a_request_for_another_host_never_passes_however_tcp_cuts_it(cut):
    ours, theirs = GET + POST + CHUNKS + GET, FOREIGN + GET
    talk, said = conversation(), ours + theirs
    passed = say(talk, said[:cut]) + say(talk, said[cut:])
    assert passed == ours
    assert talk.leftover == theirs
    assert talk.stopped
    assert not talk.over
    for _ in range(4):
        talk.heard(OK)
    assert talk.over
    assert talk.released() == b""


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_drops_of_any_size_add_up_to_the_same(size):
    said, talk, passed = GET + CHUNKS + POST + FOREIGN, conversation(), b""
    for at in range(0, len(said), size):
        passed += say(talk, said[at : at + size])
    assert passed == GET + CHUNKS + POST
    assert talk.leftover == FOREIGN


@pytest.mark.parametrize(
    "behind",
    [
        FOREIGN,
        request(host=f"{OURS}.localhost.example"),
        request(host="localhost"),
        request(host=f"word-{OURS}.localhost"),
        GET.replace(b"GET /a", f"GET http://{HOST}/a".encode()),
        f"CONNECT {HOST}:80 HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"\x00",
        b"GET /a HTTP/1.1\n",
        b"\r\n\r\n" + GET,
        GET.replace(b"Host", b"Host ", 1),
        GET.replace(b"\r\n\r\n", f"\r\nHost: {OTHER}\r\n\r\n".encode()),
        GET.replace(b"Host:", b" Host:"),
        GET.replace(b"HTTP/1.1", b"HTTP/0.9"),
        request("Content-Length: 3", "Transfer-Encoding: chunked", line="POST / HTTP/1.1", body=b"0\r\n\r\n"),
        request("Content-Length: 1", "Content-Length: 2", line="POST / HTTP/1.1", body=b"xx"),
        request("Transfer-Encoding: gzip, chunked", line="POST / HTTP/1.1", body=b"0\r\n\r\n"),
        request("X: " + "x" * MAX_HEAD),
    ],
)
def test_what_is_no_plain_request_to_this_service_is_given_back_from_its_first_byte_on(behind):
    talk = conversation()
    assert say(talk, POST + behind) == POST
    assert talk.stopped
    talk.heard(OK)
    assert talk.over
    assert talk.leftover == behind.removeprefix(b"\r\n")


@pytest.mark.parametrize("host", [f"a.b.{HOST}:7009", HOST.upper(), HOST + "."])
def test_any_writing_of_its_name_is_the_same_service(host):
    talk = conversation()
    assert say(talk, GET + request(host=host)) == GET + request(host=host)


def test_one_blank_line_before_a_request_is_none_of_it():
    talk = conversation()
    assert say(talk, POST) + say(talk, b"\r") + say(talk, b"\n") + say(talk, GET) == POST + b"\r\n" + GET
    assert say(talk, b"\r\n" + FOREIGN) == b""
    assert talk.leftover == FOREIGN


@pytest.mark.parametrize("surplus", [b"H", b"\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"])
@pytest.mark.parametrize("later", [False, True])
def test_what_answers_nothing_is_not_for_who_waits_for_another_service(surplus, later):
    talk = conversation()
    say(talk, GET)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    if later:
        talk.heard(answer)
        assert not talk.astray
    say(talk, FOREIGN)
    assert not talk.astray
    talk.heard(surplus if later else answer + surplus)
    assert talk.astray


def test_what_answers_nothing_passes_while_nobody_else_is_asked():
    """A server that gives up an idle connection says 408, some of them."""
    talk = conversation()
    say(talk, GET)
    talk.heard(b"HTTP/1.1 204 No Content\r\n\r\n")
    talk.heard(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    assert not talk.astray


@pytest.mark.parametrize("chunks", [b"5\n12345\r\n0\r\n\r\n", b"0x5\r\n", b"5 5\r\n", b"2\r\n123\r\n0\r\n\r\n"])
def test_a_body_that_parsers_could_end_at_two_places_ends_the_conversation(chunks):
    talk = conversation()
    passed = say(talk, request("Transfer-Encoding: chunked", line="POST / HTTP/1.1", body=chunks + FOREIGN))
    assert b"secret" not in passed
    assert talk.failure is not None
    assert talk.stopped
    assert talk.hopeless
    assert talk.unanswered
    assert say(talk, b"0\r\n\r\n" + GET) == b""
    assert talk.released() == b""


# Upgrades.


@pytest.mark.parametrize("cut", range(len(SWITCHED) + 1))
def test_after_an_upgrade_nothing_passes_until_the_service_has_switched(cut):
    talk = conversation()
    assert say(talk, UPGRADE + FOREIGN) == UPGRADE
    assert say(talk, b"\x81\x00") == b""
    assert talk.stopped
    passed = b""
    for piece in (SWITCHED[:cut], SWITCHED[cut:]):
        if talk.heard(piece):
            passed += talk.released()
    assert talk.opaque
    assert passed == FOREIGN + b"\x81\x00"
    assert say(talk, b"anything") == b"anything"


def test_after_an_upgrade_that_was_refused_requests_are_looked_at_as_before():
    talk = conversation()
    assert say(talk, UPGRADE + GET + FOREIGN) == UPGRADE
    assert talk.heard(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
    assert talk.released() == b""
    assert talk.heard(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    assert talk.released() == GET
    assert not talk.opaque
    talk.heard(OK)
    assert talk.over
    assert talk.leftover == FOREIGN


def test_the_body_of_an_upgrade_passes():
    talk = conversation()
    said = request("Upgrade: h2c", "Content-Length: 5", line="POST / HTTP/1.1", body=b"12345")
    assert say(talk, said[:-2]) + say(talk, said[-2:] + b"PRI * HTTP/2.0\r\n\r\n") == said


def test_a_101_that_was_not_asked_for_opens_nothing():
    talk = conversation()
    assert say(talk, GET + UPGRADE) == GET + UPGRADE
    talk.heard(SWITCHED)
    assert not talk.opaque
    assert say(talk, FOREIGN) == b""
    assert talk.hopeless


def test_an_answer_within_an_answer_opens_nothing():
    talk = conversation()
    say(talk, GET + UPGRADE + FOREIGN)
    talk.heard(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(SWITCHED) + 1) + SWITCHED)
    assert not talk.opaque
    assert talk.released() == b""


# Bounds.


def test_requests_wait_when_too_many_are_unanswered():
    talk = conversation()
    passed = say(talk, GET * 10_000)
    assert len(passed) == 64 * len(GET)
    assert talk.stopped
    assert talk.heard(OK * 10)
    assert talk.released() == GET * 10


def test_a_head_that_has_begun_is_waited_for_only_so_long():
    talk = conversation()
    assert say(talk, GET + GET[:9]) == GET
    assert talk.partial
    talk.late()
    assert talk.stopped
    assert not talk.over
    talk.heard(OK)
    assert talk.over
    assert talk.failure is not None
    assert talk.failure.status == 408


# Against other parsers.

_PARTS = st.sampled_from(
    [GET, POST, CHUNKS, FOREIGN, UPGRADE, request(line="HEAD / HTTP/1.1"), request("Expect: 100-continue"), b"\r\n"]
)
_DAMAGE = st.sampled_from(
    [
        b"",
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b":",
        b"\x00",
        b"\t",
        b"5",
        b"0\r\n\r\n",
        b"Host: x\r\n",
        b"Transfer-Encoding: chunked\r\n",
    ]
)


def hosts_seen(data: bytes) -> list[str]:
    """Every Host that llhttp reads in what passed, up to where it sees no HTTP any more."""
    hosts: list[str] = []

    class Events:
        def on_header(self, name: bytes, value: bytes) -> None:
            if name.lower() == b"host":
                hosts.append(value.strip(b" \t").decode("latin-1"))  # RFC 9110, 5.5: blanks around are none of it

    with contextlib.suppress(httptools.HttpParserError, httptools.HttpParserUpgrade):
        httptools.HttpRequestParser(Events()).feed_data(data)
    return hosts


def test_blanks_behind_a_host_make_it_no_other_one():
    said = f"GET /a HTTP/1.1\r\nHost: {HOST} \t\r\n\r\n".encode()
    assert say(conversation(), said) == said
    assert hosts_seen(said) == [HOST]


@given(st.lists(_PARTS, min_size=1, max_size=8), st.data())
def test_no_parser_finds_another_host_in_what_passed(parts, data):
    said = b"".join(parts)
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(said)))
        said = said[:at] + data.draw(_DAMAGE) + said[at + data.draw(st.integers(0, 3)) :]
    cut = data.draw(st.integers(0, len(said)))
    talk = conversation()
    passed = say(talk, said[:cut]) + say(talk, said[cut:])
    assert said.startswith(passed)
    assert talk.leftover == said[len(passed) :].removeprefix(b"\r\n") or talk.leftover == said[len(passed) :]
    assert set(hosts_seen(passed)) <= {HOST}


@given(
    st.lists(
        st.sampled_from(
            [
                "Host: h",
                "host:x",
                "HOST: ",
                "Upgrade: h2c",
                "Content-Length: 0",
                "A: Host: b",
                "Upgrade-Insecure-Requests: 1",
                "Transfer-Encoding: chunked",
            ]
        ),
        max_size=5,
    ),
    st.sampled_from(["GET", "HEAD", "CONNECT", "POST"]),
    st.sampled_from(["/", "/a\xff", "*", "http://a/", "a:1"]),
)
def test_the_short_way_to_read_a_head_finds_what_the_long_one_does(headers, method, target):
    head = "".join(f"{text}\r\n" for text in (f"{method} {target} HTTP/1.1", *headers, "")).encode("latin-1")
    data = b"xx" + head + b"behind"
    end = head_end(data, 2, 2, MAX_HEAD)
    host = plain_host(data, 2, end)
    if host is not None:
        found = read_head(data, 2, end)
        assert found.host.encode("latin-1") == host
        assert (found.content_length, found.chunked, found.upgrades) == (None, False, False)
        assert found.method not in ("HEAD", "CONNECT")
        assert found.target.startswith("/")
