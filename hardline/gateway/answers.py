"""A service's answer: its head read, and as the client gets it; without I/O.

    HTTP/1.1 302 Found                        ──▶  HTTP/1.1 302 Found
    Location: /b                                   Location: /servers/nas/b            (behind a prefix)
    Set-Cookie: a=b; Domain=example.org            Set-Cookie: a=b                     (for this name alone)
    Connection: x, close; X: 1                     Connection: keep-alive

A head is read leniently (lines may end in a bare LF, or go on behind a space) and written to the letter, and where its
body ends must be beyond doubt: what could be understood in two ways is no answer.
Source: RFC 9112, sections 2.2, 4, 5.2 and 6; RFC 9110, section 7.6.1; RFC 6265, section 4.1.2.3.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hardline.errors import PeerError
from hardline.gateway.requests import Field, named_in_connection, values
from hardline.http.bodies import Body

MAX_HEAD = 65_536

_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?\Z")
_FIELD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\Z")
_END = re.compile(rb"\n\r?\n")
_LINE_END = re.compile(rb"\r?\n")
_FOLD = re.compile(rb"\r?\n[ \t]+")
_LENGTH = re.compile(r"[0-9]{1,18}\Z")
_HOP_BY_HOP = frozenset((b"connection", b"proxy-connection", b"keep-alive", b"upgrade", b"te", b"proxy-authenticate"))
# Where services share an origin, what one says would be the others', too.
_OF_AN_ORIGIN = frozenset(
    (b"set-cookie", b"set-cookie2", b"clear-site-data", b"service-worker-allowed", b"strict-transport-security")
).union(
    (b"alt-svc", b"nel", b"report-to", b"reporting-endpoints", b"refresh", b"www-authenticate", b"link"),
    (b"origin-agent-cluster", b"public-key-pins", b"accept-ch", b"critical-ch"),
)
_ALONE = (
    b"Content-Security-Policy: sandbox allow-downloads",
    b"X-Content-Type-Options: nosniff",
    b"Cross-Origin-Opener-Policy: same-origin",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A head.  `length` None and not `chunked`: the body ends with its connection."""

    status: int
    reason: bytes
    version: bytes
    fields: Sequence[Field]
    length: int | None
    chunked: bool
    closes: bool

    @property
    def interim(self) -> bool:
        """Another head follows (1xx)."""
        return self.status < 200 and self.status != 101

    def body(self, method: str) -> Body | None:
        """What finds the end of its body, as an answer to `method`; None where its connection does."""
        if method == "HEAD" or self.status in (204, 304) or self.status < 200:
            return Body(0)
        if self.chunked:
            return Body(0, chunked=True)
        return Body(self.length) if self.length is not None else None


class AnswerReader:
    """Feed it what the service says until there is an Answer; `leftover` came behind its head."""

    def __init__(self) -> None:
        self._held = b""

    @property
    def begun(self) -> bool:
        """Something came."""
        return bool(self._held)

    @property
    def leftover(self) -> bytes:
        """What came and is in no head that was returned."""
        return self._held

    def feed(self, data: bytes) -> Answer | None:
        """Take bytes, perhaps none; return the next head once it is whole.  Raises PeerError."""
        searched = max(len(self._held) - 2, 0)
        self._held += data
        if not _may_be_answer(self._held):
            raise PeerError("what it says is no HTTP/1.1")
        found = _END.search(self._held, searched)
        if (found.end() if found else len(self._held)) > MAX_HEAD:
            raise PeerError(f"the head of its answer is larger than {MAX_HEAD} bytes")
        if found is None:
            return None
        head, self._held = self._held[: found.end()], self._held[found.end() :]
        return _read(head)


def for_client(
    answer: Answer, *, close: bool, prefix: str = "", shared: bool = False, hosts: Sequence[str] = ()
) -> bytes:
    """The whole head as it goes to the client.

    `prefix` is what stands before the service's paths, `hosts` are how the client names this gateway in URLs.
    `shared`: other services have the same origin, and nothing of this one may run there or stay.
    """
    gone = _HOP_BY_HOP | named_in_connection(answer.fields)
    lines = []
    for name, line in answer.fields:
        if name in gone or (shared and (name in _OF_AN_ORIGIN or name.startswith(b"access-control-"))):
            continue
        if name == b"set-cookie":
            line = _cookie(line, prefix.encode("latin-1"))
        elif prefix and name in (b"location", b"content-location"):
            line = _location(line, prefix, hosts)
        lines.append(line)
    if answer.status == 101:
        lines += [b"Connection: Upgrade", b"Upgrade: " + ", ".join(values(answer.fields, b"upgrade")).encode("latin-1")]
    elif not answer.interim:
        lines += _ALONE if shared else ()
        lines.append(b"Connection: close" if close else b"Connection: keep-alive")
    first = b"HTTP/1.1 %d %s" % (answer.status, answer.reason)
    return b"\r\n".join((first, *lines, b"", b""))


def _may_be_answer(data: bytes) -> bool:
    return b"HTTP/1."[: len(data)] == data[:7]


def _read(head: bytes) -> Answer:
    first, *lines = _LINE_END.split(_FOLD.sub(b" ", head))[:-2]
    status = _STATUS.match(first)
    if status is None or not all(_FIELD.match(line) for line in lines):
        raise PeerError("the head of its answer is malformed")
    fields = [(line.partition(b":")[0].lower(), line) for line in lines]
    lengths, codings = values(fields, b"content-length"), values(fields, b"transfer-encoding")
    code = int(status[2])
    if (
        (lengths and codings)
        or len(codings) > 1
        or (codings and (codings[0].lower() != "chunked" or status[1] == b"0"))
    ):
        raise PeerError("the length of its answer can be understood in two ways")
    if len(set(lengths)) > 1 or (lengths and not _LENGTH.match(lengths[0])):
        raise PeerError("its answer has a length that is none, or two that differ")
    if len(lengths) > 1:
        fields = [field for field in fields if field[0] != b"content-length"]
        fields.append((b"content-length", b"Content-Length: " + lengths[0].encode()))
    if codings and (code < 200 or code == 204):
        raise PeerError("its answer has a body where none may be")
    options = {one.strip().lower() for line in values(fields, b"connection") for one in line.split(",")}
    closes = "close" in options or (status[1] == b"0" and "keep-alive" not in options)
    length = int(lengths[0]) if lengths else None
    return Answer(code, status[3] or b"", status[1], fields, length, bool(codings), closes)


def _cookie(line: bytes, prefix: bytes) -> bytes:
    """The same for this host alone, and for what is below `prefix`."""
    first, *attributes = line.split(b";")
    kept = []
    for attribute in attributes:
        name, _, value = attribute.partition(b"=")
        match name.strip(b" \t").lower():
            case b"domain":
                continue
            case b"path" if prefix and value.strip(b" \t").startswith(b"/"):
                attribute = b" Path=" + prefix + value.strip(b" \t")
        kept.append(attribute)
    return b";".join((first, *kept))


def _location(line: bytes, prefix: str, hosts: Sequence[str]) -> bytes:
    name, _, value = line.partition(b":")
    text = value.strip(b" \t").decode("latin-1")
    for host in hosts:
        for scheme in ("http://", "https://", "//"):
            if text.lower().startswith(f"{scheme}{host}/"):
                text = text[len(scheme) + len(host) :]
    if text.startswith("/") and not text.startswith(("//", "/\\")):
        text = f"{prefix}{text}"
    return name + b": " + text.encode("latin-1")
