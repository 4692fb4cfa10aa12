"""What a browser, a page in it, or a service behind a host can send to the door; and TLS server names."""

from __future__ import annotations

import contextlib
from urllib.parse import urlsplit

import h11
import httptools

from hardline.door.conversation import Conversation
from hardline.door.forwarding import AnswerHead, body_of, origin_request
from hardline.door.hostname import Misdirected, route_host
from hardline.errors import HardlineError, PeerError
from hardline.http.head import BadHead, Form, Head, HeadReader
from hardline.identity import KeyHash, Label
from hardline.showable import is_plain
from hardline.tunnel.names import ServerNames
from tests.fuzz import other_parsers

MAX_HEAD = 4096
DAY = 20_778
KEY_HASH = KeyHash.parse("a946e7a560289417a2711f5b9686624852dd469b")
OTHER = KeyHash(bytes(20))
LABEL = Label(KEY_HASH, "")
_ANSWERS = b"\n=====\n"
# Comes behind every request to a proxy: no service may ever see it.
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: other.localhost\r\n\r\n"


def head(data: bytes) -> None:
    """A head or BadHead, however it is cut; a service behind us never sees another host, method or target."""
    whole, found = _read(data, len(data) or 1)
    _, cut = _read(data, 1 + len(data) % 5)
    assert found == cut or found is None
    assert cut is None or cut == found
    if found is None:
        return
    assert whole.raw == data
    assert whole.size <= MAX_HEAD
    with contextlib.suppress(HardlineError):
        route_host(found.host)
    if found.form is Form.ORIGIN:
        for name, parse in other_parsers.ALL.items():
            seen = parse(data[: whole.size])
            if seen is None:
                continue
            assert (seen.requests, seen.hosts) == (1, [found.host]), name
            assert seen.method == found.method, name
            # The standard library also splits a first line at bytes beyond ASCII that are blanks in Latin-1.
            assert _normal(seen.target) == _normal(found.target) or not found.target.isascii(), name
            if name != "the standard library":
                assert seen.whole == (not found.chunked and not found.content_length) or _upgrades(data), name


def proxy_request(data: bytes) -> None:
    """A service sees one request for the URL's host, with the same body, and nothing behind it."""
    reader, found = _read(data, len(data) or 1)
    if found is None or found.form is not Form.ABSOLUTE:
        return
    rest = data[reader.size :] + SMUGGLED
    body, cut = body_of(found), body_of(found)
    first = origin_request(found, data[: reader.size])
    try:
        taken = body.take(rest)
        pieces = [cut.take(rest[at : at + 3]) for at in range(0, len(rest), 3) if not cut.done]
    except PeerError:
        return
    assert b"".join(pieces) == taken
    assert cut.done == body.done
    for name, parse in other_parsers.ALL.items():
        seen = parse(first + taken)
        if seen is None:
            continue
        assert (seen.requests, seen.hosts) == (1, [found.host]), name
        assert seen.method == found.method, name
        assert _normal(seen.target) == _normal(found.target) or not found.target.isascii(), name
        if name != "the standard library":
            assert seen.whole == body.done, name
            assert seen.behind == b"", name
            assert len(seen.body) == (found.content_length or 0) or found.chunked or not body.done, name


def conversation(data: bytes) -> None:
    """A kept connection, and behind a blank line of its own what the service says: no other host ever passes."""
    said, _, answered = data.partition(_ANSWERS)
    at_once, in_drops = _conversation(said, len(said) or 1, answered), _conversation(said, 1 + len(said) % 5, answered)
    for talk, passed in (at_once, in_drops):
        assert said.startswith(passed)
        assert len(passed) + len(talk.leftover) + 2 >= len(said) or talk.opaque
        assert not (talk.over and talk.opaque)
        if not talk.opaque:
            for host in _hosts(passed):
                with contextlib.suppress(Misdirected):
                    assert route_host(host) in (LABEL, None) or "," in host
    if not (at_once[0].opaque or at_once[0].failure):  # of a body that breaks off, more or less has passed
        assert at_once[1] == in_drops[1]


def proxy_answer(data: bytes) -> None:
    """An answer is passed on however it is cut, as it was but for its connection headers."""
    passed = _passed(data, len(data) or 1)
    assert passed == _passed(data, 1 + len(data) % 5)
    before, after = _answer_of(data), _answer_of(passed)
    if before is not None:
        assert after is not None
        assert after == before


def host(data: bytes) -> None:
    """This node, a label that is in the text, or Misdirected; a URL library finds the same host."""
    text = data.decode("latin-1")
    try:
        found = route_host(text)
    except Misdirected as wrong:
        assert is_plain(wrong.message)
        return
    name = (urlsplit(f"http://{text}/").hostname or "").removesuffix(".")
    if found is None:
        assert name in ("localhost", "127.0.0.1", "::1")
    else:
        assert name.split(".")[-2:] in ([str(found), "localhost"], [f"-{found}", "localhost"])
        assert Label.parse(str(found)) == found


def server_name(data: bytes) -> None:
    """A service, for its own names of three days only."""
    names = ServerNames([(KEY_HASH, True), (OTHER, False)])
    text = data.decode("ascii", "replace")
    codes = {which.rolling(day): which for which in (KEY_HASH, OTHER) for day in (DAY - 1, DAY, DAY + 1)}
    assert names.find(text, DAY) == (codes | {str(KEY_HASH): KEY_HASH}).get(text)
    assert names.find(text, 0) is None or text == str(KEY_HASH)


def _conversation(said: bytes, step: int, answered: bytes) -> tuple[Conversation, bytes]:
    talk, passed = Conversation(LABEL, MAX_HEAD, 10.0), b""
    for at in range(0, len(said), step):
        passed += talk.asked(said[at : at + step])
    if talk.heard(answered):
        passed += talk.released()
    assert talk.partial + talk.stopped <= 1
    return talk, passed


def _hosts(data: bytes) -> list[str]:
    """All that llhttp sees."""
    hosts: list[str] = []

    class Events:
        def on_header(self, name: bytes, value: bytes) -> None:
            if name.lower() == b"host":
                hosts.append(value.decode("latin-1").strip(" \t"))

    with contextlib.suppress(httptools.HttpParserError, httptools.HttpParserUpgrade):
        httptools.HttpRequestParser(Events()).feed_data(data)
    return hosts


def _read(data: bytes, step: int) -> tuple[HeadReader, Head | None]:
    reader = HeadReader(MAX_HEAD)
    for start in range(0, len(data), step):
        try:
            found = reader.feed(data[start : start + step])
        except BadHead as wrong:
            assert wrong.status in (400, 431, 501, 505)
            assert is_plain(wrong.message)
            return reader, None
        if found is not None:
            return reader, found
    return reader, None


def _normal(target: str) -> str:
    """The standard library takes //x for /x, against open redirects."""
    return "/" + target.lstrip("/") if target.startswith("//") else target


def _upgrades(data: bytes) -> bool:
    """llhttp ends such a message with its head."""
    return b"upgrade" in data.lower()


def _passed(data: bytes, step: int) -> bytes:
    answer = AnswerHead()
    pieces = [answer.take(data[at : at + step]) for at in range(0, len(data), step)]
    return b"".join(pieces) + answer.rest()


def _answer_of(data: bytes) -> object:
    """Status, headers but those of the connection, and the body; None where h11 reads no answer."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("host", "a")]))
    try:
        connection.receive_data(data)
        while isinstance(event := connection.next_event(), h11.InformationalResponse):
            pass
    except h11.RemoteProtocolError:
        return None
    if not isinstance(event, h11.Response):
        return None
    hop_by_hop = (b"connection", b"keep-alive", b"proxy-connection")
    headers = [(name, value) for name, value in event.headers if name not in hop_by_hop]
    return event.status_code, headers, _body(connection)


def _body(connection: h11.Connection) -> bytes | None:
    """All of it; None where it ends too early."""
    body = b""
    try:
        connection.receive_data(b"")
        while isinstance(event := connection.next_event(), h11.Data):
            body += bytes(event.data)
    except h11.RemoteProtocolError:
        return None
    return body
