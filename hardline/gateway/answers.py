"""A service's answer: its head read, and as the client gets it; without I/O.

    HTTP/1.1 302 Found                        ──▶  HTTP/1.1 302 Found
    Location: /b                                   Location: /servers/nas/b            (behind a prefix)
    Set-Cookie: a=b; Domain=example.org            Set-Cookie: a=b                     (for this name alone)
    Connection: x, close; X: 1                     Connection: keep-alive

A head is read leniently (lines may end in a bare LF, or go on behind a space) and written to the letter, and where its
body ends must be beyond doubt: what could be understood in two ways is no answer.  Most are to the letter already, and
nothing in them but `Connection: keep-alive` and one length needs a look: those are `plain`, and pass as they came.
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
_PLAIN = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*+))?\r\n"
    rb"((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t\x20-\x7e\x80-\xff]*+\r\n)*+)\r\n"
)
_WATCHED = re.compile(  # in front of a field is a line's end
    rb"\n((?i:content-length|transfer-encoding|connection|keep-alive|set-cookie|upgrade|te|proxy-connection"
    rb"|proxy-authenticate)):[ \t]*+([^\r]*+)\r"
)
_WORTH_KNOWING = 1024  # bytes of a head that is kept to be known again
# Events are not to wait for one another in an nginx on their way.
_UNHELD = b"X-Accel-Buffering: no\r\n"
_KEEPS = b"Connection: keep-alive\r\n"
_END = re.compile(rb"\n\r?\n")
_LINE_END = re.compile(rb"\r?\n")
_FOLD = re.compile(rb"\r?\n[ \t]+")
_LENGTH = re.compile(rb"[0-9]{1,18}\Z")
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
    """A head.  `length` None and not `chunked`: the body ends with its connection.

    `lines` are its fields, each with its end; of a `plain` one the client gets them all, but for those of an origin.
    """

    status: int
    reason: bytes
    lines: bytes
    length: int | None
    chunked: bool
    closes: bool
    plain: bool = False

    @property
    def fields(self) -> Sequence[Field]:
        """The lines by their names."""
        return [(line.partition(b":")[0].lower(), line) for line in self.lines.split(b"\r\n")[:-1]]

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


class Last:
    """The plain head that a service said last to a client: most are the same again, within a second."""

    __slots__ = ("answer", "head")

    def __init__(self) -> None:
        self.head = b""
        self.answer: Answer | None = None


class AnswerReader:
    """Feed it what the service says until there is an Answer; `leftover` came behind its head."""

    __slots__ = ("_held", "_last", "_searched")

    def __init__(self, last: Last | None = None) -> None:
        self._held, self._last = b"", last
        self._searched = 0  # of what is held: what came behind a head has not been looked at

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
        last = self._last
        if last is not None and last.answer is not None and not self._held and data.startswith(last.head):
            self._held = data[len(last.head) :]
            return last.answer
        self._held += data
        if (plain := _as_it_came(self._held, self._searched)) is not None:
            answer, end = plain
            if last is not None and end <= _WORTH_KNOWING:
                last.head, last.answer = self._held[:end], answer
            self._held, self._searched = self._held[end:], 0
            return answer
        if not _may_be_answer(self._held):
            raise PeerError("what it says is no HTTP/1.1")
        found = _END.search(self._held, self._searched)
        if (found.end() if found else len(self._held)) > MAX_HEAD:
            raise PeerError(f"the head of its answer is larger than {MAX_HEAD} bytes")
        if found is None:
            self._searched = max(len(self._held) - 3, 0)
            return None
        head, self._held, self._searched = self._held[: found.end()], self._held[found.end() :], 0
        return _read(head)


def for_client(
    answer: Answer,
    *,
    close: bool,
    prefix: str = "",
    shared: bool = False,
    hosts: Sequence[str] = (),
    domains: bool = False,
) -> bytes:
    """The whole head as it goes to the client.  With `domains` cookies keep theirs.

    `prefix` is what stands before the service's paths, `hosts` are how the client names this gateway in URLs.
    `shared`: other services have the same origin, and nothing of this one may run there or stay.
    """
    first = b"HTTP/1.1 %d %s\r\n" % (answer.status, answer.reason)
    if answer.plain and not (prefix or shared):
        connection = b"Connection: close\r\n\r\n" if close else _KEEPS + b"\r\n"
        return b"".join((first, answer.lines, _UNHELD if _comes_in_pieces(answer) else b"", connection))
    fields, lines = answer.fields, []
    gone = _HOP_BY_HOP | named_in_connection(fields)
    for name, line in fields:
        if name in gone or (shared and (name in _OF_AN_ORIGIN or name.startswith(b"access-control-"))):
            continue
        if name == b"set-cookie" and not domains:
            line = _cookie(line, prefix.encode("latin-1"))
        elif prefix and name in (b"location", b"content-location"):
            line = _location(line, prefix, hosts)
        lines.append(line)
    if answer.status == 101:
        lines += [b"Connection: Upgrade", b"Upgrade: " + ", ".join(values(fields, b"upgrade")).encode("latin-1")]
    elif not answer.interim:
        lines += _ALONE if shared else ()
        lines += [_UNHELD[:-2]] if _comes_in_pieces(answer) else ()
        lines.append(b"Connection: close" if close else b"Connection: keep-alive")
    return first + b"\r\n".join((*lines, b"", b""))


def _comes_in_pieces(answer: Answer) -> bool:
    return (
        answer.length is None and answer.status not in (204, 304) and b"x-accel-buffering:" not in answer.lines.lower()
    )


def _may_be_answer(data: bytes) -> bool:
    return b"HTTP/1."[: len(data)] == data[:7]


def _as_it_came(data: bytes, searched: int) -> tuple[Answer, int] | None:
    """One that is whole and plain, and its end, which is looked for from there on; None for any other."""
    end = data.find(b"\r\n\r\n", searched) + 4
    found = _PLAIN.fullmatch(data, 0, end) if 4 <= end <= MAX_HEAD else None
    if found is None:
        return None
    length, chunked, start, lines = None, False, found.start(3), found[3]
    for watched in _WATCHED.finditer(data, start - 1, end):
        name, value = watched[1].lower(), watched[2].rstrip(b" \t")
        if length is None and not chunked and name == b"content-length" and _LENGTH.match(value):
            length = int(value)
        elif name == b"connection" and value.lower() == b"keep-alive" and len(lines) == len(found[3]):
            lines = lines[: watched.start() + 1 - start] + lines[watched.end() + 1 - start :]
        elif length is None and not chunked and name == b"transfer-encoding" and value.lower() == b"chunked":
            chunked = True
        else:
            return None
    status = int(found[1])
    if chunked and status == 204:
        return None
    return Answer(status, found[2] or b"", lines, length, chunked, False, True), end


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
    if len(set(lengths)) > 1 or (lengths and not _LENGTH.match(lengths[0].encode("latin-1"))):
        raise PeerError("its answer has a length that is none, or two that differ")
    if len(lengths) > 1:
        fields = [field for field in fields if field[0] != b"content-length"]
        fields.append((b"content-length", b"Content-Length: " + lengths[0].encode()))
    if codings and (code < 200 or code == 204):
        raise PeerError("its answer has a body where none may be")
    options = {one.strip().lower() for line in values(fields, b"connection") for one in line.split(",")}
    closes = "close" in options or (status[1] == b"0" and "keep-alive" not in options)
    length = int(lengths[0]) if lengths else None
    return Answer(code, status[3] or b"", b"".join(line + b"\r\n" for _, line in fields), length, bool(codings), closes)


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
