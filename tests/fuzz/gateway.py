"""What browsers, proxies in front, services behind and scrapers can send to a gateway; and its file of keys."""

from __future__ import annotations

import contextlib
import ipaddress

import httptools

from hardline.errors import PeerError
from hardline.gateway.answers import MAX_HEAD, Answer, AnswerReader, for_client
from hardline.gateway.clients import client_of, is_in
from hardline.gateway.keys import LONGEST, MAX_KEYS, line_of, parse_keys, without
from hardline.gateway.names import Elsewhere, Names
from hardline.gateway.requests import Asker, behind_first, fields_of, first_line, upgrade_of, values
from hardline.gateway.users import LONGEST as LONGEST_PASSWORD
from hardline.gateway.users import read_basic
from hardline.http.bodies import Body
from hardline.http.head import BadHead, Form, Head, HeadReader
from hardline.routes import Endpoint
from tests.fuzz import other_parsers

_MAX_HEAD = 4096
_NAMES = Names(["nas", "wiki"], ["example.org"])
_TRUSTED = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("2001:db8::/32"))
_NOT_PASSED = frozenset((b"keep-alive", b"te", b"proxy-authorization", b"proxy-connection", b"http2-settings"))
_HINTS = b"HTTP/1.1 103 Early Hints\r\n\r\n"
# Comes behind every request: no service may ever see it.
_SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: other.example.org\r\n\r\n"


def request(data: bytes) -> None:
    """A service sees one request for the same host, with the same body, nothing of the connection, nothing behind."""
    reader, found = _read(data)
    if found is None or found.form is Form.AUTHORITY:
        return
    fields, rest = fields_of(data[: reader.size]), data[reader.size :] + _SMUGGLED
    for asker in (
        Asker(Endpoint("192.0.2.7", 5), "192.0.2.7", trusted=False),
        Asker(Endpoint("::1", 5), "192.0.2.7", trusted=True, user="anna"),
    ):
        upgrade = upgrade_of(found, fields)
        first = first_line(found, found.target) + behind_first(
            found.host, fields, asker, prefix="/servers/nas", upgrade=upgrade, dropped=(b"cookie",)
        )
        again = HeadReader(len(first)).feed(first)
        assert again is not None
        assert (again.method, again.target, again.host) == (found.method, found.target, found.host)
        assert (again.content_length, again.chunked) == (found.content_length, found.chunked)
        passed = fields_of(first)
        names = [name for name, _ in passed]
        assert not _NOT_PASSED & set(names)
        assert b"cookie" not in names
        assert names.count(b"host") == names.count(b"connection") == names.count(b"forwarded") == 1
        assert values(passed, b"x-forwarded-user") == (["anna"] if asker.user else [])
        assert values(passed, b"x-forwarded-for")[0].endswith(asker.peer.host)
        _check_body(found, first, rest)


def _check_body(found: Head, first: bytes, rest: bytes) -> None:
    body, cut = (Body(found.content_length or 0, chunked=found.chunked) for _ in range(2))
    try:
        taken = body.take(rest)
        pieces = [cut.take(rest[at : at + 3]) for at in range(0, len(rest), 3) if not cut.done]
    except PeerError:
        return
    assert b"".join(pieces) == taken
    for name, parse in other_parsers.ALL.items():
        seen = parse(first + taken)
        if seen is None:
            continue
        assert (seen.requests, seen.hosts, seen.method) == (1, [found.host], found.method), name
        if name != "the standard library" and b"upgrade" not in first.lower():
            assert seen.whole == body.done, name
            assert seen.behind == b"", name


def answer(data: bytes) -> None:
    """An answer that a parser to the letter reads as we do, or PeerError, however it is cut, whatever comes first."""
    found, leftover = _answer(data, len(data) or 1)
    assert _answer(_HINTS + data, len(data) + len(_HINTS), heads=2)[0] == found
    cut, _ = _answer(data, 1 + len(data) % 5)
    assert found == cut or found is None
    if found is None:
        return
    assert leftover is not None
    assert data.endswith(leftover)
    for shared in (False, True):
        head = for_client(found, close=False, prefix="/servers/nas", shared=shared, hosts=("example.org",))
        assert head.count(b"\r\n\r\n") == 1
        assert head.endswith(b"\r\n\r\n")
        lines = head.split(b"\r\n")[1:-2]
        assert not any(b"\n" in line or b"\r" in line or b"\0" in line for line in lines)
        names = [line.partition(b":")[0].lower() for line in lines]
        assert names.count(b"connection") == (0 if found.interim else 1)
        assert not (shared and {b"set-cookie", b"clear-site-data", b"www-authenticate"} & set(names))
        if shared and not found.interim and found.status != 101:
            assert b"Content-Security-Policy: sandbox allow-downloads" in lines
        _check_end(found, head)


def _check_end(found: Answer, head: bytes) -> None:
    """Where we say that its body ends, llhttp does, too."""
    body = found.body("GET")
    if found.status < 200 or body is None:
        return
    ended: list[bool] = []

    class Events:
        def on_message_complete(self) -> None:
            ended.append(True)

    parser = httptools.HttpResponseParser(Events())
    try:
        parser.feed_data(head)
        if not found.chunked and (found.length or 0) < 10_000 and not body.done:
            assert not ended
            parser.feed_data(b"x" * (found.length or 0))
    except httptools.HttpParserError:
        return
    assert bool(ended) == (not found.chunked or found.status in (204, 304))


def place(data: bytes) -> None:
    """First line: a Host; the rest: a target.  A service that is named, or nothing; and only below its own prefix."""
    host, _, target = data.decode("latin-1").partition("\n")
    try:
        found = _NAMES.place(host, target)
    except Elsewhere:
        return
    if found is None:
        return
    assert found.name in ("", "nas", "wiki") or found.scraper
    assert "/" not in found.name
    if found.prefix:
        assert target.startswith(found.prefix)
        assert found.target[:1] in ("", "/")
        assert not target[len(found.prefix) :].strip("/") or found.target in target
    else:
        assert found.target == target
    assert not found.scraper or target.startswith("/scraper/")


def client(data: bytes) -> None:
    """First line: who connects; the rest: lines of X-Forwarded-For.  An address, and no stranger's own word."""
    peer, *lines = data.decode("latin-1").split("\n")
    found = client_of(peer, lines, _TRUSTED)
    if not is_in(peer, _TRUSTED):
        assert found == peer
        return
    items = [item.strip() for line in lines for item in line.split(",")]
    while items and is_in(items[-1], _TRUSTED):
        items.pop()
    if is_in(found, _TRUSTED):
        assert not items or _address(items[-1]) is None
    else:
        assert found == str(_address(items[-1])), "the last one that is no proxy's"


def _address(item: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Of `host`, `host:port`, `[host]` or `[host]:port`."""
    host, colon, port = item.rpartition(":")
    bracketed = (host[:1], host[-1:]) == ("[", "]")
    if colon and (":" not in host or bracketed) and port.isascii() and port.isdigit() and len(port) <= 5:
        item = host
    if (item[:1], item[-1:]) == ("[", "]"):
        item = item[1:-1]
    with contextlib.suppress(ValueError):
        found = ipaddress.ip_address(item.partition("%")[0])
        return getattr(found, "ipv4_mapped", None) or found
    return None


def basic(data: bytes) -> None:
    """A name and a password, or nobody."""
    lines = data.decode("latin-1").split("\n")
    name, password = read_basic(lines)
    assert len(password) <= LONGEST_PASSWORD
    assert ":" not in name
    assert name == "" or len(lines) == 1


def keys(data: bytes) -> None:
    """Keys that are written as they were read, and notes that can be shown."""
    text = data.decode("utf-8", "replace")
    found = parse_keys(text, "gateway.keys")
    assert len({key.name for key in found.all}) == len(found.all) <= MAX_KEYS
    assert all(note.isprintable() for note in found.notes)
    again = "".join(f"{line_of(key)}\n" for key in found.all)
    assert parse_keys(again, "").all == found.all
    for key in found.all[:3]:
        assert key.name not in {one.name for one in parse_keys(without(again, key.name), "").all}
        assert not key.refused(key.since) or not 0 < key.until - key.since <= LONGEST


def _read(data: bytes) -> tuple[HeadReader, Head | None]:
    reader = HeadReader(_MAX_HEAD)
    with contextlib.suppress(BadHead):
        if data:
            return reader, reader.feed(data)
    return reader, None


def _answer(data: bytes, step: int, heads: int = 1) -> tuple[Answer | None, bytes | None]:
    """The last of so many heads and what is behind it; None where there is none."""
    reader = AnswerReader()
    for start in range(0, len(data), step):
        try:
            found = reader.feed(data[start : start + step])
            while found is not None and (heads := heads - 1):
                found = reader.feed(b"")
        except PeerError:
            return None, None
        if found is not None:
            return found, reader.leftover + data[start + step :]
        assert len(reader.leftover) <= MAX_HEAD
    return None, None
